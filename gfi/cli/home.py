"""The directory of the embedded stack, `${GFI_HOME:-./.gfi}`, and its files.

supervisor.lock  held by the one supervisor of this directory, from before it starts anything until all has ended
stack.json      where the running stack listens, its keys and its supervisor (only while it runs)
identity.json   the keys and ports that the next start will use again
children.json   the processes that the supervisor started (only while it runs)
gfi.db          SQLite: jobs, shards, results
s3/, valkey/    data and logs of the two servers
logs/           one file per process

The directory has mode 700 and its files mode 600, so that other users cannot read keys, results or logs.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gfi.cli.errors import CommandError

if TYPE_CHECKING:
    from gfi.jobs.notify_addresses import NotifySettings
    from gfi.store.database import Database
    from gfi.store.settings import Settings


def home_directory() -> Path:
    """`${GFI_HOME:-./.gfi}`, absolute."""
    return Path(os.environ.get("GFI_HOME") or ".gfi").expanduser().resolve()


def make_home(home: Path) -> None:
    """Create the directory and its `logs`, for this user alone. CommandError when it cannot be written.

    A directory that existed before keeps its mode; the files of the stack are private in any case.
    """
    try:
        ours = not home.exists() or (home / "identity.json").exists()
        (home / "logs").mkdir(parents=True, exist_ok=True)
        if ours and home.stat().st_uid == os.getuid():
            home.chmod(0o700)
        (home / "logs").chmod(0o700)
    except OSError as error:
        raise CommandError(f"{home} cannot be written: {error.strerror}; set GFI_HOME elsewhere") from error


def log_file(home: Path, process: str) -> Path:
    """The log of one process."""
    return home / "logs" / f"{process}.log"


def stack_file(home: Path) -> Path:
    """The file with the addresses and keys of the running stack."""
    return home / "stack.json"


def children_file(home: Path) -> Path:
    """The file with the supervisor's processes, written when all of them are started."""
    return home / "children.json"


class AlreadyRuns(CommandError):
    """Another supervisor has this home directory."""

    def __init__(self, home: Path) -> None:
        super().__init__(f"a stack already runs in {home}: gfi down stops it")


@contextmanager
def private_files() -> Iterator[None]:
    """Files that this process creates inside the block are readable by this user only."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


class SupervisorLock:
    """Held by the only supervisor of a home directory. The kernel releases it, however the process ends.

    Its file names the holder, so that `gfi down` finds a supervisor that is still starting.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._file: int | None = None

    @property
    def held(self) -> bool:
        """Whether this process has it."""
        return self._file is not None

    def acquire(self) -> None:
        """Take it. Raises AlreadyRuns when another process has it."""
        from gfi.cli.children import process_record

        file = os.open(_lock_file(self._home), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            raise AlreadyRuns(self._home) from None
        os.truncate(file, 0)
        os.write(file, json.dumps(process_record(os.getpid())).encode())
        self._file = file

    def release(self) -> None:
        """Release it; the file is kept, because another process may be waiting for it."""
        if self._file is not None:
            os.truncate(self._file, 0)
            os.close(self._file)
            self._file = None


def _lock_file(home: Path) -> Path:
    return home / "supervisor.lock"


def supervisor_of(home: Path) -> dict[str, Any] | None:
    """The process that starts or runs the stack of this directory, as a record; None when there is none."""
    from gfi.cli.children import same_process

    try:
        record: dict[str, Any] = json.loads(_lock_file(home).read_text())
    except (OSError, ValueError):
        return None
    return record if same_process(record) is not None else None


def ready(home: Path) -> bool:
    """True once everything of the stack in this directory has been started."""
    return running_stack(home) is not None and children_file(home).exists()


_SCHEDULERS = (["-m", "scheduler"], ["gfi.cli.main", "scheduler"])
"""The ends of the command line of a stack's scheduler: running, and about to run."""


def other_stacks(home: Path) -> list[Path]:
    """The home directories in which this user's other stacks run, found by their schedulers."""
    import psutil

    found: set[Path] = set()
    for process in psutil.process_iter():
        try:
            command = process.cmdline()[-2:]
            if process.uids().real != os.getuid() or command not in _SCHEDULERS:
                continue
            found.add(Path(process.environ()["GFI_HOME"]))
        except (psutil.Error, KeyError, OSError):
            continue
    return sorted(other for other in found - {home} if running_stack(other) is not None)


def nothing_runs(home: Path) -> str:
    """The message if no stack runs in `home`."""
    others = other_stacks(home)
    if not others:
        return "nothing is running: gfi up -d"
    return (
        f"nothing is running in {home}; a stack runs in {' and in '.join(map(str, others))}: "
        f"GFI_HOME={others[0]} selects it, gfi up -d starts another one here"
    )


def running_stack(home: Path) -> dict[str, Any] | None:
    """The content of stack.json while its supervisor runs; None when nothing runs."""
    from gfi.cli.children import same_process

    try:
        record = json.loads(stack_file(home).read_text())
    except (OSError, ValueError):
        return None
    return record if same_process(record.get("supervisor", {})) is not None else None


def write_private(path: Path, record: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Write JSON that only this user can read, completely or not at all."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(record, file, indent=1)
    fresh.replace(path)


def api_address() -> str | None:
    """The address of the API: GFI_API_URL, else that of the stack that runs here; None where neither is known."""
    address = os.environ.get("GFI_API_URL") or (running_stack(home_directory()) or {}).get("api_url")
    return None if address is None else str(address).rstrip("/")


def notify_settings() -> "NotifySettings":
    """Whom jobs may tell: as the stack that runs here was started, else as this environment says.

    The API of the stack sends the messages, and may have been started in another shell.
    """
    from gfi.jobs.notify_addresses import NotifySettings

    stack = running_stack(home_directory()) if "GFI_DATABASE_URL" not in os.environ else None
    if stack is not None and "notify" in stack:
        return NotifySettings.checked(stack["notify"])
    return NotifySettings.load()


def open_stack() -> "tuple[Settings, Database]":
    """Settings and database of the configured service, or of the stack that runs in the home directory.

    Raises CommandError when there is neither, and StoreError when the database needs an upgrade.
    """
    if "GFI_DATABASE_URL" not in os.environ and running_stack(home_directory()) is None:
        raise CommandError(nothing_runs(home_directory()))
    from gfi.store.database import Database, check
    from gfi.store.settings import Settings

    settings = Settings.load().require_stack()
    database = Database(settings.require_database())
    check(database)
    return settings, database
