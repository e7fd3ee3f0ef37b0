"""The saved views of a job: queries of its results under a name."""

from typing import Any
from urllib.parse import parse_qs, quote

from gfi.client.job_resource import JobResource
from gfi.client.results import Results


class Views(JobResource):
    """The methods of `Job` for views."""

    def views(self) -> list[dict[str, Any]]:
        """The saved views of the job: ``name``, ``query``, ``owner``, ``at``."""
        views: list[dict[str, Any]] = self._connection.get(f"/v1/jobs/{self.id}/views")
        return views

    def view(self, name: str) -> Results:
        """The results of a saved view, in its order.

        Raises
        ------
        KeyError
            When the job has no view of this name.
        """
        for view in self.views():
            if view["name"] == name:
                return Results(
                    self._connection, self.id, dict(parse_qs(view["query"], keep_blank_values=True))
                )
        raise KeyError(f"job {self.id} has no view {name!r}")

    def save_view(self, name: str, query: str) -> dict[str, Any]:
        """Save a view; one of this name is replaced.

        Parameters
        ----------
        name
            Without slashes.
        query
            As the gallery's address has it: ``wrong=true&label=cat&sort=area``.
        """
        body = {"name": name, "query": query}
        view: dict[str, Any] = self._connection.send("POST", f"/v1/jobs/{self.id}/views", json=body).json()
        return view

    def delete_view(self, name: str) -> None:
        """Delete a view."""
        self._connection.send("DELETE", f"/v1/jobs/{self.id}/views/{quote(name, safe='')}")
