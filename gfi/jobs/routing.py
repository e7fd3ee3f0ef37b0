"""The queue of a job by the memory that it needs.

A job for any device goes to `explain`. If a live worker of that queue has less memory than one batch needs, as far as
that is known, the job goes to the first of `gpu` and `gpu-80g` of which every live worker has enough. It never goes to
a queue without a live worker.

What an image needs was measured by `gfi bench` with this network, method and layers in float32, on a card for cards
and on another device for the others; otherwise it follows from the numbers that its layers returned when the model was
registered (`gfi.domain.costs`). The weights are added to it. Of a job that names no batch, one image has to fit:
workers measure how many more do.

The planner chooses anew for a job that was moved, in case the workers are others by then, and the scheduler does as
long as no worker has begun it (`move_back`). A job that goes on from another one is not moved: its masks come from the
kind of device of that one.
"""

from collections.abc import Callable, Sequence

from gfi.domain import costs
from gfi.domain.digests import JSON
from gfi.domain.job import JobConfig, work_digest
from gfi.domain.queues import EXPLAIN_QUEUE, GPU_QUEUE, LARGE_GPU_QUEUE, Queue
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.others_go_on import others_go_on
from gfi.store.queries import Worker

MIB = 2**20
GONE_S = 600.0
"""A queue whose workers were all silent for so many seconds has none any more."""


def queue_of(database: Database, config: JobConfig, record: JSON, asked: Queue) -> Queue:
    """The queue for a job that was submitted to the queue `asked`. record: of its model."""
    if asked != EXPLAIN_QUEUE or "parameters" not in record:
        return asked
    plain = work_digest(config.model.digest, config.method_digest, config.layers, ())
    measured = queries.measured_memory(database, plain)
    estimate = costs.image_memory(record["activations"]) if "activations" in record else None
    if not measured and estimate is None:
        return asked

    def needed(device: str) -> float:
        known = [each for kind, each in measured.items() if _is_card(kind) == _is_card(device)]
        if not known:  # an earlier version registered some models without an estimate
            known = list(measured.values()) if estimate is None else [estimate]
        return costs.fixed_memory(device, record["parameters"]) + max(known) * (config.batch or 1)

    return fitting_queue(queries.list_workers(database), needed)


def move_back(database: Database) -> list[tuple[str, Queue]]:
    """Choose the queue anew for jobs that were moved and not begun, where no worker of their queue was seen for
    `GONE_S`. Returns the jobs that moved, each with its queue.

    Not sooner: a worker that is started again would find the job with workers that lack the memory for it.
    """
    workers = queries.list_workers(database)
    moved: list[tuple[str, Queue]] = []
    for job_id in queries.moved_jobs(database):
        with others_go_on("job not moved", job=job_id):
            job = queries.get_job(database, job_id)
            if any(job.queue in (worker.queues or ()) and worker.silent_s < GONE_S for worker in workers):
                continue
            queue = queue_of(database, job.config, job.model or {}, EXPLAIN_QUEUE)
            if queue != job.queue and ledger.move_job(database, job_id, job.queue, queue):
                moved.append((job_id, queue))
    return moved


def fitting_queue(workers: Sequence[Worker], needed: Callable[[str], float]) -> Queue:
    """The first queue whose live workers all have the memory; `explain` where it has no live worker, or none has.

    needed: bytes on a kind of device. A worker that does not report its memory counts as large enough.
    """

    def fits(queue: Queue) -> list[bool]:
        return [enough(worker, needed) for worker in workers if worker.takes_from(queue)]

    if not all(fits(EXPLAIN_QUEUE)):
        for queue in (GPU_QUEUE, LARGE_GPU_QUEUE):
            if any(there := fits(queue)) and all(there):
                return queue
    return EXPLAIN_QUEUE


def enough(worker: Worker, needed: Callable[[str], float]) -> bool:
    """Whether the worker's card, or without one its machine or container, has the memory that is needed."""
    device, facts = worker.device or "cpu", worker.facts or {}
    mib = facts.get("device_memory_mib" if _is_card(device) else "memory_mib")
    return mib is None or mib * MIB >= needed(device)


def _is_card(device: str) -> bool:
    return device.startswith("cuda")
