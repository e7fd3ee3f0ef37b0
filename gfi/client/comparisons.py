"""Comparisons and transfers of two jobs through the client."""

from collections.abc import Sequence
from typing import Any

from gfi.client.connection import ApiError
from gfi.client.tasks import Tasks


class Comparisons(Tasks):
    """The methods of `Client` about two jobs."""

    def compare(
        self,
        a: str,
        b: str,
        *,
        floor: Sequence[str] = (),
        gate: str | None = None,
        gate_name: str | None = None,
        look: int | None = None,
        wait_s: float | None = None,
    ) -> dict[str, Any]:
        """Compare job b with job a, and wait for the result.

        Parameters
        ----------
        a, b
            Two finished jobs over the same images.
        floor
            Jobs of other training runs of a's recipe.
        gate
            The text of a gate file.
        gate_name
            Its name, for errors.
        look
            The number of this comparison in the year, for a gate with ``[nightly]``; None: the one that it has, or the
            next.
        wait_s
            Seconds, at most; None: as long as it takes.

        Returns
        -------
        dict
            ``sentences``, ``comparison``, ``gate``, ``junit`` …

        Raises
        ------
        ApiError
            When it failed or takes longer; the detail says why.
        """
        body: dict[str, Any] = {"a": a, "b": b, "floor": list(floor), "gate": gate, "look": look}
        if gate_name is not None:
            body["gate_name"] = gate_name
        task: str = self.send("POST", "/v1/comparisons", json=body).json()["id"]
        return self._result(task, f"/v1/comparisons/{task}", wait_s)

    def transfer(
        self,
        a: str,
        b: str,
        *,
        floor: Sequence[str] = (),
        images: int = 200,
        seed: int = 0,
        wait_s: float | None = None,
    ) -> dict[str, Any]:
        """Show the model of job b the masks of job a, and wait for the result.

        Parameters
        ----------
        a, b
            Two finished jobs over the same images.
        floor
            Jobs of other training runs of a's recipe: the same number among them stands beside it.
        images, seed
            The size of the sample, and its seed.
        wait_s
            Seconds, at most; None: as long as it takes.

        Returns
        -------
        dict
            ``sentences``, ``compared`` and ``floor``, each pair with ``mean``, ``lower``, ``upper`` (log-odds), ``n``
            and ``classes``; ``images``.

        Raises
        ------
        ApiError
            When it failed or takes longer; the detail says why. When no worker is alive.
        """
        made = self.request_transfer(a, b, floor=floor, images=images, seed=seed)
        return self._result(made["id"], made["url"], wait_s)

    def request_transfer(
        self, a: str, b: str, *, floor: Sequence[str] = (), images: int = 200, seed: int = 0
    ) -> dict[str, Any]:
        """As `transfer`, without waiting. Returns the request with its ``id``; `wait_for_task` waits for it."""
        body = {"a": a, "b": b, "floor": list(floor), "images": images, "seed": seed}
        made: dict[str, Any] = self.send("POST", "/v1/transfers", json=body).json()
        return made

    def _result(self, task_id: str, address: str, wait_s: float | None) -> dict[str, Any]:
        """The result of a task, once it has one; its address is that of the comparison. ApiError if there is none."""
        task = self.wait_for_task(task_id, wait_s)
        if task["state"] != "done":
            raise ApiError(0, {"detail": f"{task['kind']} {task_id} is {task['state']} after {wait_s} s"})
        result: dict[str, Any] = self.get(address)["result"]
        return result
