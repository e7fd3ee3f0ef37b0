"""The queue of a job by the memory that it needs.

A job for any device goes to `explain`. If a live worker of that queue has less memory than one batch needs, as far as
that is known, the job goes to the first of `gpu` and `gpu-80g` of which every live worker has enough. It never goes to
a queue without a live worker.

What an image needs was measured by `gfi bench` with this network, method and layers; otherwise it follows from the
numbers that its layers returned when the model was registered (`gfi.domain.costs`). The weights are added to it. Of a
job that names no batch, one image has to fit: workers measure how many more do.
"""

from collections.abc import Callable, Sequence

from gfi.domain import costs
from gfi.domain.digests import JSON
from gfi.domain.job import JobConfig, work_digest
from gfi.domain.queues import EXPLAIN_QUEUE, GPU_QUEUE, LARGE_GPU_QUEUE, Queue
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.queries import Worker

MIB = 2**20


def queue_of(database: Database, config: JobConfig, record: JSON, asked: Queue) -> Queue:
    """The queue for a job that was submitted to the queue `asked`. record: of its model."""
    if asked != EXPLAIN_QUEUE or "parameters" not in record:
        return asked
    plain = work_digest(config.model.digest, config.method_digest, config.layers, ())
    image_bytes = queries.measured_memory(database, plain)
    if image_bytes is None and "activations" in record:
        image_bytes = costs.image_memory(record["activations"])
    if image_bytes is None:
        return asked
    images = image_bytes * (config.batch or 1)

    def needed(device: str) -> float:
        return costs.fixed_memory(device, record["parameters"]) + images

    return fitting_queue(queries.list_workers(database), needed)


def fitting_queue(workers: Sequence[Worker], needed: Callable[[str], float]) -> Queue:
    """The first queue whose live workers all have the memory; `explain` where it has no live worker, or none has.

    needed: bytes on a kind of device. A worker that does not report its memory counts as large enough.
    """

    def fits(queue: Queue) -> list[bool]:
        return [
            enough(worker, needed) for worker in workers if worker.alive and queue in (worker.queues or ())
        ]

    if not all(fits(EXPLAIN_QUEUE)):
        for queue in (GPU_QUEUE, LARGE_GPU_QUEUE):
            if any(there := fits(queue)) and all(there):
                return queue
    return EXPLAIN_QUEUE


def enough(worker: Worker, needed: Callable[[str], float]) -> bool:
    """Whether the worker's card, or without one its machine, has the memory that is needed."""
    device, facts = worker.device or "cpu", worker.facts or {}
    mib = facts.get("device_memory_mib" if device.startswith("cuda") else "memory_mib")
    return mib is None or mib * MIB >= needed(device)
