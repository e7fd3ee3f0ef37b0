"""The directory of the embedded stack, `${GFI_HOME:-./.gfi}`, and what its files say.

stack.json      where the running stack listens, its keys and its supervisor (only while it runs; mode 600)
identity.json   the keys and ports that the next start will use again (mode 600)
children.json   the processes that the supervisor started (only while it runs)
gfi.db          SQLite: jobs, shards, results
s3/, valkey/    data and logs of the two servers
logs/           one file per process
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gfi.cli.errors import CommandError

if TYPE_CHECKING:
    from gfi.store.database import Database
    from gfi.store.settings import Settings


def home_directory() -> Path:
    """`${GFI_HOME:-./.gfi}`, absolute."""
    return Path(os.environ.get("GFI_HOME") or ".gfi").expanduser().resolve()


def make_home(home: Path) -> None:
    """Create the directory and its `logs`. CommandError when it cannot be written."""
    try:
        (home / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{home} cannot be written: {error.strerror}; set GFI_HOME elsewhere") from error


def log_file(home: Path, process: str) -> Path:
    """The log of one process."""
    return home / "logs" / f"{process}.log"


def stack_file(home: Path) -> Path:
    """Where the running stack says how it is reached."""
    return home / "stack.json"


def children_file(home: Path) -> Path:
    """Where the supervisor lists its processes, once all of them are started."""
    return home / "children.json"


def running_stack(home: Path) -> dict[str, Any] | None:
    """The content of stack.json while its supervisor runs; None when nothing runs."""
    from gfi.cli.children import same_process

    try:
        record = json.loads(stack_file(home).read_text())
    except (OSError, ValueError):
        return None
    return record if same_process(record.get("supervisor", {})) is not None else None


def write_private(path: Path, record: dict[str, Any]) -> None:
    """Write JSON that only this user can read, all of it or nothing."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(record, file, indent=1)
    fresh.replace(path)


def open_stack() -> "tuple[Settings, Database]":
    """Settings and database of the configured service, or of the stack that runs in the home directory.

    Raises CommandError when there is neither, and StoreError when the database needs an upgrade.
    """
    if "GFI_DATABASE_URL" not in os.environ and running_stack(home_directory()) is None:
        raise CommandError("nothing is running: gfi up -d")
    from gfi.store.database import Database, check
    from gfi.store.settings import Settings

    settings = Settings.load().require_stack()
    database = Database(settings.require_database())
    check(database)
    return settings, database
