"""The report of a job as one archive."""

import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from gfi.api.access import Reader
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.lookup import JobId, find_job
from gfi.api.problems import documented
from gfi.jobs.report import write_report

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], route_class=StrictRoute)
MOST_IMAGES = 1000
"""Images of a report, at most; `gfi report` on a machine of the service writes larger ones."""
_ZIP: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}
}
CHUNK = 1 << 20


@router.get("/report.zip", response_class=StreamingResponse, responses=documented(404, also=_ZIP))
def download_report(
    job_id: JobId,
    context: ContextDep,
    caller: Reader,
    limit: Annotated[
        int, Query(ge=1, le=10_000_000, description=f"Images of the report; at most {MOST_IMAGES}.")
    ] = MOST_IMAGES,
    seed: Annotated[int, Query(ge=0, le=2**31 - 1, description="Of the draw of these images.")] = 0,
) -> StreamingResponse:
    """The report of a job: a page to look at, with its pictures, as a ZIP file."""
    job = find_job(context, job_id)
    archive = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it has been sent
    with tempfile.TemporaryDirectory(prefix="gfi-report-") as folder:
        root = Path(folder) / "report"
        write_report(
            context.database, context.settings, context.bucket, job.id, root, min(limit, MOST_IMAGES), seed
        )
        with zipfile.ZipFile(
            archive, "w", zipfile.ZIP_STORED
        ) as packed:  # its pictures are compressed already
            for file in sorted(path for path in root.rglob("*") if path.is_file()):
                packed.write(file, file.relative_to(root).as_posix())
    archive.seek(0)

    def chunks() -> Iterator[bytes]:
        with archive:
            while chunk := archive.read(CHUNK):
                yield chunk

    headers = {"Content-Disposition": f'attachment; filename="report-{job.id}.zip"'}
    return StreamingResponse(chunks(), media_type="application/zip", headers=headers)
