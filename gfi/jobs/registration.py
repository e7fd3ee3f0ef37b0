"""Requests the registration of a model by a worker; the worker's side is `workers.registration`."""

from collections.abc import Sequence

from gfi.domain.states import ControlKind
from gfi.domain.tasks import KINDS
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict
from gfi.store.model_store import ModelFile

KIND = ControlKind.REGISTER


class NoWorker(Conflict):
    """No live worker takes the task."""


def worker_there(database: Database) -> bool:
    """Whether a live worker can register a model."""
    return queries.worker_takes(database, KINDS[KIND].queue, KIND)


def request_registration(
    database: Database,
    reference: str,
    owner: str,
    files: Sequence[ModelFile] | None = None,
    note: str = "",
) -> str:
    """Ask a worker to register `reference`. Returns the id of the task; an open one for the same reference is that one.

    files: of the model, in the bucket already; without, the worker looks for a file of that name in its models folder.

    Raises NoWorker, which names the queue, if no live worker can do it.
    """
    if not worker_there(database):
        queue = KINDS[KIND].queue
        raise NoWorker(
            f"no live worker on queue {queue} registers models; start one: gfi worker --queues"
            f" {queue}; or run where torch is installed: gfi models add {reference}"
        )
    task_id, _ = ledger.request_task(
        database,
        KIND,
        {"reference": reference}
        | ({"files": [file.to_json() for file in files]} if files is not None else {})
        | ({"note": note} if note else {}),
        owner=owner,
        estimate_s=queries.usual_duration(database, KIND),
    )
    return task_id
