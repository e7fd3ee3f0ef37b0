"""Runs an embedded stack in the foreground or in the background, and stops it."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from gfi.cli.children import PYTHON, same_process
from gfi.cli.errors import CommandError
from gfi.cli.home import AlreadyRuns, log_file, make_home, private_files, ready, supervisor_of
from gfi.cli.stack import GRACE_S, Stack

START_S = 120.0
"""How long a stack may take to start."""


@contextlib.contextmanager
def signals_as_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end a `with` block as Ctrl-C does, so that its `finally` stops what was started."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignores Ctrl-C: a second one must not end the clean-up of the first and leave processes running."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def run_foreground(stack: Stack, ready: Callable[[], None]) -> None:
    """Start the stack, call `ready`, supervise it until Ctrl-C or SIGTERM, then stop everything."""
    with signals_as_interrupt():
        try:
            stack.start()
            ready()
            while True:
                stack.watch()
                time.sleep(0.5)
        except KeyboardInterrupt:
            pass
        finally:
            with uninterrupted():
                stack.stop()


def run_background(home: Path, workers: int, say: Callable[[str], None]) -> None:
    """Start `gfi up` detached from this terminal; returns when it is ready. say: gets its last line, as it goes.

    Raises CommandError with the end of its log when it does not start within START_S.
    """
    if supervisor_of(home) is not None:
        raise AlreadyRuns(home)
    make_home(home)
    log = log_file(home, "up")
    with private_files(), log.open("ab") as output:
        written = output.tell()
        process = subprocess.Popen(
            [*PYTHON, "-m", "gfi.cli.main", "up", "--workers", str(workers)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "GFI_HOME": str(home)},
            start_new_session=True,
        )
    deadline = time.monotonic() + START_S
    # Files of a stack that was killed, or that another terminal is starting, do not describe this one.
    while not (ready(home) and (supervisor_of(home) or {}).get("pid") == process.pid):
        if process.poll() is not None or time.monotonic() > deadline:
            process.terminate()
            other = supervisor_of(home)
            if other is not None and other["pid"] != process.pid:
                raise AlreadyRuns(home)
            output_text = log.read_bytes()[written:].decode(errors="replace").strip()
            raise CommandError(
                f"the stack did not start:\n{output_text or f'its log is empty; {_free_space(home)}'}"
            )
        said = log.read_bytes()[written:].decode(errors="replace").split("\n")[:-1]
        if said:
            say(said[-1][:100])
        time.sleep(0.1)


def _free_space(home: Path) -> str:
    return f"{home} has {shutil.disk_usage(home).free >> 20} MiB free"


def stop_running(home: Path, timeout: float = GRACE_S + 30) -> bool:
    """SIGTERM the supervisor and wait for its end. Returns False if nothing runs."""
    record = supervisor_of(home)
    if record is None:
        return False
    supervisor = same_process(record)
    if supervisor is not None:
        supervisor.terminate()
        try:
            supervisor.wait(timeout)
        except psutil.TimeoutExpired as error:
            raise CommandError(
                f"the supervisor {supervisor.pid} did not end within {timeout:.0f} s"
            ) from error
    return True
