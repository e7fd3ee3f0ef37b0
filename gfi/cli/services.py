"""`gfi worker`, `gfi scheduler`, `gfi db`, `gfi doctor`: the processes of a deployment and their health."""

import os
import socket
import sys
from pathlib import Path

import click

from gfi.cli.children import PYTHON
from gfi.cli.errors import CommandError
from gfi.cli.printing import emit

CONTROL_QUEUE = "control"


@click.command()
@click.option(
    "--queues",
    default="explain,interactive",
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
    application = "scheduler.app" if names == [CONTROL_QUEUE] else "workers.app"
    os.execve(
        sys.executable,
        [
            *PYTHON, "-m", "celery", "-A", application, "worker",
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


@click.group()
def db() -> None:
    """The database: upgrade it, look at its revision."""


@db.command()
@click.option("--bucket", is_flag=True, help="Also create the bucket for results, unless it is there.")
def upgrade(bucket: bool) -> None:
    """Bring the database up to the newest revision."""
    from gfi.store.database import Database, upgrade
    from gfi.store.settings import Settings

    database = Database(Settings.load().require_database())
    click.echo(f"{database.safe_url} is at revision {upgrade(database)}")
    if bucket:
        from gfi.store.objects import Bucket

        Bucket.from_settings(Settings.load()).ensure()
        click.echo(f"bucket {Settings.load().s3_bucket} is there")


@db.command()
def current() -> None:
    """Print the database's revision."""
    from gfi.store.database import Database, current_revision
    from gfi.store.settings import Settings

    database = Database(Settings.load().require_database())
    click.echo(current_revision(database) or "empty: gfi db upgrade")


@db.command()
def rebuild() -> None:
    """Write back the jobs and results of a lost database, from the bucket alone.

    After `gfi db upgrade` on a new database. Jobs that it knows are left alone; a job of which images are
    missing comes back paused, and `gfi resume JOB` explains these.
    """
    from gfi.store.database import Database
    from gfi.store.objects import Bucket
    from gfi.store.rebuild import rebuild
    from gfi.store.settings import Settings

    settings = Settings.load().require_stack()
    number = 0
    for number, job in enumerate(  # noqa: B007
        rebuild(Database(settings.require_database()), Bucket.from_settings(settings)), 1
    ):
        missing = f", {job.missing} missing: gfi resume {job.job_id}" if job.missing else ""
        click.echo(f"{job.job_id}: {job.images} images from {job.parts} parts{missing}")
        for key in job.lost:
            click.echo(f"  gone or damaged: {key}")
    click.echo(f"{number} jobs written back")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Check what gfi needs here, one line each; exits 1 when something is wrong."""
    from gfi.cli.doctor import examine

    findings = examine()
    if as_json:
        emit([finding.__dict__ for finding in findings])
    else:
        for finding in findings:
            mark = click.style("ok  ", fg="green") if finding.ok else click.style("BAD ", fg="red")
            click.echo(f"{mark}{finding.what:<10} {finding.says}")
    if not all(finding.ok for finding in findings):
        raise SystemExit(1)


def default_output(path: str | None, fallback: Path) -> Path:
    return Path(path).expanduser() if path else fallback


COMMANDS = (worker, scheduler, db, doctor)
