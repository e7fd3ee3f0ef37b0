"""What `gfi doctor` looks at. Every check says one line: what is there, or what is wrong and what to do."""

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from gfi.domain.queues import CONTROL_QUEUE
from gfi.store.settings import Settings

# S3 refuses requests whose clock is 15 minutes off; warn well before.
CLOCK_WARN_S = 300
DISK_WARN_BYTES = 2 << 30


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, whether it is well, and a line that says so."""

    what: str
    ok: bool
    says: str


def examine() -> list[Finding]:
    """Run every check that applies here, in the order a person would want them mended."""
    findings = [_python(), _packages()]
    try:
        settings = Settings.load()
    except Exception as error:
        return [*findings, Finding("settings", False, str(error))]
    findings.append(_disk(settings))
    try:
        settings.require_stack()
    except Exception as error:
        return [*findings, Finding("stack", False, str(error))]
    checks: list[tuple[str, Callable[[Settings], str]]] = [
        ("database", _database), ("redis", _redis), ("s3", _s3), ("clock", _clock), ("workers", _workers),
        ("queues", _queues),
    ]  # fmt: skip
    for what, check in checks:
        try:
            findings.append(Finding(what, True, check(settings)))
        except Exception as error:
            findings.append(Finding(what, False, _one_line(error)))
    return findings


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _python() -> Finding:
    here = sys.version.split()[0]
    return Finding("python", sys.version_info >= (3, 11), f"{here} ({sys.executable})")


def _packages() -> Finding:
    installed, missing = [], []
    for name in ("celery", "redis", "sqlalchemy", "boto3", "torch", "torchvision"):
        try:
            installed.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if set(missing) - {"torch", "torchvision"}:
        return Finding(
            "packages", False, f'missing: {", ".join(missing)}; pip install "gfi[service]" brings them'
        )
    absent = "; no torch here: workers and `gfi explain` need it" if missing else ""
    return Finding("packages", True, ", ".join(installed) + absent)


def _disk(settings: Settings) -> Finding:
    place = settings.home if settings.home.exists() else settings.home.parent
    free = shutil.disk_usage(place).free
    says = f"{free / 2**30:.1f} GiB free at {place}"
    return Finding(
        "disk", free > DISK_WARN_BYTES, says if free > DISK_WARN_BYTES else f"{says}; S3 needs room to write"
    )


def _database(settings: Settings) -> str:
    from gfi.store.database import Database, current_revision, head_revision

    database = Database(settings.require_database())
    here, newest = current_revision(database), head_revision()
    if here != newest:
        raise RuntimeError(
            f"{database.safe_url} is at revision {here or 'none'}, this code needs {newest}: gfi db upgrade"
        )
    return f"{database.safe_url} at revision {here}"


def _redis(settings: Settings) -> str:
    import redis

    from gfi.store.broker import redact
    from gfi.store.errors import one_line

    place = redact(str(settings.redis_url))
    client = redis.Redis.from_url(str(settings.redis_url), socket_connect_timeout=3, socket_timeout=3)
    try:
        info = client.info()
        policy = client.config_get("maxmemory-policy").get("maxmemory-policy")
    except redis.RedisError as error:
        raise RuntimeError(f"{place} does not answer: {one_line(error)}") from None
    if policy != "noeviction":
        raise RuntimeError(f"maxmemory-policy is {policy}: a full memory would drop messages; set noeviction")
    return f"{place}, version {info['redis_version']}, {info['used_memory_human']} used"


def _s3(settings: Settings) -> str:
    from gfi.store.objects import Bucket

    bucket = Bucket.from_settings(settings)
    key = f"doctor/{time.time_ns()}"
    bucket.put(key, b"gfi doctor")
    bucket.delete_many([key])
    return f"{settings.s3_endpoint} bucket {settings.s3_bucket}: wrote and deleted an object"


def _clock(settings: Settings) -> str:
    from gfi.store.objects import Bucket

    off = Bucket.from_settings(settings).clock_skew()
    if abs(off) > CLOCK_WARN_S:
        raise RuntimeError(
            f"this clock is {off:+.0f} s off the S3 server's, which refuses requests 900 s off: set the clock"
        )
    return f"within {abs(off):.0f} s of the S3 server's"


def _workers(settings: Settings) -> str:
    from gfi.store import queries
    from gfi.store.database import Database

    seen = queries.list_workers(Database(settings.require_database()))
    live = [worker for worker in seen if worker.alive]
    control = [worker for worker in live if CONTROL_QUEUE in (worker.queues or ())]
    explaining = [worker for worker in live if worker not in control]
    if not explaining:
        raise RuntimeError("no worker has reported in the last minute: gfi worker (or gfi up) starts one")
    if not control:
        raise RuntimeError(
            "no control worker has reported in the last minute, so no job is planned: gfi worker --queues control"
        )
    for worker in live:
        off = worker.clock_skew_s or 0.0
        if abs(off) > CLOCK_WARN_S:
            raise RuntimeError(
                f"the clock of worker {worker.name} is {off:+.0f} s off the database's; S3 refuses uploads that "
                "are 900 s off: set the clock there"
            )
    named = ", ".join(worker.name for worker in explaining[:5])
    return f"{len(explaining)} explaining ({named}), {len(control)} for planning and reports"


def _queues(settings: Settings) -> str:
    from gfi.store import queries
    from gfi.store.broker import make_celery, queue_length
    from gfi.store.database import Database

    waiting = queries.waiting(Database(settings.require_database()))
    celery = make_celery(settings, "gfi-doctor")
    return "; ".join(
        f"{name}: {counts['pending']} waiting, {counts['leased']} at work, {counts['delayed']} backing off, "
        f"{queue_length(celery, name)} messages"
        for name, counts in waiting.items()
    )
