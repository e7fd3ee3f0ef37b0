"""The flags that people put on a job's images."""

from collections.abc import Sequence
from typing import Any

from gfi.client.job_resource import JobResource


class Flags(JobResource):
    """The methods of `Job` for flags."""

    def flags(self) -> list[dict[str, Any]]:
        """The flagged images: ``row``, ``key``, ``flag``, ``note``, ``owner``, ``at``."""
        flags: list[dict[str, Any]] = self._connection.get(f"/v1/jobs/{self.id}/flags")
        return flags

    def flag(
        self,
        flag: str | None = "look",
        rows: Sequence[int] | None = None,
        note: str = "",
        *,
        view: str | None = None,
        **filters: Any,
    ) -> dict[str, Any]:
        """Flag many images at once, at most 10,000.

        Parameters
        ----------
        flag
            A word such as ``look``, ``wrong``, ``good``; None removes the flags.
        rows
            The images. None: those of `view`, or all that match `filters`.
        note
            Stored with each of them.
        view
            A query as the gallery's address has it, or the name of a saved view.
        **filters
            As for `results`.

        Returns
        -------
        dict
            ``changed``, ``kept`` (images that another user flagged), ``before`` (the flags that the changed images
            had).

        Raises
        ------
        ApiError
            When more than 10,000 images match.
        """
        body = {"flag": flag, "note": note, "rows": None if rows is None else list(rows), "view": view}
        answer = self._connection.send("POST", f"/v1/jobs/{self.id}/flags", params=filters, json=body)
        done: dict[str, Any] = answer.json()
        return done
