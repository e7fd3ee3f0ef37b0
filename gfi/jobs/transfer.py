"""Transfer between two finished jobs as a task: requested here, measured by a worker (`workers.transfer`).

The sample is drawn among the images that every job of the request explained for the same class, with a mask: the same
key and the same version. The result is the task's, and is deleted with the second job.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gfi.domain.digests import JSON
from gfi.domain.states import ControlKind
from gfi.domain.statuses import UNUSABLE
from gfi.domain.tasks import KINDS
from gfi.drift.transfer import sampled
from gfi.jobs.submit import Invalid
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict, NotFound
from gfi.store.queries import Job

IMAGES = 200
MOST_IMAGES = 5000


@dataclass(frozen=True)
class SharedImage:
    """An image that all jobs explained. target: the class; rows: job id → its row in that job's manifest."""

    key: str
    target: int
    rows: dict[str, int]


def request_transfer(
    database: Database,
    a: str,
    b: str,
    *,
    floor_jobs: Sequence[str] = (),
    images: int = IMAGES,
    seed: int = 0,
    owner: str,
) -> str:
    """Ask a worker to measure the transfer from job a to job b, and between the runs of the floor. Returns the task.

    Raises NotFound, Invalid for a job that has not ended or a sample that is too small or too large, Conflict where no
    live worker can do it.
    """
    if not 1 <= images <= MOST_IMAGES:
        raise Invalid(f"the sample has between 1 and {MOST_IMAGES:,} images, not {images:,}")
    jobs = [queries.get_job(database, job) for job in (a, b, *floor_jobs)]
    for job in jobs:
        if not job.ended:
            raise Invalid(f"job {job.id} is {job.shown_state}; wait for its end")
    queue = KINDS[ControlKind.TRANSFER].queue
    if not queries.worker_takes(database, queue, ControlKind.TRANSFER):
        raise Conflict(f"no live worker on queue {queue} can ask the network; start one: gfi worker")
    payload = {
        "a": jobs[0].id,
        "b": jobs[1].id,
        "floor": [job.id for job in jobs[2:]],
        "images": images,
        "seed": seed,
    }
    estimate_s = queries.usual_duration(database, ControlKind.TRANSFER)
    return ledger.request_task(
        database, ControlKind.TRANSFER, payload, owner=owner, job_id=jobs[1].id, estimate_s=estimate_s
    )[0]


def transfer_task(database: Database, task_id: str) -> queries.Task:
    """The task of a transfer. NotFound for another one."""
    task = queries.get_task(database, task_id)
    if task.kind != ControlKind.TRANSFER:
        raise NotFound(f"task {task_id} measures no transfer")
    return task


def shared_images(
    database: Database, jobs: Sequence[Job], number: int, seed: int, check: Callable[[], None]
) -> list[SharedImage]:
    """The seeded sample of images that all these jobs explained for the same class, in the order of keys. check: is
    called often, and may raise to end it. Memory holds an entry for each image."""
    known: dict[str, tuple[str, int, dict[str, int]]] | None = None
    for job in jobs:
        masks = _masks_of(database, job, check)
        if known is None:
            known = {key: (version, target, {job.id: row}) for key, version, target, row in masks}
            continue
        shared = {}
        for key, version, target, row in masks:
            before = known.get(key)
            if before is not None and before[:2] == (version, target):
                shared[key] = (version, target, before[2] | {job.id: row})
        known = shared
    chosen = sorted(sampled(known or (), number, seed))
    return [SharedImage(key, known[key][1], known[key][2]) for key in chosen] if known else []


def _masks_of(database: Database, job: Job, check: Callable[[], None]) -> list[tuple[str, str, int, int]]:
    """(key, version, target, row) of each image whose first class has a usable mask."""
    names = ("key", "version", "target", "row", "target_rank", "status", "part_id")
    found = []
    for page in queries.iterate_columns(database, job.id, names):
        check()
        for key, version, target, row, rank, status, part in page:
            if rank == 0 and part is not None and target is not None and status not in UNUSABLE:
                found.append((str(key), str(version), int(target), int(row)))
    return found


def without_common_images(jobs: Sequence[JSON]) -> str:
    """Why nothing can be measured."""
    return f"jobs {', '.join(map(str, jobs))} have no image that all of them explained for the same class with a mask"
