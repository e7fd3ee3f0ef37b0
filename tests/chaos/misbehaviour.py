"""The faults that a test can cause in a process at a chosen moment: see `AIMS`."""

import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gfi.domain.states import ControlKind
from tests.chaos.fake import PACE, take_tasks

AIMS = ("after claim", "in renewal", "after upload", "in commit", "after commit")
"""Moments at which `kill -9` hurts most: the shard is ours and nobody has heard of us; between the statements of a
renewal and its COMMIT; the part is in the bucket and the ledger does not know; between the statements of a commit
and its COMMIT; the commit is applied and its worker dies before it hears so."""


PLANNING = "planning"
"""A task that plans a job is claimed, and nobody has heard of us."""


AFTER_PIECE, IN_TASK_COMMIT = "after a piece", "in the commit of a task"
AFTER_CARRYING = "after a piece of carried results"
"""A task has saved a piece and the progress that says so; a task is between the statements of its commit and COMMIT."""
AFTER_LOOK, AFTER_COMPARISON = "after a look", "after a comparison"
"""A comparison has taken its number in the year and nobody has heard of it; its result is in the bucket and the ledger
does not know."""


def misbehave(config: dict[str, Any]) -> None:
    """Set up this worker process as a scenario requires it.

    pace: {steps, step_s} of the optimiser. aim: one of AIMS or, of a planner, PLANNING or AFTER_CARRYING, or, of a
    task, AFTER_PIECE, IN_TASK_COMMIT, AFTER_LOOK or AFTER_COMPARISON; it is true the first time (`first`: a file that
    says that it was) and from then on with `chance`. aims: several, each with its file.
    clock_s: how far this machine's clock is ahead. tasks: `take_tasks`.
    """
    if config.get("tasks"):
        take_tasks()
    for name, value in config.get("pace", {}).items():
        setattr(PACE, name, value)
    if config.get("clock_s"):
        _set_clock(config["clock_s"])
    if config.get("aim"):
        _aim(config["aim"], config["chance"], Path(config["first"]))
    for aim, first in config.get("aims", {}).items():
        _aim(aim, config["chance"], Path(first))


def _aim(aim: str, chance: float, first: Path) -> None:
    import sqlalchemy as sa

    from gfi.store import ledger
    from gfi.store.objects import Bucket
    from scheduler import planning

    dice = random.Random()  # every restarted worker needs new random numbers
    inside = threading.local()

    def perhaps() -> None:
        if not first.exists():
            first.touch()  # at least once, whatever the random number is
        elif dice.random() >= chance:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    def afterwards(function: Callable[..., Any], only: Callable[..., bool]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kw: Any) -> Any:
            answer = function(*args, **kw)
            if answer is not None and only(answer, *args):
                perhaps()
            return answer

        return wrapped

    def before_commit(function: Callable[..., Any]) -> Callable[..., Any]:
        @sa.event.listens_for(sa.Engine, "commit")
        def _(connection: sa.Connection) -> None:
            if getattr(inside, "it", False):
                perhaps()

        def wrapped(*args: Any, **kw: Any) -> Any:
            inside.it = True
            try:
                return function(*args, **kw)
            finally:
                inside.it = False

        return wrapped

    if aim == "after claim":
        ledger.claim_work = afterwards(ledger.claim_work, lambda *_: True)
    elif aim == PLANNING:
        ledger.claim_control = afterwards(
            ledger.claim_control, lambda claim, *_: claim.kind == ControlKind.PLAN
        )
    elif aim == "in renewal":
        ledger.renew_lease = before_commit(ledger.renew_lease)
    elif aim == "after upload":
        Bucket.put = afterwards(Bucket.put, lambda _, bucket, key, *rest: key.startswith("parts/"))  # type: ignore[method-assign]
    elif aim == "in commit":
        ledger.commit_shard = before_commit(ledger.commit_shard)
    elif aim == "after commit":
        ledger.commit_shard = afterwards(ledger.commit_shard, lambda *_: True)
    elif aim == AFTER_CARRYING:
        planning.PIECE = 4
        ledger.carry = afterwards(ledger.carry, lambda outcome, *_: outcome == "carried")
    elif aim == AFTER_LOOK:
        Bucket.put = afterwards(  # type: ignore[method-assign]
            Bucket.put, lambda _, bucket, key, *rest: key.startswith("gates/") and "-" not in key
        )
    elif aim == AFTER_COMPARISON:
        Bucket.put = afterwards(Bucket.put, lambda _, bucket, key, *rest: "/comparisons/" in key)  # type: ignore[method-assign]
    elif aim == AFTER_PIECE:
        ledger.save_control = afterwards(ledger.save_control, lambda *_: True)
    elif aim == IN_TASK_COMMIT:
        ledger.finish_control = before_commit(ledger.finish_control)
    else:
        raise ValueError(f"no aim {aim!r}; there are {', '.join(AIMS)}")


def _set_clock(ahead_s: float) -> None:
    """Set the clock that others see of this process: the time that signs S3 requests, and time.time."""
    import datetime

    import botocore.auth
    import botocore.compat

    right_time, right_now = time.time, botocore.compat.get_current_datetime

    def wrong_now(remove_tzinfo: bool = True) -> datetime.datetime:
        return right_now(remove_tzinfo) + datetime.timedelta(seconds=ahead_s)

    time.time = lambda: right_time() + ahead_s
    for name, module in list(sys.modules.items()):
        if name.startswith("botocore") and hasattr(module, "get_current_datetime"):
            with contextlib.suppress(AttributeError):
                module.get_current_datetime = wrong_now  # type: ignore[attr-defined]
