"""Requests the registration of a model by a worker; the worker's side is `workers.registration`."""

from gfi.domain.states import ControlKind
from gfi.domain.tasks import KINDS
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict

KIND = ControlKind.REGISTER


class NoWorker(Conflict):
    """No live worker takes the task."""


def worker_there(database: Database) -> bool:
    """Whether a live worker can register a model."""
    return queries.worker_takes(database, KINDS[KIND].queue, KIND)


def request_registration(
    database: Database, reference: str, owner: str, staged: str | None = None, note: str = ""
) -> str:
    """Ask a worker to register `reference`. Returns the id of the task; an open one for the same reference is that one.

    staged: a folder within the models folder, from which the worker reads the model. The record is then in the task's
    result, and whoever asked stores it.

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
        | ({"staged": staged} if staged is not None else {})
        | ({"note": note} if note else {}),
        owner=owner,
        estimate_s=queries.usual_duration(database, KIND),
    )
    return task_id
