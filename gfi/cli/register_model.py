"""Registration of a model: loads the network once and stores the record that processes without torch use."""

import tempfile
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
from gfi.store.model_store import ModelFile, put_files, put_head
from gfi.store.objects import Bucket
from gfi.store.settings import Settings

POLL_S = 0.2


def register(database: Database, settings: Settings, reference: str, note: str = "") -> dict[str, Any]:
    """Load `reference` and store its record, and its files in the bucket. Returns the record.

    A path NAME.toml is copied with the weights, classes and code that it names, and the copy is what is loaded and
    stored, so that every worker can load it.

    Raises MethodError when the model cannot be loaded and StoreError when it cannot be stored; nothing is changed then.
    """
    from gfi.method.model_bundle import bundled

    name, file = _found(reference, settings.models)
    bucket = Bucket.from_settings(settings)
    if file is None:
        return _save(database, _described(bucket, name, settings.models), note, None)
    with bundled(file) as bundle:
        record = _described(bucket, name, bundle.folder)
        files = put_files(bucket, bundle.files, bundle.names)
        saved = _save(database, record, note, files)
        if not model_folder.is_installed(file, settings.models):
            model_folder.install(bundle.files, name, settings.models)
    return saved


def _described(bucket: Bucket, name: str, models_dir: Path) -> dict[str, Any]:
    """The record of a model, whose head is in the bucket then."""
    from gfi.method.registration import describe

    with tempfile.TemporaryDirectory(prefix="gfi-register-") as folder:
        head = Path(folder) / "head.npz"
        record = describe(name, models_dir, head)
        put_head(bucket, head, record["head"])
    return record


def register_by_worker(
    database: Database, settings: Settings, reference: str, note: str = ""
) -> dict[str, Any]:
    """Register by a worker of the running service. Raises CommandError with the worker's reason."""
    from gfi.method.model_bundle import bundled

    name, file = _found(reference, settings.models)
    if file is None or model_folder.is_installed(file, settings.models):
        _wait(database, request_registration(database, name, user(), note=note), reference)
    else:
        with bundled(file) as bundle:
            files = put_files(Bucket.from_settings(settings), bundle.files, bundle.names)
            _wait(database, request_registration(database, name, user(), files, note), reference)
            model_folder.install(bundle.files, name, settings.models)
    return _registered(database, name)


def _save(
    database: Database, record: dict[str, Any], note: str, files: list[ModelFile] | None
) -> dict[str, Any]:
    reference = record["reference"]
    ledger.save_model(database, reference, record["digest"], record, actor=user(), note=note, files=files)
    return _registered(database, reference)


def _registered(database: Database, reference: str) -> dict[str, Any]:
    model = queries.find_model(database, reference)
    if model is None:
        raise CommandError(f"{reference} was removed as soon as it was registered")
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


def _found(reference: str, models_dir: Path) -> tuple[str, Path | None]:
    """(name, model file) of what is to be registered; no file for a network of a library."""
    from gfi.method.model_bundle import own_file

    if reference.endswith(".toml"):
        return Path(reference).stem, Path(reference)
    return reference, own_file(models_dir, reference)
