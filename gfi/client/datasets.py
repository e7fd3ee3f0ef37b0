"""Datasets through the client: where they may be, named ones, a look at one, and photographs that are sent."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gfi.client.connection import Connection
from gfi.client.job import Job


class Datasets(Connection):
    """The methods of `Client` about datasets."""

    def datasets(self) -> dict[str, Any]:
        """The folders and buckets that may be read, the named datasets, and the limits of `upload`.

        Returns
        -------
        dict
            ``roots``, ``buckets``, ``registered`` (each ``name``, ``dataset``, ``kind``, ``owner``), ``uploads``.
        """
        found: dict[str, Any] = self.get("/v1/datasets")
        return found

    def preview(self, dataset: str, limit: int = 12) -> dict[str, Any]:
        """The kind of a dataset, its number of images, the first of them, and what is left out or repaired.

        Parameters
        ----------
        dataset
            As for `submit`.
        limit
            Images to list, 1 to 60.
        """
        body = {"dataset": dataset, "limit": limit}
        found: dict[str, Any] = self.send("POST", "/v1/datasets/preview", json=body).json()
        return found

    def name_dataset(self, name: str, dataset: str) -> dict[str, Any]:
        """Give a dataset a name; `submit` then takes ``"@name"``.

        Raises
        ------
        ApiError
            If the name is taken (409), or the dataset cannot be read.
        """
        made: dict[str, Any] = self.send(
            "POST", "/v1/datasets", json={"name": name, "dataset": dataset}
        ).json()
        return made

    def forget_dataset(self, name: str) -> None:
        """Remove the name of a dataset; its images stay where they are. Needs a token of an administrator."""
        self.send("DELETE", f"/v1/datasets/{name}")

    def upload(self, images: Sequence[str | Path] | Mapping[str, bytes], **options: Any) -> Job:
        """Explain photographs of this machine.

        Parameters
        ----------
        images
            Paths, or the bytes of files by their names; `datasets()["uploads"]` says how many.
        **options
            As for `submit`, without a dataset.

        Raises
        ------
        ApiError
            If a photograph cannot be read, or an option is not valid; the detail names it.
        """
        named = (
            images if isinstance(images, Mapping) else {str(path): Path(path).read_bytes() for path in images}
        )
        files = [("images", (name, data)) for name, data in named.items()]
        fields = {name: _as_field(value) for name, value in options.items() if value is not None}
        answer = self.send("POST", "/v1/uploads", files=files, data=fields).json()
        return Job(self, answer["job"])


def _as_field(value: Any) -> str:
    """An option as a form writes it: an empty list of pictures as `none`."""
    if isinstance(value, Mapping):
        return json.dumps(dict(value))
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
