"""Tasks through the client: registrations, listings, reports, comparisons."""

import time
from collections.abc import Iterator
from typing import Any

from gfi.client.connection import ApiError, Connection

TASK_POLL_S = 0.5


class Tasks(Connection):
    """The methods of `Client` about tasks."""

    def tasks(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """Tasks (registrations, listings, reports …), newest first; filters: state, kind, owner, job."""
        after = None
        while True:
            page = self.get("/v1/tasks", params=filters | ({"after": after} if after else {}))
            yield from page["items"]
            after = page["next"]
            if after is None:
                return

    def task(self, task_id: str) -> dict[str, Any]:
        """One task."""
        task: dict[str, Any] = self.get(f"/v1/tasks/{task_id}")
        return task

    def wait_for_task(self, task_id: str, wait_s: float | None = None) -> dict[str, Any]:
        """Wait until a task has ended.

        Parameters
        ----------
        task_id
            Its id.
        wait_s
            Seconds, at most; None: as long as it takes.

        Returns
        -------
        dict
            The task: done, or unfinished if it took longer.

        Raises
        ------
        ApiError
            When it failed or was cancelled; the detail is its reason.
        """
        ends = None if wait_s is None else time.monotonic() + wait_s
        while True:
            task = self.task(task_id)
            if task["state"] in ("failed", "cancelled"):
                raise ApiError(422, {"detail": task["reason"] or f"task {task_id} was {task['state']}"})
            if task["state"] == "done" or (ends is not None and time.monotonic() >= ends):
                return task
            time.sleep(TASK_POLL_S)

    def cancel_task(self, task_id: str) -> dict[str, Any]:
        """Cancel a task."""
        task: dict[str, Any] = self.send("DELETE", f"/v1/tasks/{task_id}").json()
        return task

    def retry_task(self, task_id: str) -> dict[str, Any]:
        """Try a failed or cancelled task again."""
        task: dict[str, Any] = self.send("POST", f"/v1/tasks/{task_id}/retry").json()
        return task
