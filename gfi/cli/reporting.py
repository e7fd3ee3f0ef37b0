"""What the command line shows of a job: the summary table and the page."""

from pathlib import Path

import click

from gfi.cli.printing import duration, table, when
from gfi.domain.states import ShardState
from gfi.domain.statuses import UNUSABLE
from gfi.jobs import report
from gfi.report.summary import status_words
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.objects import Bucket
from gfi.store.settings import Settings


def print_summary(database: Database, job_id: str) -> None:
    """State, counts by status and means of one job."""
    job = queries.get_job(database, job_id)
    progress = queries.job_progress(database, job_id)
    config = job.config
    click.echo(
        f"job {job.id} {job.name}".rstrip()
        + f": {job.shown_state}"
        + (f" — {job.error}" if job.error else "")
    )
    click.echo(
        f"{config['model']['reference']}, preset {config['preset']}, layers "
        f"{config['layers']['inverted']},{'+'.join(config['layers']['weighed'])}"
    )
    click.echo(f"dataset {config['dataset']['spec']}, submitted {when(job.created_at)}")
    for warning in (job.facts or {}).get("warnings", []):
        click.echo(f"warning: {warning}")
    if job.finished_at and job.planned_at:
        took = job.finished_at - job.planned_at
        click.echo(
            f"{progress.done} images in {duration(took)} ({progress.done / max(took, 1e-9):.2f} images/s)"
        )
    summary = report.summary(database, job.id)
    counts = [(status_words(status), count) for status, count in summary.counts.items() if count]
    click.echo("")
    table("", ("status", "images"), counts, "no results yet")
    failures = [
        (each["error_class"] or each["status"], each["images"], each["example"])
        for each in queries.failures(database, job.id)
        if each["status"] in (*UNUSABLE, ShardState.FAILED)
    ]
    if failures:
        click.echo("")
        table("", ("failed by class", "images", "for example"), failures, "")
    means = [
        (
            each.words,
            f"{each.mean:.4f}"
            + (f" ({each.class_mean:.4f} by class)" if each.class_mean is not None else ""),
            each.count,
        )
        for each in summary.means
    ]
    if means:
        click.echo("")
        table("", ("mean over explained images", "value", "images"), means, "")


def write_report(
    database: Database, settings: Settings, job_id: str, folder: Path, limit: int = 5000
) -> Path:
    """Write the page of a job into `folder`; returns its path."""
    return report.write_report(database, settings, Bucket.from_settings(settings), job_id, folder, limit)
