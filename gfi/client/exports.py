"""The results of a job as files: exports to other tools, and the report."""

import io
import shutil
import time
import zipfile
from pathlib import Path
from typing import Any

from gfi.client.connection import ApiError
from gfi.client.job_resource import JobResource

_ENDINGS = {"parquet": ".parquet", "csv": ".csv", "jsonl": ".jsonl", "coco": ".json"}
_ARCHIVES = ("fiftyone", "virelay", "overlays", "cvat", "label-studio")
_TOO_LARGE = 413


class Exports(JobResource):
    """The methods of `Job` for exports and the report."""

    def report(self, folder: str | Path, limit: int = 1000, seed: int = 0) -> Path:
        """Write the report of the job.

        Parameters
        ----------
        folder
            Created if it does not exist.
        limit
            Show at most this many images, drawn by class and status.
        seed
            Of the draw.

        Returns
        -------
        Path
            The page, ``index.html``.
        """
        data = self._connection.bytes(f"/v1/jobs/{self.id}/report.zip", {"limit": limit, "seed": seed})
        return _unpack(data, Path(folder)) / "index.html"

    def export(
        self,
        format: str,
        path: str | Path | None = None,
        *,
        view: str = "",
        threshold: float = 0.5,
        images: str | None = None,
        photographs: bool = False,
        every_s: float = 1.0,
    ) -> Path:
        """Export the results to another tool.

        Parameters
        ----------
        format
            parquet, csv, jsonl, coco, fiftyone, virelay, overlays, cvat or label-studio.
        path
            The file; of a format with several files a ZIP if its name ends in ``.zip``, otherwise a new folder. None: a
            name made from job and format, in the current folder.
        view
            Which results, as in the gallery's address: ``"status=ok&prediction=3"``; ``rows=1,5-9`` selects.
        threshold
            The region of a mask is where it is at least this; in (0, 1).
        images
            Written in front of the keys where a format refers to photographs. None: where the dataset lies.
        photographs
            Put the photographs into the archive (cvat).
        every_s
            Seconds between two questions whether a large export is done.

        Returns
        -------
        Path
            Where the export is.

        Raises
        ------
        ApiError
            When the service refuses, or a large export failed.
        """
        asked: dict[str, Any] = {
            "format": format,
            "view": view,
            "threshold": threshold,
            "images": images,
            "photographs": photographs,
        }
        archive = format in _ARCHIVES
        target = Path(path) if path is not None else Path(f"{self.id}-{format}{_ENDINGS.get(format, '.zip')}")
        as_folder = archive and target.suffix.lower() != ".zip"
        if as_folder and target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ApiError(
                0, {"detail": f"{target} is not empty; name a new folder, or a file that ends in .zip"}
            )
        file = target.with_name(target.name + ".zip") if as_folder else target
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            params = {name: value for name, value in asked.items() if value is not None}
            self._connection.download(f"/v1/jobs/{self.id}/export", file, params)
        except ApiError as error:
            if error.status != _TOO_LARGE:
                raise
            self._connection.download(self._made(asked, every_s), file)
        if as_folder:
            _unpack(file, target)
            file.unlink()
        return target

    def exports(self) -> list[dict[str, Any]]:
        """The exports of this job that were requested, newest first."""
        listed: list[dict[str, Any]] = self._connection.get(f"/v1/jobs/{self.id}/exports")
        return listed

    def _made(self, asked: dict[str, Any], every_s: float) -> str:
        """Request a large export and wait for it. Returns the address of its file."""
        export = self._connection.send("POST", f"/v1/jobs/{self.id}/exports", json=asked).json()
        while export["state"] in ("pending", "leased"):
            time.sleep(every_s)
            export = self._connection.get(f"/v1/jobs/{self.id}/exports/{export['id']}")
        if export["file"] is None:
            raise ApiError(200, {"detail": f"the export {export['state']}: {export['reason']}"})
        return str(export["file"])


def _unpack(archive: bytes | Path, folder: Path) -> Path:
    """Write the files of a ZIP into `folder`. Raises ApiError if a file would be written outside of it."""
    with zipfile.ZipFile(io.BytesIO(archive) if isinstance(archive, bytes) else archive) as packed:
        for member in packed.infolist():
            target = folder / member.filename
            if not target.resolve().is_relative_to(folder.resolve()):
                raise ApiError(
                    200, {"detail": f"the archive names a file outside its folder: {member.filename}"}
                )
            if not member.is_dir():
                target.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(member) as stored, target.open("wb") as file:
                    shutil.copyfileobj(stored, file)
    return folder
