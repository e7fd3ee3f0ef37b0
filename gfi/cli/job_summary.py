"""The summary of one job: state, counts by status, failures by class, means."""

from typing import Any

import click

from gfi.cli.printing import duration, table, when
from gfi.cli.service import Service
from gfi.domain.methods import CONTROLS
from gfi.domain.metrics import COLUMNS
from gfi.domain.statuses import STATUS_WORDS, UNUSABLE


def print_summary(service: Service, job_id: str) -> None:
    """Print state, counts by status, failures by class and means of one job."""
    job = service.job(job_id)
    config, progress = job["config"], job["progress"]
    click.echo(
        f"job {job['id']} {job['name']}".rstrip()
        + f": {job['shown_state']}"
        + (f" — {job['error']}" if job["error"] else "")
    )
    if job.get("waits"):  # a server of an earlier version does not say it
        click.echo(f"waits: {job['waits']}")
    layers = config["layers"]
    click.echo(
        f"{config['model']['reference']}, "
        + (f"method {config['method']}" if "method" in config else f"preset {config['preset']}")
        + ", layers "
        f"{layers['inverted']},{'+'.join(layers['weighed'])}"
    )
    click.echo(f"dataset {config['dataset']['spec']}, submitted {when(job['created_at'])}")
    if job.get("carried") is not None:
        click.echo(
            f"since {_since(job)}: {(job['total'] or 0) - job['carried']:,} explained, {job['carried']:,} carried over,"
            f" {job['removed']:,} removed"
        )
    for warning in (job.get("facts") or {}).get("warnings", []):
        click.echo(f"warning: {warning}")
    if job["finished_at"] and job["planned_at"]:
        took = job["finished_at"] - job["planned_at"]
        rate = (progress["done"] - (job.get("carried") or 0)) / max(took, 1e-9)
        total = progress["total"] or 0
        images = f"{progress['done']}" + (f" of {total}" if progress["done"] < total else "")
        click.echo(f"{images} images in {duration(took)} ({rate:.2f} images/s)")
    summary = service.summary(job["id"])
    click.echo("")
    counts = [
        (STATUS_WORDS[status].title, summary["counts"][status])
        for status in STATUS_WORDS
        if summary["counts"].get(status)
    ]
    # An image has a result for each of its labels where these were explained.
    unit = "results" if sum(count for _, count in counts) > (progress["total"] or 0) else "images"
    table("", ("status", unit), counts, "no results yet")
    failures = service.failures(job["id"])
    kinds = (
        ("failed by class", (*UNUSABLE, "failed")),
        ("waiting after", ("pending",)),
        ("explained, but", ("ok",)),
    )
    for title, statuses in kinds:
        lines = [
            (failure["error_class"] or failure["status"], failure["images"], failure["example"])
            for failure in failures
            if failure["status"] in statuses
        ]
        if lines:
            click.echo("")
            table("", (title, "images", "for example"), lines, "")
    means = {mean["name"]: mean for mean in summary["means"]}
    controls = [
        name for name in CONTROLS if any(name in mean.get("controls", {}) for mean in summary["means"])
    ]
    rows = [
        (column.title, _mean(means[name]), means[name]["count"], *_controls(means[name], controls))
        for name, column in COLUMNS.items()
        if name in means
    ]
    if rows:
        click.echo("")
        head = (
            f"mean over explained {unit}",
            "value",
            unit,
            *(CONTROLS[name].lower() for name in controls),
        )
        table("", head, rows, "")


def _controls(mean: dict[str, Any], controls: list[str]) -> list[str]:
    """The means of the controls; empty for one that a number does not have."""
    known = mean.get("controls", {})
    return [f"{known[name]:.4f}" if name in known else "" for name in controls]


def _mean(mean: dict[str, float | None]) -> str:
    by_class = mean["class_mean"]
    return f"{mean['mean']:.4f}" + (f" ({by_class:.4f} by class)" if by_class is not None else "")


def _since(job: dict[str, Any]) -> str:
    """The earlier job: its id as the API gives it, or a row of the database."""
    since = job["since"]
    return str(since["job"] if isinstance(since, dict) else since)
