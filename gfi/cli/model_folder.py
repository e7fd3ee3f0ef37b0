"""The folder of a model that is added: models_dir/NAME, with its model file and what that names.

It is filled beside its place and moved there only when the network was loaded from it, so that a failed
`gfi models add` changes nothing, and no model overwrites a file of another.
"""

import contextlib
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from gfi.cli.errors import CommandError
from gfi.method.model_code import code_files

STAGED = ".adding-"
"""How the names of unfinished folders in the models folder begin."""


@contextlib.contextmanager
def staged(file: Path, models_dir: Path) -> Iterator[Path]:
    """A folder in `models_dir` from which NAME can be loaded, given NAME.toml; it is gone afterwards.

    Raises CommandError for a file that cannot be read and a folder that cannot be written.
    """
    files = _files(file)
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=STAGED, dir=models_dir))
    except OSError as error:
        raise CommandError(f"the models folder {models_dir} cannot be written: {error.strerror}") from error
    try:
        _copy(file, files, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(file: Path, names: list[str], folder: Path) -> None:
    try:
        folder.chmod(0o755)  # workers may run as another user
        for name in names:
            place = folder / file.stem / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.parent / name, place)
    except OSError as error:
        raise CommandError(f"{file} cannot be copied into {folder.parent}: {error.strerror}") from error


def install(folder: Path, name: str, models_dir: Path) -> None:
    """Move a staged model to its place. Raises CommandError, with everything as it was, where that cannot be done."""
    place, before = models_dir / name, folder / ".before"
    try:
        if place.exists():
            place.rename(before)
        try:
            (folder / name).rename(place)
        except OSError:
            if before.exists():
                before.rename(place)
            raise
        # Where earlier versions put it. Its weights and code stay: another model may use them.
        (models_dir / f"{name}.toml").unlink(missing_ok=True)
    except OSError as error:
        raise CommandError(f"the models folder {models_dir} cannot be written: {error.strerror}") from error


def is_installed(file: Path, models_dir: Path) -> bool:
    """Whether a model file is in the models folder already, and needs no copy."""
    folder, models_dir = file.parent.resolve(), models_dir.resolve()
    return folder in (models_dir, models_dir / file.stem)


def _files(file: Path) -> list[str]:
    """The model file and what it names, relative to its folder. Files named by absolute paths stay where they are."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} is not a TOML file: {error}") from None
    names = [file.name]
    for field in ("weights", "classes"):
        name = table.get(field)
        if isinstance(name, str) and (file.parent / name).is_file() and not Path(name).is_absolute():
            if ".." in Path(name).parts:
                raise CommandError(
                    f"{file}: `{field}` leads out of the model's folder: put {Path(name).name} beside {file.name}"
                )
            names.append(name)
    source, _, rest = str(table.get("architecture", "")).partition(":")
    code = file.parent / rest.partition(":")[0]
    if source == "file" and code.is_file() and code.parent.resolve() == file.parent.resolve():
        names += code_files(code)
    return list(dict.fromkeys(names))
