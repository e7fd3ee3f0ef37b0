"""`gfi worker`, `gfi scheduler`, `gfi api`: the processes of a deployment."""

import ipaddress
import os
import socket
import sys

import click

from gfi.cli.children import PYTHON
from gfi.cli.errors import CommandError
from gfi.domain.queues import CONTROL_QUEUE, EXPLAIN_QUEUE, INTERACTIVE_QUEUE


@click.command()
@click.option(
    "--queues",
    default=f"{EXPLAIN_QUEUE},{INTERACTIVE_QUEUE}",
    show_default=True,
    help="Queues to take work from; `control` plans and reports.",
)
@click.option(
    "--device", default="cpu", show_default=True, help="cpu, or cuda:N: one worker process per GPU."
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
@click.option("--log-level", default="INFO", show_default=True)
def worker(queues: str, device: str, threads: int | None, dtype: str, log_level: str) -> None:
    """Run one worker until SIGTERM.

    SIGTERM finishes the running step, commits what is finished and releases the rest.
    """
    from gfi.store.settings import Settings

    Settings.load().require_stack()
    names = [name.strip() for name in queues.split(",") if name.strip()]
    if not names:
        raise CommandError("--queues names no queue; the queues are explain, interactive and control")
    if CONTROL_QUEUE in names and len(names) > 1:
        raise CommandError("the control queue has a worker of its own: gfi worker --queues control")
    environment = dict(os.environ)
    if device.startswith("cuda"):
        # Before Python starts: CUDA reads it once, and the process then sees this GPU alone, as cuda:0.
        kind, _, number = device.partition(":")
        if kind != "cuda" or not (number or "0").isdigit():
            raise CommandError(f"--device {device}: use cpu or cuda:N")
        environment["CUDA_VISIBLE_DEVICES"] = number or "0"
        device = "cuda:0"
    elif device != "cpu":
        raise CommandError(f"--device {device}: use cpu or cuda:N")
    environment["GFI_DEVICE"] = device
    environment["GFI_DTYPE"] = dtype
    if threads is not None:
        environment["GFI_THREADS"] = str(threads)
    module = "scheduler.worker" if names == [CONTROL_QUEUE] else "workers"
    os.execve(
        sys.executable,
        [
            *PYTHON, "-m", module,
            "--pool", "threads", "--concurrency", "1", "--queues", ",".join(names),
            "--hostname", f"{names[0]}-{os.getpid()}@{socket.gethostname()}",
            "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", log_level,
        ],
        environment,
    )  # fmt: skip


@click.command()
@click.option(
    "--interval", type=click.FloatRange(0.01), help="Seconds between two ticks. [default: GFI_POLL_S]"
)
def scheduler(interval: float | None) -> None:
    """Run the scheduler until SIGTERM. Any number may run at once; there is no leader."""
    from gfi.store.settings import Settings

    Settings.load().require_stack()
    command = [*PYTHON, "-m", "scheduler"]
    os.execv(sys.executable, [*command, *(["--interval", str(interval)] if interval is not None else [])])


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
def api(host: str, port: int) -> None:
    """Serve the HTTP API and the dashboard until SIGTERM.

    Listens on this machine only, unless told otherwise; put TLS in front of anything else.
    """
    import uvicorn

    from gfi.store.logs import configure_logs
    from gfi.store.settings import Settings

    settings = Settings.load().require_stack()
    if not _is_loopback(host) and not settings.dataset_roots:
        raise CommandError(
            f"on {host} others can name datasets: set GFI_DATASET_ROOTS (and GFI_DATASET_BUCKETS) to what they may "
            "read, or listen on 127.0.0.1"
        )
    configure_logs()
    os.environ["GFI_API_URL"] = f"http://{host}:{port}"
    uvicorn.run(
        "gfi.api:create_app",
        factory=True,
        host=host,
        port=port,
        access_log=False,  # ours names paths without their queries, and never a header
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=3,  # open progress streams would hold it for ever
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
