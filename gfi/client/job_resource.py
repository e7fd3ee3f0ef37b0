"""What the parts of a job's client share: the connection and the job's record."""

from typing import Any

from gfi.client.connection import Connection


class JobResource:
    """A job, as `GET /v1/jobs/{id}` returned it."""

    def __init__(self, connection: Connection, record: dict[str, Any]) -> None:
        self._connection, self.record = connection, record

    @property
    def id(self) -> str:
        """The id."""
        return str(self.record["id"])
