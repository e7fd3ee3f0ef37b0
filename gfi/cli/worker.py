"""`gfi worker`: the process that takes work from queues."""

import os
import socket
import sys

import click

from gfi.cli.children import PYTHON
from gfi.cli.errors import CommandError
from gfi.cli.reading import words
from gfi.domain.queues import CONTROL_QUEUE, CONTROL_SLOTS, EXPLAIN_QUEUE, INTERACTIVE_QUEUE


@click.command()
@click.option(
    "--queues",
    default=f"{EXPLAIN_QUEUE},{INTERACTIVE_QUEUE}",
    show_default=True,
    help="Queues to take work from, separated by commas. A worker on queue `control` plans jobs and writes reports.",
)
@click.option(
    "--device", default="cpu", show_default=True, help="cpu or cuda:N. Start one worker process per GPU."
)
@click.option(
    "--threads", type=click.IntRange(1), help="CPU threads of the optimiser; part of the execution profile."
)
@click.option(
    "--dtype",
    default="float32",
    show_default=True,
    type=click.Choice(["float32", "bfloat16"]),
    help="Precision of the network; part of the execution profile.",
)
@click.option("--log-level", default="INFO", show_default=True, help="DEBUG, INFO, WARNING or ERROR.")
def worker(queues: str, device: str, threads: int | None, dtype: str, log_level: str) -> None:
    """Run one worker until SIGTERM.

    SIGTERM finishes the running step, commits the finished images and releases the rest.
    """
    from gfi.store.settings import Settings

    Settings.load().require_stack()
    names = words(queues)
    if not names:
        raise CommandError("--queues names no queue; the queues are explain, interactive and control")
    if CONTROL_QUEUE in names and len(names) > 1:
        raise CommandError("the control queue needs a separate worker: gfi worker --queues control")
    environment = os.environ | device_settings(device) | {"GFI_DTYPE": dtype}
    if threads is not None:
        environment["GFI_THREADS"] = str(threads)
    module = "scheduler.worker" if CONTROL_QUEUE in names else "workers"
    os.execve(
        sys.executable,
        [
            *PYTHON,
            "-m",
            module,
            "--pool",
            "threads",
            "--concurrency",
            str(CONTROL_SLOTS) if CONTROL_QUEUE in names else "1",
            "--queues",
            ",".join(names),
            "--hostname",
            f"{names[0]}-{os.getpid()}@{socket.gethostname()}",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            "--loglevel",
            log_level,
        ],
        environment,
    )


def device_settings(device: str) -> dict[str, str]:
    """The environment of a worker on `device`: "cpu", "cuda" or "cuda:N". CommandError for any other text."""
    if device == "cpu":
        return {"GFI_DEVICE": "cpu"}
    kind, _, number = device.partition(":")
    if kind != "cuda" or not (number or "0").isdigit():
        raise CommandError(f"--device {device}: use cpu or cuda:N")
    # CUDA reads this once, when Python starts. The process then sees only this GPU, as cuda:0.
    return {"GFI_DEVICE": "cuda:0", "CUDA_VISIBLE_DEVICES": number or "0"}
