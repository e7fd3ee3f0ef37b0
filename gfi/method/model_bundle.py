"""The files of a model, its model file and what that names, together in one folder from which it can be loaded."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gfi.domain.errors import MethodError
from gfi.method import huggingface
from gfi.method.model_code import code_files
from gfi.method.model_files import HUGGINGFACE, model_file, read_table, registered_models


@dataclass(frozen=True)
class Bundle:
    """folder/NAME has the files `names` of the model NAME; `load(NAME, folder)` loads it."""

    folder: Path
    name: str
    names: list[str]

    @property
    def files(self) -> Path:
        """The folder of the files themselves."""
        return self.folder / self.name


@contextlib.contextmanager
def bundled(file: Path) -> Iterator[Bundle]:
    """A copy of the model file NAME.toml with what it names, gone afterwards. What is registered is what was read once.

    Raises MethodError for a file that cannot be read and for one that names files outside its folder.
    """
    names = files_of(file)
    with tempfile.TemporaryDirectory(prefix="gfi-model-") as made:
        bundle = Bundle(Path(made), file.stem, names)
        try:
            bundle.folder.chmod(0o755)  # the process that loads it may run as another user
            for name in names:
                place = bundle.files / name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.parent / name, place)
        except OSError as error:
            raise MethodError(f"{file} cannot be copied into {made}: {error.strerror}") from error
        yield bundle


def own_file(models_dir: Path, reference: str) -> Path | None:
    """The model file of this name in the models folder; None for a reference to a library's network and where there is
    none. MethodError where there are two."""
    return model_file(models_dir, reference) if reference in registered_models(models_dir) else None


def files_of(file: Path) -> list[str]:
    """The model file and what it names, relative to its folder; files named by absolute paths are not among them.

    Raises MethodError for a file that cannot be read and for a name that leads out of the folder.
    """
    table = read_table(file)
    names = [file.name]
    for field in ("weights", "classes"):
        name = table.get(field)
        if isinstance(name, str) and (file.parent / name).is_file() and not Path(name).is_absolute():
            if ".." in Path(name).parts:
                raise MethodError(
                    f"{file}: `{field}` leads out of the model's folder: put {Path(name).name} beside {file.name}"
                )
            names.append(name)
    if table.get("architecture") == HUGGINGFACE:
        names += _of_folder(file, str(table.get("weights")))
    source, _, rest = str(table.get("architecture", "")).partition(":")
    code = file.parent / rest.partition(":")[0]
    if source == "file" and code.is_file() and code.parent.resolve() == file.parent.resolve():
        names += code_files(code)
    return list(dict.fromkeys(names))


def _of_folder(file: Path, weights: str) -> list[str]:
    """The files of a folder of transformers that lies in the model's folder."""
    if Path(weights).is_absolute() or ".." in Path(weights).parts:
        raise MethodError(
            f"{file}: `weights` leads out of the model's folder: put {weights} beside {file.name}"
        )
    return [f"{weights}/{name}" for name in huggingface.files_of(file.parent / weights)]
