"""The names of queues and of the Celery tasks in them.

They are part of the message format: workers of an earlier version read them too.
"""

from typing import Final, Literal

EXPLAIN = "gfi.explain_shard"
"""The Celery task of a worker with a network. Arguments: the queue, and the preferred shard or task."""
CONTROL = "gfi.control"
"""The Celery task of a control worker. Argument: the preferred control task."""

EXPLAIN_QUEUE: Final = "explain"
INTERACTIVE_QUEUE: Final = "interactive"
CPU_QUEUE: Final = "cpu"
GPU_QUEUE: Final = "gpu"
LARGE_GPU_QUEUE: Final = "gpu-80g"
Queue = Literal["explain", "interactive", "cpu", "gpu", "gpu-80g"]
DEVICE_QUEUES: tuple[Queue, ...] = (CPU_QUEUE, GPU_QUEUE, LARGE_GPU_QUEUE)
"""Queues that only workers on such a device take from; from the others, workers on any device."""
QUEUES: tuple[Queue, ...] = (EXPLAIN_QUEUE, INTERACTIVE_QUEUE, *DEVICE_QUEUES)
"""The queues that a job can be submitted to."""
LARGE_GPU_MIB: Final = 75 * 1024
"""Memory from which a card takes from LARGE_GPU_QUEUE; one sold with 80 GB reports about 80,000 MiB."""


def queues_of(device: str, memory_mib: int = 0) -> tuple[Queue, ...]:
    """The queues of a worker on `device` (`cpu`, `mps`, `cuda:N`) with this memory, unless `--queues` names others.

    >>> queues_of("cuda:0", 81_559)
    ('explain', 'interactive', 'gpu', 'gpu-80g')
    """
    if not device.startswith("cuda"):
        return (EXPLAIN_QUEUE, INTERACTIVE_QUEUE, *((CPU_QUEUE,) if device == "cpu" else ()))
    large: tuple[Queue, ...] = (LARGE_GPU_QUEUE,) if memory_mib >= LARGE_GPU_MIB else ()
    return (EXPLAIN_QUEUE, INTERACTIVE_QUEUE, GPU_QUEUE, *large)


IMPORT = "import:"


def import_queue(job_id: str) -> str:
    """The queue of an imported job. No worker listens to it and no message names it: who imports the job claims it."""
    return f"{IMPORT}{job_id}"


CONTROL_QUEUE: Final = "control"
"""Planning, reports and sweeps, which need no network and have workers of their own."""
CONTROL_SLOTS: Final = 4
"""Tasks that a control worker does at once; see `scheduler.slots`."""
