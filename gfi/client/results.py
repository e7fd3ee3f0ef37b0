"""The results of a job, read page by page."""

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gfi.client.connection import Connection

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]


class Results:
    """The results of a job. Iterating reads them page by page; each is a dict with the fields of the API."""

    def __init__(self, connection: Connection, job_id: str, params: dict[str, Any]) -> None:
        self._connection, self._job_id, self._params = connection, job_id, params

    def __iter__(self) -> Iterator[dict[str, Any]]:
        after = None
        while True:
            params = {"limit": 1000} | self._params | ({"after": after} if after else {})
            page = self._connection.get(f"/v1/jobs/{self._job_id}/results", params=params)
            yield from page["items"]
            after = page["next"]
            if after is None:
                return

    def to_list(self) -> list[dict[str, Any]]:
        """All results."""
        return list(self)

    def to_pandas(self) -> "pd.DataFrame":
        """A frame with one line per explanation, indexed by the image's row in the manifest. Needs pandas.

        A job with ``top`` has several explanations per image; ``target_rank`` tells them apart.
        """
        pandas = library("pandas")
        rows = self.to_list()
        frame: pd.DataFrame = pandas.DataFrame(rows)
        return frame.set_index("row") if rows else frame


def library(name: str) -> Any:
    """numpy or pandas, which `pip install gfi` does not install. Raises ModuleNotFoundError with advice."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f'this needs {name}, which is not installed: pip install "gfi[client]"', name=name
        ) from None
