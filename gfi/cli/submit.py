"""`gfi submit`: explain a whole dataset."""

from typing import Any

import click

from gfi.cli.estimate import print_plan
from gfi.cli.home import api_address
from gfi.cli.job_options import job_options, options_of
from gfi.cli.open_service import open_service
from gfi.cli.printing import emit, json_option
from gfi.cli.waiting import check_wait, wait_options


@click.command()
@job_options
@click.option("--key", help="Idempotency key: submitting twice with one key gives one job.")
@click.option("--new", is_flag=True, help="Start another job even if the same one is running.")
@click.option(
    "--sample", type=click.IntRange(min=1), help="Only so many images, drawn by their keys; see --per."
)
@click.option("--per", type=click.Choice(["class"]), help="With --sample: so many images of each label.")
@click.option("--dry-run", is_flag=True, help="Only print how many images it would explain, and an estimate.")
@wait_options
@json_option
def submit(
    key: str | None,
    new: bool,
    sample: int | None,
    per: str | None,
    dry_run: bool,
    wait: bool,
    allow_partial: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Explain every image of a dataset.

    With --wait the exit status is 0 for a job that succeeded, 4 partial, 5 failed, 6 cancelled.
    """
    check_wait(wait, allow_partial)
    options["dataset"] = _sampled(options["dataset"], sample, per)
    service = open_service()
    if dry_run:
        expected = service.estimate(options_of(options))
        emit(expected) if as_json else print_plan(expected)
        return
    submitted = service.submit(options_of(options), key=key, new=new)
    known = "" if submitted["created"] else f" ({submitted['reason']})"
    if (address := api_address()) is not None and not as_json:
        # beside the id, so that JOB=$(gfi submit …) is the id alone
        click.echo(f"{address}/jobs/{submitted['job']}", err=True)
    if not wait:
        emit(submitted) if as_json else click.echo(f"{submitted['job']}{known}")
        return
    from gfi.cli.follow import exit_as, follow
    from gfi.cli.job_summary import print_summary

    if not as_json:
        click.echo(f"job {submitted['job']}{known}")
    job = follow(service, submitted["job"], quiet=as_json)
    if as_json:
        emit(job)
    else:
        print_summary(service, job["id"])
    exit_as(job, allow_partial)


def _sampled(dataset: str, sample: int | None, per: str | None) -> str:
    """The dataset's spec with the options of a sample; another `seed` is written into the spec itself."""
    if sample is None:
        if per is not None:
            raise click.UsageError("--per goes with --sample")
        return dataset
    options = f"sample={sample}" + (f"&per={per}" if per else "")
    return f"{dataset}{'&' if '?' in dataset else '?'}{options}"
