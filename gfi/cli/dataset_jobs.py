"""`gfi submit`, `jobs`, `job`, `cancel`, `pause`, `resume`, `retry`, `results`, `report`: dataset-scale jobs."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gfi.cli.printing import emit, emit_lines, table, user, when

if TYPE_CHECKING:
    from gfi.jobs.submit import JobRequest

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


_JOB_OPTIONS = (
    click.option(
        "--dataset",
        required=True,
        help="A folder, class folders, manifest file, tar shards, s3://bucket/prefix, VOC or ImageNet layout.",
    ),
    click.option(
        "--model",
        default="efficientnet-lite0",
        show_default=True,
        help="A registered model: see `gfi models`.",
    ),
    click.option("--preset", help="The recipe: paper, released or tuned. [default: the model's]"),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="FIELD=VALUE",
        help="One field of the recipe: steps_class=24.",
    ),
    click.option("--layers", help="`L0,L1` in place of the preset's: see `gfi layers MODEL`."),
    click.option(
        "--target",
        default="auto",
        show_default=True,
        help="auto (the label, else the predicted class), predicted, or one class.",
    ),
    click.option("--rather-than", help="Another class: why the target rather than this one."),
    click.option(
        "--top",
        default=1,
        show_default=True,
        type=click.IntRange(1, 10),
        help="Explain so many of the most probable classes.",
    ),
    click.option(
        "--metrics",
        default="",
        help="Comma-separated: deletion, insertion, energy_in_box, pointing, average_drop, entropy.",
    ),
    click.option(
        "--save",
        help="Comma-separated pictures for the bucket: png, overlay, npy, or none. Default: png if < 1,000.",
    ),
    click.option("--name", default="", help="A name for people."),
    click.option(
        "--priority", default=0, show_default=True, type=click.IntRange(-100, 100), help="Higher first."
    ),
    click.option(
        "--batch", type=click.IntRange(1, 4096), help="Images optimised together; default: the worker's."
    ),
)


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that word a job, for `submit` and `schedule add`; `request_of` reads them."""
    for option in reversed(_JOB_OPTIONS):
        command = option(command)
    return command


def request_of(options: dict[str, Any]) -> "JobRequest":
    """The request that job options word. Raises Invalid naming the wrong one."""
    from gfi.jobs.submit import request_from

    save = options.pop("save")
    return request_from(
        dataset=_absolute(options.pop("dataset")),
        overrides=_overrides(options.pop("overrides")),
        metrics=_names(options.pop("metrics")),
        save=None if save is None else () if save == "none" else _names(save),
        **options,
    )


@click.command()
@job_options
@click.option("--key", help="Idempotency key: submitting twice with one key is one job.")
@click.option("--new", is_flag=True, help="Start another job even if the same one is running.")
@click.option("--wait", is_flag=True, help="Follow the job until it ends.")
@as_json_option
def submit(key: str | None, new: bool, wait: bool, as_json: bool, **options: Any) -> None:
    """Explain every image of a dataset."""
    from gfi.cli.following import follow
    from gfi.cli.reporting import print_summary
    from gfi.cli.stack import open_stack
    from gfi.jobs.submit import submit as submit_job

    settings, database = open_stack()
    request = request_of(options)
    submitted = submit_job(database, settings, request, idempotency_key=key, new=new)
    if not wait:
        if as_json:
            emit({"job": submitted.job_id, "created": submitted.created, "reason": submitted.reason})
        else:
            click.echo(submitted.job_id if submitted.created else f"{submitted.job_id} ({submitted.reason})")
        return
    if not as_json:
        click.echo(f"job {submitted.job_id}" + ("" if submitted.created else f" ({submitted.reason})"))
    job = follow(database, submitted.job_id, quiet=as_json)
    if as_json:
        emit(_job_json(database, job.id))
    else:
        print_summary(database, job.id)


@click.group(invoke_without_command=True)
@click.option("--state", help="Only jobs in this state.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@as_json_option
@click.pass_context
def jobs(context: click.Context, state: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first; `gfi jobs delete` removes one."""
    if context.invoked_subcommand is not None:
        return
    from gfi.cli.errors import CommandError
    from gfi.cli.stack import open_stack
    from gfi.domain.states import JobState
    from gfi.store import queries

    if state is not None and state not in tuple(JobState):
        raise CommandError(f"no state is called {state!r}; the states are {', '.join(JobState)}")
    _, database = open_stack()
    page = queries.list_jobs(database, limit=limit, state=JobState(state) if state else None)
    if as_json:
        emit([_job_json(database, job.id) for job in page])
        return
    rows = []
    for job in page:
        progress = queries.job_progress(database, job.id)
        done = f"{progress.done}/{progress.total}" if progress.total is not None else ""
        rows.append(
            (
                job.id,
                job.name,
                job.shown_state,
                done,
                _not_ok(progress),
                job.config["model"]["reference"],
                when(job.created_at),
            )
        )
    table("", ("job", "name", "state", "images", "not ok", "model", "submitted"), rows,
          "no jobs yet: gfi submit --dataset FOLDER")  # fmt: skip


@jobs.command("delete")
@click.argument("job_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete_job(job_id: str, yes: bool) -> None:
    """Delete an ended job: its rows, result files and pictures. The audit keeps that it existed."""
    from gfi.cli.stack import open_stack
    from gfi.jobs.delete import delete_objects
    from gfi.store import ledger, queries
    from gfi.store.objects import Bucket

    settings, database = open_stack()
    job = queries.get_job(database, job_id)
    if not yes:
        click.confirm(
            f"delete job {job.id} {job.name} with {job.total or 0} images and all its masks?", abort=True
        )
    deleted = ledger.delete_job(database, job.id, actor=user())
    # Rows first: an object without a row is swept, a row without its object would be a broken promise.
    objects = delete_objects(Bucket.from_settings(settings), deleted.prefixes)
    click.echo(f"deleted {job.id} and {objects} objects")


@click.command()
@click.argument("job_id")
@click.option("--wait", is_flag=True, help="Follow it until it ends.")
@as_json_option
def job(job_id: str, wait: bool, as_json: bool) -> None:
    """Show one job: state, progress, configuration, failures."""
    from gfi.cli.following import follow
    from gfi.cli.reporting import print_summary
    from gfi.cli.stack import open_stack
    from gfi.store import queries

    _, database = open_stack()
    if wait:
        follow(database, job_id, quiet=as_json)
    if as_json:
        job_id = queries.get_job(database, job_id).id
        emit(_job_json(database, job_id) | {"failures": queries.failures(database, job_id)})
    else:
        print_summary(database, job_id)


@click.command()
@click.argument("job_id")
def cancel(job_id: str) -> None:
    """Cancel a job. What is finished stays readable."""
    from gfi.cli.stack import open_stack
    from gfi.store import ledger, queries

    _, database = open_stack()
    job_id = queries.get_job(database, job_id).id
    click.echo("cancelled" if ledger.cancel_job(database, job_id, actor=user()) else "was cancelled already")


@click.command()
@click.argument("job_id")
def pause(job_id: str) -> None:
    """Pause a job: running shards commit what is finished, nothing new is claimed."""
    from gfi.cli.stack import open_stack
    from gfi.store import ledger, queries

    _, database = open_stack()
    job_id = queries.get_job(database, job_id).id
    click.echo("paused" if ledger.pause_job(database, job_id, actor=user()) else "was paused already")


@click.command()
@click.argument("job_id")
def resume(job_id: str) -> None:
    """Resume a paused job."""
    from gfi.cli.stack import open_stack
    from gfi.store import ledger, queries

    _, database = open_stack()
    job_id = queries.get_job(database, job_id).id
    click.echo("resumed" if ledger.resume_job(database, job_id, actor=user()) else "was not paused")


@click.command()
@click.argument("job_id")
@click.option(
    "--status",
    "statuses",
    default="error,changed",
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
    from gfi.cli.errors import CommandError
    from gfi.cli.stack import open_stack
    from gfi.domain.statuses import ImageStatus
    from gfi.store import ledger, queries

    wanted = _names(statuses)
    for status in wanted:
        if status not in tuple(ImageStatus):
            raise CommandError(f"no status is called {status!r}; they are {', '.join(ImageStatus)}")
    _, database = open_stack()
    job_id = queries.get_job(database, job_id).id
    retried = ledger.retry_job(
        database, job_id, [ImageStatus(each) for each in wanted], classes=_names(classes), actor=user()
    )
    click.echo(f"{retried.job_id} is {retried.state} again for {', '.join(retried.statuses)}")


@click.command()
@click.argument("job_id")
@click.option("--status", help="Only images with this status.")
@click.option("--limit", type=click.IntRange(1), help="At most so many.")
@as_json_option
def results(job_id: str, status: str | None, limit: int | None, as_json: bool) -> None:
    """Print the results of a job, one image and class a line (--json: one JSON object a line)."""
    from gfi.cli.errors import CommandError
    from gfi.cli.stack import open_stack
    from gfi.domain.statuses import ImageStatus
    from gfi.store import queries

    if status is not None and status not in tuple(ImageStatus):
        raise CommandError(f"no status is called {status!r}; they are {', '.join(ImageStatus)}")
    _, database = open_stack()
    job_id = queries.get_job(database, job_id).id
    found = queries.iterate_results(
        database, job_id, status=ImageStatus(status) if status else None, limit=limit
    )
    if as_json:
        emit_lines(found)
        return
    columns = (
        "row",
        "key",
        "status",
        "target_rank",
        "target",
        "prediction",
        "probability",
        "kept",
        "removed",
        "area",
        "error",
    )
    rows = [[_short(row.get(name)) for name in columns] for row in found]
    table("", columns, rows, "no results yet" if status is None else f"no image is {status}")


@click.command()
@click.argument("job_id")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder; default: report-JOB.")
@click.option(
    "--limit", default=5000, show_default=True, type=click.IntRange(1), help="At most so many images."
)
@as_json_option
def report(job_id: str, output: Path | None, limit: int, as_json: bool) -> None:
    """Write a page to look at: each photograph, its mask and overlay, numbers and filters."""
    from gfi.cli.reporting import write_report
    from gfi.cli.stack import open_stack

    settings, database = open_stack()
    page = write_report(database, settings, job_id, output or Path(f"report-{job_id}"), limit)
    emit({"report": str(page)}) if as_json else click.echo(page)


def _job_json(database: Any, job_id: str) -> dict[str, Any]:
    from gfi.store import queries

    job = queries.get_job(database, job_id)
    return job.to_json() | {"progress": queries.job_progress(database, job_id).to_json()}


def _not_ok(progress: Any) -> str:
    """What came out other than `ok`, in a few words."""
    return ", ".join(
        f"{count} {status}" for status, count in progress.by_status.items() if count and status != "ok"
    )


def _overrides(given: tuple[str, ...]) -> dict[str, object]:
    """`FIELD=VALUE`s with values as JSON writes them; a word that is no JSON is a string."""
    import json

    from gfi.cli.errors import CommandError

    fields: dict[str, object] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise CommandError(f"--set {each}: write FIELD=VALUE, for example steps_class=24")
        try:
            fields[name] = json.loads(value)
        except ValueError:
            fields[name] = value
    return fields


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _absolute(spec: str) -> str:
    """Workers have another working directory: a path is made absolute, other specs are left alone."""
    kind, colon, place = spec.partition(":")
    if colon and place.startswith("//"):
        return spec
    if colon and kind.isalpha() and len(kind) > 1:
        return f"{kind}:{Path(place).expanduser().absolute()}"
    return str(Path(spec).expanduser().absolute())


def _short(value: object) -> object:
    return f"{value:.4f}" if isinstance(value, float) else value


COMMANDS = (submit, jobs, job, cancel, pause, resume, retry, results, report)
