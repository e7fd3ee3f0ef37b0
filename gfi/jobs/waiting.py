"""Why a job that has not ended makes no progress: a sentence for users, or None while it is being worked on."""

from gfi.domain.queues import CONTROL_QUEUE, DEVICE_QUEUES
from gfi.domain.states import ControlKind, JobState, ShardState
from gfi.domain.tasks import KINDS
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.queries import Job

NO_WORKER = (
    "no worker has reported in the last minute: start one with `gfi worker` or `gfi up`; one that was just started"
    " takes some seconds"
)
NO_CONTROL_WORKER = (
    "no control worker has reported in the last minute, so no job is planned: start one with"
    " `gfi worker --queues control`"
)


def no_worker_of(queue: str) -> str:
    """That no worker takes from one of the queues that only some devices take from."""
    return (
        f"no worker of queue {queue} has reported in the last minute: start `gfi worker` on such a device, or with"
        f" `--queues {queue}`"
    )


def no_worker_on(device_kind: str) -> str:
    """That no worker has the kind of device on which a job was begun: other devices would give other masks."""
    device, _, card = device_kind.partition(":")
    return (
        f"it was begun on {card or device}, and no worker on that kind of device has reported in the last minute:"
        f" start one there with `gfi worker --device {device}`; other devices would give other masks. To use another"
        " kind, `gfi cancel` it and submit it anew"
    )


_PLANNING = (ControlKind.PLAN, ControlKind.RETRY)


def why_waiting(database: Database, job: Job) -> str | None:
    """Why the job waits: its last failed attempt, or that no worker takes it. None where nobody need look."""
    if job.ended or job.paused:
        return None
    if job.state == JobState.RUNNING:
        return _shards(database, job)
    tasks = queries.list_tasks(database, job_id=job.id, open_only=True)
    task = next((task for task in tasks if task.kind in _PLANNING), None)
    if task is None:
        return None
    if task.reason is not None:
        return f"{KINDS[task.kind].words}: {task.reason}; it is tried again"
    if task.state == ShardState.PENDING and not queries.worker_takes(database, CONTROL_QUEUE, task.kind):
        return NO_CONTROL_WORKER
    return None


def _shards(database: Database, job: Job) -> str | None:
    stopped = queries.stopped_shards(database, job.id)
    again = [row for row in stopped if row["status"] == ShardState.PENDING]
    if again:
        worst = max(again, key=lambda row: int(row["images"]))
        return f"{worst['images']} images: {worst['example']}"
    leased = queries.job_progress(database, job.id).shards.get(ShardState.LEASED, 0)
    if leased:
        return None
    if not queries.queue_has_worker(database, job.queue):
        return no_worker_of(job.queue) if job.queue in DEVICE_QUEUES else NO_WORKER
    if not queries.queue_has_worker(database, job.queue, job.device_kind):
        return no_worker_on(str(job.device_kind))
    last = queries.list_incidents(database, job.id, limit=1)
    if last and last[0]["kind"] == "death":  # the next worker has not come yet
        return f"{last[0]['reason']}; its images are tried again"
    return None


def waiting_jobs(database: Database, most: int = 50) -> dict[str, str]:
    """Why jobs wait, by id: among the newest `most` of each state."""
    jobs = [
        job
        for state in (JobState.QUEUED, JobState.PLANNING, JobState.RUNNING)
        for job in queries.list_jobs(database, state=state, limit=most)
    ]
    return {job.id: why for job in jobs if (why := why_waiting(database, job)) is not None}
