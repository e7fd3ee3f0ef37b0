"""The folder of a model that was added: models_dir/NAME, a copy for `gfi explain` and `gfi layers` on this machine.

Workers load a registered model from the bucket. A models folder that cannot be written, as in a container, is left as
it is.
"""

import contextlib
import shutil
import tempfile
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


def install(files: Path, name: str, models_dir: Path) -> bool:
    """Copy the files of a model to its place. False, with everything as it was, where that cannot be done."""
    place = models_dir / name
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=models_dir) as made:
            new, before = Path(made) / "new", Path(made) / "before"
            shutil.copytree(files, new)
            new.chmod(0o755)  # workers may run as another user
            if place.exists():
                place.rename(before)
            try:
                new.rename(place)
            except OSError:
                if before.exists():
                    before.rename(place)
                raise
        # Where earlier versions put it. Its weights and code stay: another model may use them.
        with contextlib.suppress(FileNotFoundError):
            (models_dir / f"{name}.toml").unlink()
    except OSError as error:
        log.info("the models folder was not changed", folder=str(models_dir), reason=error.strerror)
        return False
    return True


def is_installed(file: Path, models_dir: Path) -> bool:
    """Whether a model file is in the models folder already, and needs no copy."""
    folder, models_dir = file.parent.resolve(), models_dir.resolve()
    return folder in (models_dir, models_dir / file.stem)
