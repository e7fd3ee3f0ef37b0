"""The checks of `gfi doctor`. Every check gives one line: what was found, or what is wrong and what to do."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from typing import Any

from gfi.cli.home import nothing_runs
from gfi.domain.queues import CONTROL_QUEUE
from gfi.domain.states import ACTIVE
from gfi.store.settings import Settings

# S3 refuses requests whose clock is off by 15 minutes; warn well before that.
CLOCK_WARN_S = 300
DISK_WARN_BYTES = 2 << 30
FREE_SPACE = (
    "the S3 server needs more to write: delete old jobs with `gfi jobs delete JOB` and what is left behind with `gfi gc"
    " --delete`"
)
JOBS_ASKED = 20
"""The newest jobs of each state that an API is asked about, with one request each."""


@dataclass(frozen=True)
class Finding:
    """One check: what was checked, whether it passed, and a line that says so."""

    what: str
    ok: bool
    says: str


def examine() -> list[Finding]:
    """Run every check that applies on this machine, in the order in which problems should be solved.

    With GFI_API_URL set these are the API, its workers and its jobs, else the processes and servers of this machine.
    """
    findings = [_python()]
    if os.environ.get("GFI_API_URL"):
        return [*findings, *_findings([("api", _api), ("workers", _workers_of_api), ("jobs", _jobs_of_api)])]
    findings.append(_packages())
    try:
        settings = Settings.load()
    except Exception as error:
        return [*findings, Finding("settings", False, _one_line(error))]
    findings.append(_disk(settings))
    if settings.database_url is None and settings.redis_url is None and settings.s3_bucket is None:
        return [*findings, Finding("stack", False, nothing_runs(settings.home))]
    try:
        settings.require_stack()
    except Exception as error:
        return [*findings, Finding("stack", False, _one_line(error))]
    checks: list[tuple[str, Callable[[Settings], str]]] = [
        ("database", _database),
        ("redis", _redis),
        ("s3", _s3),
        ("clock", _clock),
        ("workers", _workers),
        ("queues", _queues),
        ("jobs", _jobs),
    ]
    return [*findings, *_findings((what, partial(check, settings)) for what, check in checks)]


def _findings(checks: Iterable[tuple[str, Callable[[], str]]]) -> list[Finding]:
    """A finding for each check; the text of an exception says what is wrong."""
    findings = []
    for what, check in checks:
        try:
            findings.append(Finding(what, True, check()))
        except Exception as error:
            findings.append(Finding(what, False, _one_line(error)))
    return findings


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _python() -> Finding:
    installed = sys.version.split()[0]
    return Finding("python", sys.version_info >= (3, 11), f"{installed} ({sys.executable})")


def _packages() -> Finding:
    installed, missing = [], []
    for name in ("celery", "redis", "sqlalchemy", "boto3", "torch", "torchvision"):
        try:
            installed.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if set(missing) - {"torch", "torchvision"}:
        return Finding("packages", False, f'missing: {", ".join(missing)}; pip install "gfi[service]"')
    without_torch = (
        '; workers and `gfi explain` also need torch: pip install "gfi[method]"' if missing else ""
    )
    return Finding("packages", True, ", ".join(installed) + without_torch)


def _api() -> str:
    from gfi.client import Client

    with Client(attempts=1) as client:
        caller = client.me()
    return f"{os.environ['GFI_API_URL']} answers; token {caller['name']} may {', '.join(caller['scopes'])}"


def _workers_of_api() -> str:
    from gfi.client import Client

    with Client(attempts=1) as client:
        return workers_line(client.workers())


def _jobs_of_api() -> str:
    from gfi.client import Client

    with Client(attempts=1) as client:
        jobs = [job for state in sorted(ACTIVE) for job in islice(client.jobs(state=state), JOBS_ASKED)]
        return jobs_line({job.id: why for job in jobs if (why := job.refresh().record["waits"])})


def _disk(settings: Settings) -> Finding:
    place = settings.home if settings.home.exists() else settings.home.parent
    free = shutil.disk_usage(place).free
    enough = free > DISK_WARN_BYTES
    says = f"{free / 2**30:.1f} GiB free at {place}"
    return Finding("disk", enough, says if enough else f"{says}; {FREE_SPACE}")


def _database(settings: Settings) -> str:
    from gfi.store.database import Database, check, head_revision

    database = Database(settings.require_database())
    check(database)
    return f"{database.safe_url} at revision {head_revision()}"


def _redis(settings: Settings) -> str:
    import redis

    from gfi.store.broker import redact
    from gfi.store.errors import one_line

    url = redact(str(settings.redis_url))
    client = redis.Redis.from_url(str(settings.redis_url), socket_connect_timeout=3, socket_timeout=3)
    try:
        info = client.info()
        policy = client.config_get("maxmemory-policy").get("maxmemory-policy")
    except redis.RedisError as error:
        raise RuntimeError(
            f"{url} does not answer: {one_line(error).rstrip('.')}; {_start('GFI_REDIS_URL')}"
        ) from None
    if policy != "noeviction":
        raise RuntimeError(
            f"maxmemory-policy is {policy}, which drops messages when the memory is full: set noeviction"
        )
    return f"{url}, version {info['redis_version']}, {info['used_memory_human']} used"


def _start(setting: str) -> str:
    """The next command where a server does not answer."""
    return f"start it (`gfi up -d` on one machine, else as you started it before), or correct {setting}"


def _s3(settings: Settings) -> str:
    from gfi.store.errors import Transient
    from gfi.store.objects import Bucket

    bucket = Bucket.from_settings(settings)
    key = f"doctor/{time.time_ns()}"
    try:
        bucket.put(key, b"gfi doctor")
        bucket.delete_many([key])
    except Transient:
        place = settings.s3_endpoint or "AWS"
        raise RuntimeError(f"{place} does not answer; {_start('GFI_S3_ENDPOINT')}") from None
    return f"{settings.s3_endpoint} bucket {settings.s3_bucket}: wrote and deleted an object"


def _clock(settings: Settings) -> str:
    from gfi.store.errors import StoreError
    from gfi.store.objects import Bucket

    try:
        skew_s = Bucket.from_settings(settings).clock_skew()
    except StoreError:
        raise RuntimeError("not compared with the S3 server's, which did not answer: see s3") from None
    if abs(skew_s) > CLOCK_WARN_S:
        raise RuntimeError(
            f"the clock of this machine is {skew_s:+.0f} s off the S3 server's, which refuses requests that are 900 s"
            " off: set the clock"
        )
    return f"within {abs(skew_s):.0f} s of the S3 server's"


def _workers(settings: Settings) -> str:
    from gfi.store import queries
    from gfi.store.database import Database

    workers = queries.list_workers(Database(settings.require_database()))
    fields = ("id", "queues", "clock_skew_s", "alive", "device", "facts", "state")
    return workers_line([{name: getattr(worker, name) for name in fields} for worker in workers])


def workers_line(workers: Iterable[Mapping[str, Any]]) -> str:
    """The running workers by queue. RuntimeError if none takes shards, none plans jobs, a device is quarantined, or a
    clock is wrong.

    workers: dicts with id, queues, clock_skew_s and alive; device, facts and state if they are known.
    """
    from gfi.jobs.waiting import NO_CONTROL_WORKER, NO_WORKER

    by_queue: dict[str, list[str]] = {}
    for worker in workers:
        if not worker["alive"] or worker.get("state") == "stopping":
            continue
        if worker.get("state") == "quarantined":
            raise RuntimeError(
                f"device {worker['id']} is quarantined: {(worker.get('facts') or {}).get('reason')}. Its log says why;"
                " then restart its `gfi worker --devices`"
            )
        skew_s = worker["clock_skew_s"] or 0.0
        if abs(skew_s) > CLOCK_WARN_S:
            raise RuntimeError(
                f"the clock of worker {worker['id']} is {skew_s:+.0f} s off the database's; S3 refuses uploads that "
                "are 900 s off: set the clock there"
            )
        for queue in worker["queues"] or ():
            by_queue.setdefault(queue, []).append(_named(worker))
    if not set(by_queue) - {CONTROL_QUEUE}:
        raise RuntimeError(NO_WORKER)
    if CONTROL_QUEUE not in by_queue:
        raise RuntimeError(NO_CONTROL_WORKER)
    return "; ".join(f"{queue}: {_some(names)}" for queue, names in sorted(by_queue.items()))


def _named(worker: Mapping[str, Any]) -> str:
    """A worker with its device, as in `host:7 on NVIDIA H100, 80 GiB, torch 2.9.1`."""
    facts = worker.get("facts") or {}
    device = facts.get("device_name") or worker.get("device")
    if device is None:
        return str(worker["id"])
    memory = [f"{facts['device_memory_mib'] / 1024:.0f} GiB"] if facts.get("device_memory_mib") else []
    torch = [f"torch {facts['torch']}"] if facts.get("torch") else []
    return f"{worker['id']} on {', '.join([device, *memory, *torch])}"


def _some(names: list[str]) -> str:
    """The number of names, and the first five."""
    return f"{len(names)} ({', '.join(sorted(names)[:5])}{', …' if len(names) > 5 else ''})"


def _queues(settings: Settings) -> str:
    from kombu.exceptions import OperationalError
    from redis.exceptions import RedisError

    from gfi.store import queries
    from gfi.store.broker import make_celery, queue_length
    from gfi.store.database import Database

    waiting = queries.waiting(Database(settings.require_database()))
    celery = make_celery(settings, "gfi-doctor")
    try:
        return "; ".join(
            f"{name}: {counts['pending']} waiting, {counts['leased']} in progress, {counts['delayed']} delayed, "
            f"{queue_length(celery, name)} messages"
            for name, counts in waiting.items()
        )
    except (OperationalError, RedisError):
        raise RuntimeError("messages are not counted, because Redis did not answer: see redis") from None


def _jobs(settings: Settings) -> str:
    from gfi.jobs.waiting import waiting_jobs
    from gfi.store.database import Database

    return jobs_line(waiting_jobs(Database(settings.require_database())))


def jobs_line(waiting: Mapping[str, str]) -> str:
    """That no job waits for a reason. RuntimeError with the first three that do.

    waiting: why jobs wait, by id.
    """
    if waiting:
        first = "; ".join(f"{job} waits: {why}" for job, why in list(waiting.items())[:3])
        raise RuntimeError(first + (f"; and {len(waiting) - 3} more" if len(waiting) > 3 else ""))
    return "no job waits after a failure or for a worker"
