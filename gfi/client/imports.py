"""Importing masks through the client."""

import io
import time
import zipfile
from pathlib import Path
from typing import Any

from gfi.client.connection import ApiError, Connection
from gfi.client.job import Job

POLL_S = 0.5


class Imports(Connection):
    """The methods of `Client` about masks that were made elsewhere."""

    def import_masks(
        self,
        masks: str | Path,
        dataset: str,
        method: str,
        *,
        model: str | None = None,
        crop: bool = False,
        name: str = "",
        wait_s: float | None = None,
    ) -> Job:
        """Import masks that were made elsewhere, and wait for the job.

        Parameters
        ----------
        masks
            A file ``.zip``, ``.npz`` or ``.npy``, or a folder with ``KEY.npy``, ``.npz`` or ``.png``, which is
            sent as a ZIP; ``datasets()["uploads"]`` says how many bytes.
        dataset
            As for `submit`.
        method
            What made the masks, such as ``"captum-lrp"``.
        model
            A registered model, whose classes the labels are.
        crop
            The masks show what the model sees, such as the centre crop.
        name
            A display name of the job.
        wait_s
            Seconds, at most; None: as long as it takes.

        Raises
        ------
        ApiError
            If the masks are refused, the import fails or takes longer; the detail says why.
        """
        path = Path(masks)
        sent = (f"{path.name}.zip", _zipped(path)) if path.is_dir() else (path.name, path.read_bytes())
        fields = {"dataset": dataset, "method": method, "crop": str(crop).lower(), "name": name}
        if model is not None:
            fields["model"] = model
        made: dict[str, Any] = self.send("POST", "/v1/imports", files={"masks": sent}, data=fields).json()
        ends = None if wait_s is None else time.monotonic() + wait_s
        while made["state"] != "done":
            if made["state"] in ("failed", "cancelled"):
                raise ApiError(422, {"detail": made["reason"] or f"the import was {made['state']}"})
            if ends is not None and time.monotonic() >= ends:
                raise ApiError(0, {"detail": f"import {made['id']} is {made['state']} after {wait_s} s"})
            time.sleep(POLL_S)
            made = self.get(made["url"])
        return Job(self, self.get(f"/v1/jobs/{made['job_id']}"))


def _zipped(folder: Path) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder).as_posix())
    return out.getvalue()
