"""Registration of a model: loads the network once and stores the record that processes without torch use."""

import time
from pathlib import Path
from typing import Any

from gfi.cli import model_folder
from gfi.cli.errors import CommandError
from gfi.cli.printing import user
from gfi.domain.states import ShardState
from gfi.jobs.registration import request_registration, worker_there
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.settings import Settings

POLL_S = 0.2


def register(database: Database, settings: Settings, reference: str, note: str = "") -> dict[str, Any]:
    """Load `reference` and store its record. Returns the record.

    A path NAME.toml is first copied into a folder of its own in the models folder, NAME, together with the weights,
    classes and code that it names, so that every worker that mounts the models folder can load it.

    Raises MethodError when the model cannot be loaded and CommandError when the folder cannot be written; nothing is
    changed then.
    """
    from gfi.method.classifiers import describe

    file = _to_copy(reference, settings.models)
    if file is None:
        record = describe(_name(reference), settings.models)
    else:
        with model_folder.staged(file, settings.models) as folder:
            record = describe(file.stem, folder)
            model_folder.install(folder, file.stem, settings.models)
    return _save(database, record, note)


def register_by_worker(
    database: Database, settings: Settings, reference: str, note: str = ""
) -> dict[str, Any]:
    """Register by a worker of the running service. Raises CommandError with the worker's reason."""
    file = _to_copy(reference, settings.models)
    if file is not None:
        with model_folder.staged(file, settings.models) as folder:
            result = _wait(
                database, request_registration(database, file.stem, user(), folder.name), reference
            )
            record: dict[str, Any] = result["record"]
            model_folder.install(folder, file.stem, settings.models)
        return _save(database, record, note)
    reference = _name(reference)
    _wait(database, request_registration(database, reference, user(), note=note), reference)
    model = queries.find_model(database, reference)
    if model is None:
        raise CommandError(f"{reference} was removed as soon as it was registered")
    return shown(model)


def _save(database: Database, record: dict[str, Any], note: str) -> dict[str, Any]:
    ledger.save_model(database, record["reference"], record["digest"], record, actor=user(), note=note)
    model = queries.find_model(database, record["reference"])
    if model is None:
        raise CommandError(f"{record['reference']} was removed as soon as it was registered")
    return shown(model)


def shown(model: queries.Model) -> dict[str, Any]:
    """A registered model for people: its record, with the version, who registered it, when, and the note."""
    return model.record | {
        "version": model.version,
        "note": model.note,
        "registered_by": model.actor,
        "registered_at": model.created_at,
    }


def _wait(database: Database, task_id: str, reference: str, note: str = "") -> dict[str, Any]:
    """The result of a task that registers a model, once it has ended."""
    while not (task := queries.get_task(database, task_id)).ended:
        if task.state is ShardState.PENDING and not worker_there(database):
            raise CommandError(
                f"no worker runs any more; task {task_id} waits for one. gfi models add --here {reference}"
                " registers the model in this process"
            )
        time.sleep(POLL_S)
    if task.state is not ShardState.DONE:
        raise CommandError(task.reason or f"task {task_id} was cancelled")
    return dict(task.result or {})


def _to_copy(reference: str, models_dir: Path) -> Path | None:
    """The model file that a reference names, if it is not in the models folder yet."""
    file = Path(reference)
    return file if file.suffix == ".toml" and not model_folder.is_installed(file, models_dir) else None


def _name(reference: str) -> str:
    return Path(reference).stem if reference.endswith(".toml") else reference
