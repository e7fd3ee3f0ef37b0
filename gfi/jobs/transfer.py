"""Transfer between two finished jobs as a task: requested and put together here; a worker asks the networks
(`workers.transfer`).

The sample is drawn among the images that every job of the request explained for the same class, with a mask: the same
key and the same version. The result is the task's, and is deleted with the second job.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gfi.domain.states import ControlKind
from gfi.domain.statuses import UNUSABLE
from gfi.domain.tasks import KINDS
from gfi.drift.errors import DriftError
from gfi.drift.transfer import Transfer, sampled, transfer_sentences
from gfi.jobs.submit import Invalid
from gfi.jobs.task_run import TaskRun
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

    Raises NotFound, Invalid for a job that has not ended, a floor with job b, or a sample of no such size,
    Conflict where no live worker can do it.
    """
    if not 1 <= images <= MOST_IMAGES:
        raise Invalid(f"the sample has between 1 and {MOST_IMAGES:,} images, not {images:,}")
    jobs = [queries.get_job(database, job) for job in (a, b, *floor_jobs)]
    for job in jobs:
        if not job.ended:
            raise Invalid(f"job {job.id} is {job.shown_state}; wait for its end")
    if jobs[1].id in {job.id for job in jobs[2:]}:
        raise Invalid(f"job {jobs[1].id} is compared with the floor; leave it out of the floor")
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


Onto = Callable[[Job, Sequence[Job], Sequence[SharedImage]], list[Transfer]]
"""Measures the transfer from each of some jobs to the model of another one."""


def measure(database: Database, run: TaskRun, onto: Onto) -> str:
    """Measure the transfer from job a to job b, and between the runs of the floor (a among them).

    Every ordered pair of the floor's runs is measured as the compared pair is. The pairs of one model are measured
    together, so each network is loaded once and each photograph read once for it; their numbers are saved before the
    next model, and another worker goes on from there.
    """
    asked = run.claim.payload
    ids = list(dict.fromkeys([asked["b"], asked["a"], *asked["floor"]]))
    jobs = {job_id: queries.get_job(database, job_id) for job_id in ids}
    shared = shared_images(database, list(jobs.values()), int(asked["images"]), int(asked["seed"]), run.check)
    if not shared:
        raise DriftError(
            f"jobs {', '.join(ids)} have no image that all of them explained for the same class with a mask"
        )
    runs = list(dict.fromkeys([asked["a"], *asked["floor"]]))
    wanted = {asked["b"]: [asked["a"]]}
    if len(runs) > 1:
        for second in runs:
            wanted.setdefault(second, []).extend(first for first in runs if first != second)
    measured = [Transfer.from_json(one) for one in run.progress.get("measured", [])]
    for second, firsts in wanted.items():
        if any(one.second == second for one in measured):
            continue
        measured += onto(jobs[second], [jobs[first] for first in firsts], shared)
        run.save(
            lambda connection: None,
            done=len({one.second for one in measured}),
            total=len(wanted),
            measured=[one.to_json() for one in measured],
        )
    compared = next(one for one in measured if (one.first, one.second) == (asked["a"], asked["b"]))
    floor = [one for one in measured if one.second in runs and one.first in runs and one is not compared]
    names = dict(enumerate((jobs[asked["b"]].model or {}).get("class_names") or []))
    result = {
        "images": compared.n,
        "compared": compared.to_json(),
        "floor": [one.to_json() for one in floor],
        "sentences": list(transfer_sentences(compared, floor, names)),
    }
    return f"{compared.n} images" if run.finish(result) else "too late"


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
