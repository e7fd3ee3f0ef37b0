"""`gfi submit`, `jobs`, `job`, `cancel`, `pause`, `resume`, `retry`: dataset-scale jobs."""

from collections.abc import Mapping
from typing import Any

import click

from gfi.cli.errors import CommandError
from gfi.cli.job_options import job_options, names, options_of
from gfi.cli.open_service import open_service
from gfi.cli.printing import emit, table, when
from gfi.domain.states import JobState
from gfi.domain.statuses import UNUSABLE, ImageStatus

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@job_options
@click.option("--key", help="Idempotency key: submitting twice with one key is one job.")
@click.option("--new", is_flag=True, help="Start another job even if the same one is running.")
@click.option("--wait", is_flag=True, help="Follow the job until it ends.")
@as_json_option
def submit(key: str | None, new: bool, wait: bool, as_json: bool, **options: Any) -> None:
    """Explain every image of a dataset."""
    service = open_service()
    submitted = service.submit(options_of(options), key=key, new=new)
    known = "" if submitted["created"] else f" ({submitted['reason']})"
    if not wait:
        emit(submitted) if as_json else click.echo(f"{submitted['job']}{known}")
        return
    from gfi.cli.follow import follow
    from gfi.cli.job_summary import print_summary

    if not as_json:
        click.echo(f"job {submitted['job']}{known}")
    job = follow(service, submitted["job"], quiet=as_json)
    if as_json:
        emit(job)
    else:
        print_summary(service, job["id"])


@click.group(invoke_without_command=True)
@click.option("--state", help=f"Only jobs in this state: {', '.join(JobState)}.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@as_json_option
@click.pass_context
def jobs(context: click.Context, state: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first; `gfi jobs delete` removes one."""
    if context.invoked_subcommand is not None:
        return
    if state is not None and state not in tuple(JobState):
        raise CommandError(f"no state is called {state!r}; the states are {', '.join(JobState)}")
    page = open_service().jobs(state=state, limit=limit)
    if as_json:
        emit(page)
        return
    rows = []
    for job in page:
        progress = job["progress"]
        done = f"{progress['done']}/{progress['total']}" if progress["total"] is not None else ""
        counts = (job["id"], job["name"], job["shown_state"], done, _not_ok(progress))
        rows.append((*counts, model_of(job), when(job["created_at"])))
    columns = ("job", "name", "state", "images", "not ok", "model", "submitted")
    table("", columns, rows, "no jobs yet: gfi submit --dataset FOLDER")


@jobs.command("delete")
@click.argument("job_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete_job(job_id: str, yes: bool) -> None:
    """Delete an ended job: its rows, result files, pictures and uploads. The audit keeps that it existed."""
    service = open_service()
    job = service.job(job_id)
    if not yes:
        click.confirm(
            f"delete job {job['id']} {job['name']} with {job['total'] or 0} images and all its masks?",
            abort=True,
        )
    service.delete(job["id"])
    click.echo(f"deleted {job['id']}")


@click.command()
@click.argument("job_id")
@click.option("--wait", is_flag=True, help="Follow it until it ends.")
@as_json_option
def job(job_id: str, wait: bool, as_json: bool) -> None:
    """Show one job: state, progress, configuration, failures."""
    from gfi.cli.job_summary import print_summary

    service = open_service()
    if wait:
        from gfi.cli.follow import follow

        follow(service, job_id, quiet=as_json)
    if as_json:
        record = service.job(job_id)
        emit(record | {"failures": service.failures(record["id"])})
    else:
        print_summary(service, job_id)


@click.command()
@click.argument("job_id")
def cancel(job_id: str) -> None:
    """Cancel a job. What is finished stays readable."""
    click.echo("cancelled" if open_service().cancel(job_id) else "was cancelled already")


@click.command()
@click.argument("job_id")
def pause(job_id: str) -> None:
    """Pause a job: running shards commit what is finished, nothing new is claimed."""
    click.echo("paused" if open_service().pause(job_id) else "was paused already")


@click.command()
@click.argument("job_id")
def resume(job_id: str) -> None:
    """Resume a paused job."""
    click.echo("resumed" if open_service().resume(job_id) else "was not paused")


@click.command()
@click.argument("job_id")
@click.option(
    "--status",
    "statuses",
    default=",".join(sorted(UNUSABLE, reverse=True)),
    show_default=True,
    help="Comma-separated statuses to explain again.",
)
@click.option(
    "--class",
    "classes",
    default="",
    help="Only errors of these classes (comma-separated; gfi job lists them): unreadable, missing, killer …",
)
def retry(job_id: str, statuses: str, classes: str) -> None:
    """Explain part of an ended job again: by status and class; given-up and cancelled shards always."""
    wanted = names(statuses)
    for status in wanted:
        check_status(status)
    service = open_service()
    job_id = service.job(job_id)["id"]
    state = service.retry(job_id, wanted, names(classes))
    click.echo(f"{job_id} is {state} again for {', '.join(wanted)}")


def check_status(status: str) -> None:
    """CommandError unless an image can have this status."""
    if status not in tuple(ImageStatus):
        raise CommandError(f"no status is called {status!r}; they are {', '.join(ImageStatus)}")


def model_of(job: Mapping[str, Any]) -> str:
    """The reference of a job's model, from the ledger's record or from the API's."""
    config = job.get("config")
    return str(config["model"]["reference"] if config else job["model"])


def _not_ok(progress: Mapping[str, Any]) -> str:
    """What came out other than `ok`, in a few words."""
    counts = progress["by_status"].items()
    return ", ".join(f"{count} {status}" for status, count in counts if count and status != ImageStatus.OK)
