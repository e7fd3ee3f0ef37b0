"""Registration of a model: loads the network once and stores the record that processes without torch use."""

import shutil
import time
from pathlib import Path
from typing import Any

from gfi.cli.errors import CommandError
from gfi.cli.printing import user
from gfi.domain.states import ShardState
from gfi.jobs.registration import request_registration, worker_there
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.settings import Settings

POLL_S = 0.2


def register(database: Database, settings: Settings, reference: str) -> dict[str, Any]:
    """Load `reference` and store its record. Returns the record.

    A path to a TOML file is first copied into the models folder, together with the weights, classes and code that it
    names, so that every worker that mounts the folder can load it.

    Raises MethodError when the model cannot be loaded and CommandError when the folder cannot be written.
    """
    from gfi.method.classifiers import describe

    if reference.endswith(".toml"):
        reference = _install(Path(reference), settings.models)
    record = describe(reference, settings.models)
    ledger.save_model(database, reference, record["digest"], record, actor=user())
    return record


def register_by_worker(database: Database, settings: Settings, reference: str) -> dict[str, Any]:
    """Register by a worker of the running service. Raises CommandError with the worker's reason."""
    if reference.endswith(".toml"):
        reference = _install(Path(reference), settings.models)
    task_id = request_registration(database, reference, user())
    while not (task := queries.get_task(database, task_id)).ended:
        if task.state is ShardState.PENDING and not worker_there(database):
            raise CommandError(
                f"no worker runs any more; task {task_id} waits for one. gfi models add --here {reference}"
                " registers the model in this process"
            )
        time.sleep(POLL_S)
    if task.state is not ShardState.DONE:
        raise CommandError(task.reason or f"task {task_id} was cancelled")
    model = queries.find_model(database, reference)
    if model is None:
        raise CommandError(f"{reference} was removed as soon as it was registered")
    return model.record


def _install(file: Path, folder: Path) -> str:
    import tomllib

    try:
        table = tomllib.loads(file.read_text())
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} is not a TOML file: {error}") from None
    architecture = str(table.get("architecture", ""))
    named = [str(table.get("weights", "")), str(table.get("classes", ""))]
    if architecture.startswith("file:"):
        named.append(architecture.split(":")[1])
    files = [file.parent / name for name in named if name and (file.parent / name).is_file()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source in (file, *files):
            if source.parent.resolve() != folder.resolve():
                shutil.copyfile(source, folder / source.name)
    except OSError as error:
        raise CommandError(f"the models folder {folder} cannot be written: {error.strerror}") from error
    return file.stem
