"""`gfi job`, `cancel`, `pause`, `resume`, `retry`: one job."""

import click

from gfi.cli.open_service import open_service
from gfi.cli.printing import emit, json_option
from gfi.cli.reading import check_status, read_rows, words
from gfi.cli.waiting import check_wait, wait_options
from gfi.domain.states import JobState
from gfi.domain.statuses import UNUSABLE


@click.command()
@click.argument("job_id")
@wait_options
@json_option
def job(job_id: str, wait: bool, allow_partial: bool, as_json: bool) -> None:
    """Show one job: state, progress, configuration, failures.

    With --wait the exit status is 0 for a job that succeeded, 4 partial, 5 failed, 6 cancelled.
    """
    check_wait(wait, allow_partial)
    service = open_service()
    ended = None
    if wait:
        from gfi.cli.follow import exit_as, follow

        ended = follow(service, job_id, quiet=as_json)
    if as_json:
        record = service.job(job_id)
        emit(record | {"failures": service.failures(record["id"])})
    else:
        from gfi.cli.job_summary import print_summary

        print_summary(service, job_id)
    if ended is not None:
        exit_as(ended, allow_partial)


@click.command()
@click.argument("job_id")
def cancel(job_id: str) -> None:
    """Cancel a job. Finished results stay readable."""
    service = open_service()
    if not service.cancel(job_id):
        click.echo("was cancelled already")
        return
    state = service.job(job_id)["state"]
    click.echo("cancelled" if state == JobState.CANCELLED else f"the retry is cancelled; the job is {state}")


@click.command()
@click.argument("job_id")
def pause(job_id: str) -> None:
    """Pause a job. Running shards commit their finished images; no further shard starts."""
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
    help="Statuses to explain again, separated by commas.",
)
@click.option(
    "--class",
    "classes",
    default="",
    help="Only errors of these classes, separated by commas: unreadable, missing, killer … (`gfi job` lists them).",
)
@click.option("--rows", metavar="ROWS", help="These images alone, whatever their status: 3,7-9.")
def retry(job_id: str, statuses: str, classes: str, rows: str | None) -> None:
    """Explain part of an ended job again.

    --status and --class choose the images; shards that were given up or cancelled are always included. --rows names
    images themselves.
    """
    chosen = () if rows is None else read_rows(rows)
    wanted = words(statuses)
    for status in wanted:
        check_status(status)
    service = open_service()
    job_id = service.job(job_id)["id"]
    state = service.retry(job_id, wanted, words(classes), chosen)
    what = ", ".join(wanted) if rows is None else f"{len(chosen):,} chosen images"
    click.echo(f"{job_id} is {state} again for {what}")
