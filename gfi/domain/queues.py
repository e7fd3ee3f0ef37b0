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
Queue = Literal["explain", "interactive"]
QUEUES: tuple[Queue, ...] = (EXPLAIN_QUEUE, INTERACTIVE_QUEUE)
"""The queues that a job can be submitted to."""

IMPORT = "import:"


def import_queue(job_id: str) -> str:
    """The queue of an imported job. No worker listens to it and no message names it: who imports the job claims it."""
    return f"{IMPORT}{job_id}"


CONTROL_QUEUE: Final = "control"
"""Planning, reports and sweeps, which need no network and have workers of their own."""
CONTROL_SLOTS: Final = 4
"""Tasks that a control worker does at once; see `scheduler.slots`."""
