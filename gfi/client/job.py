"""One job of the service, its progress and its results."""

import io
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from gfi.client.connection import ApiError
from gfi.client.exports import Exports
from gfi.client.flags import Flags
from gfi.client.results import Results, library
from gfi.client.views import Views

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TERMINAL = frozenset({"succeeded", "partial", "failed", "cancelled"})


@dataclass(frozen=True)
class Progress:
    """The progress of a job.

    Attributes
    ----------
    state : str
        queued, planning, running, succeeded, partial, failed or cancelled.
    done : int
        Images whose results are committed.
    total : int or None
        Images of the dataset; None before it is listed.
    rate : float or None
        Images per second over the last minutes.
    eta_s, eta_low_s, eta_high_s : float or None
        Seconds that are left: the estimate and its bounds.
    by_status : dict
        Committed images by status.
    """

    state: str
    done: int
    total: int | None
    rate: float | None
    eta_s: float | None
    eta_low_s: float | None
    eta_high_s: float | None
    by_status: dict[str, int]


class Job(Exports, Views, Flags):
    """A job of the service, as of the last `refresh`.

    Attributes
    ----------
    record : dict
        The job as returned by ``GET /v1/jobs/{id}``.
    """

    @property
    def state(self) -> str:
        """The state as of the last refresh; see `Progress`."""
        return str(self.record["state"])

    def __repr__(self) -> str:
        return f"Job({self.id!r}, {self.record['shown_state']})"

    def refresh(self) -> Self:
        """Read the job again."""
        self.record = self._connection.get(f"/v1/jobs/{self.id}")
        return self

    @property
    def progress(self) -> Progress:
        """The progress of the job, as of the last refresh."""
        progress = self.record["progress"]
        names = ("done", "total", "rate", "eta_s", "eta_low_s", "eta_high_s", "by_status")
        return Progress(self.state, **{name: progress[name] for name in names})

    def wait(self, progress: bool = False, timeout_s: float | None = None, every_s: float = 1.0) -> Self:
        """Wait until the job has ended.

        Parameters
        ----------
        progress
            Show the progress in one line on stderr.
        timeout_s, every_s
            Seconds: the longest wait, and the time between two requests.

        Raises
        ------
        TimeoutError
            When the job has not ended after `timeout_s`.
        ApiError
            When the job failed.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while self.refresh().state not in TERMINAL:
            if progress:
                _show(self)
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"job {self.id} is still {self.state} after {timeout_s} s")
            time.sleep(every_s)
        if progress:
            _show(self)
            sys.stderr.write("\n")
        if self.state == "failed":
            raise ApiError(200, {"detail": f"job {self.id} failed: {self.record['error']}"})
        return self

    def results(self, **filters: Any) -> Results:
        """The results of the job.

        Parameters
        ----------
        **filters
            Those of ``GET /v1/jobs/{id}/results``: status, label, prediction, wrong, flag, finding, rows, metric,
            at_least, sort …; ``where``, a list of
            conditions on the further columns of the manifest such as ``["site=A", "age>=40"]``.
        """
        return Results(self._connection, self.id, filters)

    def groups(self, by: str, where: Sequence[str] = (), status: str | None = None) -> list[dict[str, Any]]:
        """The images of the job by the values of a column, the largest group first.

        Parameters
        ----------
        by
            A further column of the manifest, or status, label, prediction, target, error_class.
        where
            Conditions on further columns, all of which hold.
        status
            Only images with this status.

        Returns
        -------
        list of dict
            ``value`` (None: the images without one), ``images``, ``counts`` by status, ``means`` over ``ok`` images. Of
            more than 1,000 groups the largest, with a warning.
        """
        groups, more = self.largest_groups(by, where, status)
        if more:
            warnings.warn(f"{by!r} has more than these {len(groups):,} groups", stacklevel=2)
        return groups

    def largest_groups(
        self, by: str, where: Sequence[str] = (), status: str | None = None
    ) -> tuple[list[dict[str, Any]], bool]:
        """As `groups`; and whether there are more than the service returned."""
        params = {"by": by, "where": list(where)} | ({"status": status} if status else {})
        answer = self._connection.get(f"/v1/jobs/{self.id}/groups", params=params)
        return answer["groups"], bool(answer.get("more"))

    def mask(self, row: int, target_rank: int = 0) -> "NDArray[np.float32]":
        """The mask of one image. Needs numpy.

        Parameters
        ----------
        row
            The image's row in the manifest, from 0.
        target_rank
            Which class of a job with ``top``; 0 is the most probable.

        Returns
        -------
        ndarray of float32, (H, W)
            Values in [0, 1] at the network's input size; 1 is a pixel that the prediction depends on.
        """
        numpy = library("numpy")
        data = self._connection.bytes(
            f"/v1/jobs/{self.id}/results/{row}/mask.npy", {"target_rank": target_rank}
        )
        mask: NDArray[np.float32] = numpy.load(io.BytesIO(data), allow_pickle=False)
        return mask

    def overlay(
        self,
        row: int,
        size: int = 768,
        colour_map: str = "viridis",
        opacity: float = 0.5,
        target_rank: int = 0,
        **older: str,
    ) -> bytes:
        """The photograph with the coloured mask over it.

        Parameters
        ----------
        row
            The image's row in the manifest, from 0.
        size
            The longer side of the picture in pixels.
        colour_map
            viridis, magma or jet. Version 0.1 called it ``map``, which is still accepted.
        opacity
            Opacity of the mask, from 0 to 1.
        target_rank
            Which class of a job with ``top``; 0 is the most probable.

        Returns
        -------
        bytes
            A PNG file.
        """
        colour_map = older.pop("map", colour_map)
        if older:
            raise TypeError(f"overlay() has no parameter {', '.join(older)}")
        params = {"size": size, "map": colour_map, "opacity": opacity, "target_rank": target_rank}
        return self._connection.bytes(f"/v1/jobs/{self.id}/results/{row}/overlay.png", params)

    def compare_with(self, method: Literal["paper", "released", "tuned", "grad-cam"]) -> "Job":
        """The job that explains the same images with another method; it is submitted unless it exists."""
        answer = self._connection.send("POST", f"/v1/jobs/{self.id}/methods", json={"method": method}).json()
        return Job(self._connection, answer["job"])

    beside = compare_with
    """The name of `compare_with` in version 0.1."""

    def cancel(self) -> Self:
        """Cancel the job; finished results stay readable."""
        self._connection.send("DELETE", f"/v1/jobs/{self.id}")
        return self.refresh()

    def pause(self) -> Self:
        """Pause the job: no further shard starts."""
        self._connection.send("POST", f"/v1/jobs/{self.id}/pause")
        return self.refresh()

    def resume(self) -> Self:
        """Resume a paused job."""
        self._connection.send("POST", f"/v1/jobs/{self.id}/resume")
        return self.refresh()

    def retry(
        self,
        statuses: Sequence[str] = ("error", "changed"),
        classes: Sequence[str] = (),
        rows: Sequence[int] = (),
    ) -> Self:
        """Explain part of an ended job again.

        Parameters
        ----------
        statuses
            The images with one of these statuses.
        classes
            Of images with status ``error``, only those whose error is of one of these classes; all if empty.
        rows
            If any are given: these images alone, whatever their status is.
        """
        body = {"statuses": list(statuses), "classes": list(classes), "rows": list(rows)}
        self._connection.send("POST", f"/v1/jobs/{self.id}/retry", json=body)
        return self.refresh()

    def delete(self) -> None:
        """Delete an ended job: its rows, parts, pictures and uploads."""
        self._connection.send("DELETE", f"/v1/jobs/{self.id}/data")

    def failures(self) -> list[dict[str, Any]]:
        """Failures by class, most frequent first."""
        failures: list[dict[str, Any]] = self._connection.get(f"/v1/jobs/{self.id}/failures")
        return failures

    def summary(self) -> dict[str, Any]:
        """``{"counts": status → images, "means": column → {"mean", "count", "variance", "class_mean", "classes"},
        "histograms": column → {"width", "bins": [[left edge, images], …]}}``.

        ``class_mean`` is None except for columns that are defined for each class.
        """
        summary: dict[str, Any] = self._connection.get(f"/v1/jobs/{self.id}/summary")
        return summary

    def mean_masks(self, class_name: str | None = None, limit: int = 100) -> dict[str, Any]:
        """The mean masks of the job and of its classes, over images with status ``ok``.

        Parameters
        ----------
        class_name
            Only this class: a label, or the number of a target where images have no label. None: the largest classes.
        limit
            At most this many classes, up to 1,000.

        Returns
        -------
        dict
            ``job`` and ``classes``: ``class_name``, ``images``, ``mask`` (14 rows of 14 numbers in [0, 1], over the
            network's input). ``total``: how many classes there are. ``due``: masks that the next report adds or
            subtracts.
        """
        params = {"limit": limit} | ({"class": class_name} if class_name is not None else {})
        answer: dict[str, Any] = self._connection.get(f"/v1/jobs/{self.id}/mean-masks", params=params)
        return answer

    def classes(self, limit: int = 1000) -> dict[str, Any]:
        """The images of the job by class: their label, otherwise the target.

        Parameters
        ----------
        limit
            At most this many classes, the largest first.

        Returns
        -------
        dict
            ``classes``: ``name``, ``images``, ``explained``, ``accuracy``, ``coverage``, ``means``, ``findings``,
            ``shortcuts``. A mean or a share is ``{"mean", "count", "low", "high"}``, with its 95 % interval.
        """
        answer: dict[str, Any] = self._connection.get(f"/v1/jobs/{self.id}/by-class", params={"limit": limit})
        return answer

    def confusion(self, limit: int = 1000) -> dict[str, Any]:
        """How often images with a label have which prediction: ``pairs``, wrong ones first, and ``right``, ``wrong``,
        ``unknown`` images."""
        answer: dict[str, Any] = self._connection.get(
            f"/v1/jobs/{self.id}/confusion", params={"limit": limit}
        )
        return answer

    def histogram(self, number: str, **filters: Any) -> dict[str, Any]:
        """The histogram of a number (area, deletion …) over images with status ``ok``.

        Parameters
        ----------
        number
            A number of results.
        **filters
            As for `results`.

        Returns
        -------
        dict
            ``width`` and ``bins``, ``[[left edge, images], …]``; ``mean`` with its 95 % interval.
        """
        params = {"number": number} | filters
        answer: dict[str, Any] = self._connection.get(f"/v1/jobs/{self.id}/histogram", params=params)
        return answer

    def similar(self, row: int, by: Literal["mask", "features"] = "mask", limit: int = 24) -> dict[str, Any]:
        """The images most like one.

        Parameters
        ----------
        row
            The image's row in the manifest, from 0.
        by
            ``mask``: where the masks lie. ``features``: what the network sees of the photographs.
        limit
            At most this many, up to 100.

        Returns
        -------
        dict
            ``images``: ``{"similarity", "result"}``, the most similar first. ``compared``: with how many results.
            ``complete``: False for a job that is too large to be compared as a whole.
        """
        params = {"by": by, "limit": limit}
        answer: dict[str, Any] = self._connection.get(
            f"/v1/jobs/{self.id}/results/{row}/similar", params=params
        )
        return answer

    def boxes(self, row: int) -> dict[str, Any]:
        """The boxes that the dataset has for one image.

        Parameters
        ----------
        row
            The image's row in the manifest, from 0.

        Returns
        -------
        dict
            ``boxes``: ``label``, ``left``, ``top``, ``right``, ``bottom`` in pixels of the photograph (half-open),
            ``difficult``. ``size``: (H, W) of the photograph. ``repairs``, ``error``: what was repaired, and why boxes
            cannot be used.
        """
        answer: dict[str, Any] = self._connection.get(f"/v1/jobs/{self.id}/results/{row}/boxes")
        return answer

    def intervals(self, by: str, view: str = "", seed: int = 0) -> list[dict[str, Any]]:
        """Means with bootstrap intervals of 95 % over images, by a column.

        Parameters
        ----------
        by
            A further column of the manifest, or status, label, prediction, target, error_class.
        view
            Which results, as for `export`.
        seed
            Of the draws.

        Returns
        -------
        list of dict
            ``value`` (None: the images without one), ``images``, ``explained``, ``left_out`` by status, and ``numbers``
            by column: ``mean``, ``low``, ``high``, ``images``, and ``missing``, how many explained images do not have
            it. The hundred largest groups.
        """
        params = {"by": by, "view": view, "seed": seed}
        groups: list[dict[str, Any]] = self._connection.get(f"/v1/jobs/{self.id}/intervals", params)["groups"]
        return groups


def _show(job: Job) -> None:
    progress = job.record["progress"]
    explained = progress["done"] + progress["finished"]  # committed and not yet committed
    counts = "" if progress["total"] is None else f": {explained} of {progress['total']} images"
    left = (
        f", {progress['eta_low_s']:.0f} to {progress['eta_high_s']:.0f} s left" if progress["eta_s"] else ""
    )
    sys.stderr.write(f"\r{job.record['shown_state'] + counts + left:<70}")
    sys.stderr.flush()
