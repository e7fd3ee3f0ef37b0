"""`gfi worker`: the process that takes work from queues."""

import os
import socket
import sys
from collections.abc import Mapping, Sequence

import click

from gfi.cli.children import PYTHON
from gfi.cli.devices import device_settings, gpu_memory_mib, parse_devices
from gfi.cli.errors import CommandError
from gfi.cli.reading import words
from gfi.domain.queues import CONTROL_QUEUE, CONTROL_SLOTS, QUEUES, queues_of


@click.command()
@click.option(
    "--queues",
    help="Queues to take work from, separated by commas. Default: explain, interactive, and those of the device: cpu,"
    " gpu or gpu and gpu-80g. A worker on queue `control` plans jobs and writes reports.",
)
@click.option("--device", help="cpu (default), cuda:N or mps (never tested): the device of this one process.")
@click.option(
    "--devices",
    help="One worker on each of these devices, supervised: all (GPUs), their numbers as in 0,2, or cpu:N, which shares"
    " the cores between N workers.",
)
@click.option(
    "--health-port",
    type=click.IntRange(0, 65535),
    default=8081,
    show_default=True,
    help="With --devices: the port on 127.0.0.1 that shows the state of each device as JSON; 0: any free one.",
)
@click.option(
    "--threads", type=click.IntRange(1), help="CPU threads of the optimiser; part of the execution profile."
)
@click.option(
    "--dtype",
    default="float32",
    show_default=True,
    type=click.Choice(["float32", "bfloat16", "tf32", "float32+graphs", "bfloat16+graphs", "tf32+graphs"]),
    help="Precision of the network; part of the execution profile. With +graphs, on CUDA, steps are CUDA graphs.",
)
@click.option("--log-level", default="INFO", show_default=True, help="DEBUG, INFO, WARNING or ERROR.")
def worker(
    queues: str | None,
    device: str | None,
    devices: str | None,
    health_port: int,
    threads: int | None,
    dtype: str,
    log_level: str,
) -> None:
    """Run one worker until SIGTERM, or with --devices one worker a device.

    SIGTERM finishes the running step, commits the finished images and releases the rest.
    """
    from gfi.store.settings import Settings

    settings = Settings.load().require_stack()
    names = words(queues or "")
    if queues is not None and not names:
        raise CommandError(f"--queues names no queue; the queues are control, {', '.join(QUEUES)}")
    if CONTROL_QUEUE in names and len(names) > 1:
        raise CommandError("the control queue needs a separate worker: gfi worker --queues control")
    environment = {**os.environ, "GFI_DTYPE": dtype}
    if threads is not None:
        environment["GFI_THREADS"] = str(threads)
    if devices is not None:
        if device is not None:
            raise CommandError("--device and --devices are both given: keep one")
        if CONTROL_QUEUE in names:
            raise CommandError("--devices is for workers that explain; a control worker needs no device")
        from gfi.cli.device_supervisor import DeviceSupervisor, launcher, supervise
        from gfi.store.logs import configure_logs

        configure_logs()
        command = [*PYTHON, "-m", "gfi.cli.main", "worker", "--dtype", dtype]
        given = [] if threads is None else ["--threads", str(threads)]
        given += [] if queues is None else ["--queues", queues]
        command += ["--log-level", log_level, *given]
        supervise(
            DeviceSupervisor(parse_devices(devices), launcher(command, environment)), settings, health_port
        )
        return
    if device is not None or "GFI_DEVICE" not in environment:
        environment |= device_settings(device or "cpu")
    if queues is None:
        names = queues_of(environment["GFI_DEVICE"], _memory_mib(environment))
    os.execve(sys.executable, _celery(names, log_level), environment)


def _memory_mib(environment: Mapping[str, str]) -> int:
    """Memory of the GPU that a worker with this environment sees; 0 for none."""
    if not environment["GFI_DEVICE"].startswith("cuda"):
        return 0
    return gpu_memory_mib(environment.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0])


def _celery(queues: Sequence[str], log_level: str) -> list[str]:
    """The command line of the worker process."""
    control = CONTROL_QUEUE in queues
    return [
        *PYTHON,
        "-m",
        "scheduler.worker" if control else "workers",
        "--pool",
        "threads",
        "--concurrency",
        str(CONTROL_SLOTS) if control else "1",
        "--queues",
        ",".join(queues),
        "--hostname",
        f"{queues[0]}-{os.getpid()}@{socket.gethostname()}",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
        "--loglevel",
        log_level,
    ]
