"""Exports of a job: made at once where they are small, otherwise by a control worker into the bucket.

jobs/{job}/exports/{task}.csv          what was asked for; deleted with the job
jobs/{job}/exports/{task}/0000000.zip  pieces of an export that is being made
"""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gfi.domain.states import ControlKind
from gfi.domain.tasks import INTERACTIVE
from gfi.exports.errors import ExportError
from gfi.exports.export import Export, ExportOptions
from gfi.exports.formats import format_named, reads_photographs
from gfi.exports.pieces import BucketPieces, FolderPieces
from gfi.exports.write import State, assemble, make_pieces
from gfi.jobs.task_run import TaskRun
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import NotFound
from gfi.store.objects import Bucket
from gfi.store.settings import Settings

MOST_AT_ONCE: Mapping[str, int] = {"rows": 20_000, "masks": 1_000, "photographs": 200}
"""Results of an export that is made while somebody waits, by what its format reads."""


class TooLarge(ExportError):
    """The export has more results than are made while somebody waits."""


def open_export(
    database: Database, settings: Settings, bucket: Bucket, job_id: str, options: ExportOptions
) -> Export:
    """The export of a job. Raises NotFound, or ExportError for an unknown format or view, or a missing library."""
    format_named(options.format).check_installed()
    export = Export(queries.get_job(database, job_id), options, database, settings, bucket)
    _ = export.filters
    return export


def write_small(export: Export, folder: Path) -> Path:
    """Make a small export now; returns its file in `folder`. Raises TooLarge."""
    made = format_named(export.options.format)
    needs = "photographs" if reads_photographs(made.name, export.options.photographs) else made.needs
    most = MOST_AT_ONCE[needs]

    def check_size(state: State) -> None:
        if state.results > most:
            raise TooLarge(
                f"more than {most:,} results; an export in the format {made.name} that is this large is made as a task"
            )

    pieces = FolderPieces(folder)
    state = make_pieces(export, pieces, State(), check_size)
    path = folder / file_name(export.job.id, made.name)
    assemble(export, pieces, state, path)
    return path


def file_name(job_id: str, format_name: str) -> str:
    """The name of an export's file for people."""
    return f"{job_id}-{format_name}{format_named(format_name).ending}"


def request_export(
    database: Database, settings: Settings, bucket: Bucket, job_id: str, options: ExportOptions, owner: str
) -> tuple[str, bool]:
    """Request an export of a job. Returns the id of the task, and whether it is a new one. Raises as `open_export`."""
    export = open_export(database, settings, bucket, job_id, options)
    return ledger.request_task(
        database,
        ControlKind.EXPORT,
        options.to_json(),
        owner=owner,
        job_id=export.job.id,
        priority=INTERACTIVE,
    )


def export_job(database: Database, settings: Settings, bucket: Bucket, run: TaskRun) -> dict[str, Any] | None:
    """Do a requested export, from the pieces of an earlier attempt. Returns the result; None if the lease is lost."""
    claim = run.claim
    assert claim.job_id is not None
    export = open_export(database, settings, bucket, claim.job_id, ExportOptions.from_json(claim.payload))
    pieces = BucketPieces(bucket, f"{_prefix(claim.job_id, claim.task_id)}/")
    saved = run.progress.get("export")
    state = State() if saved is None else State(saved["pieces"], saved["results"], tuple(saved["after"]))

    def save(now: State) -> None:
        run.save(lambda connection: None, export=asdict(now), done=now.results, total=export.job.total)

    state = make_pieces(export, pieces, state, save, run.check)
    with tempfile.TemporaryDirectory(prefix="gfi-export-") as folder:
        path = Path(folder) / "whole"
        assemble(export, pieces, state, path)
        run.check()
        run.progressed()
        bucket.put(export_key(claim.job_id, claim.task_id, export.options.format), path)
        result = {"results": state.results, "bytes": path.stat().st_size}
    if not run.finish(result):
        return None
    pieces.delete(state.pieces)
    return result


def export_of(database: Database, task_id: str, job_id: str) -> queries.Task:
    """The task of an export of this job. Raises NotFound."""
    task = queries.get_task(database, task_id)
    if task.kind != ControlKind.EXPORT or task.job_id != job_id:
        raise NotFound(f"job {job_id} has no export {task_id}")
    return task


def list_exports(database: Database, job_id: str, limit: int = 100) -> list[queries.Task]:
    """The exports of a job that were requested, newest first."""
    return queries.list_tasks(database, limit=limit, kind=ControlKind.EXPORT, job_id=job_id)


def export_key(job_id: str, task_id: str, format_name: str) -> str:
    """The key of an export in the bucket."""
    return f"{_prefix(job_id, task_id)}{format_named(format_name).ending}"


def _prefix(job_id: str, task_id: str) -> str:
    return f"jobs/{job_id}/exports/{task_id}"
