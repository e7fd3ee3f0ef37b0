"""A typed client of the API, for programs and notebooks.

    from gfi.client import Client

    gfi = Client("http://127.0.0.1:8000", token="gfi_…")        # or GFI_API_URL, GFI_TOKEN
    job = gfi.submit(dataset="/data/photographs", model="efficientnet-lite0", metrics=["deletion"])
    frame = job.wait(progress=True).results().to_pandas()
    mask = job.mask(0)                                           # float32 (H, W) in [0, 1]

Needs httpx and, for masks and frames, numpy and pandas; never torch. Requests that did not reach the service, or met
one that is restarting, are repeated; a submission carries an idempotency key, so that is safe.
"""

import io
import os
import sys
import time
import uuid
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import httpx

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd  # type: ignore[import-untyped]
    from numpy.typing import NDArray

TERMINAL = frozenset({"succeeded", "partial", "failed", "cancelled"})
_AGAIN = {429, 502, 503, 504}


class ApiError(Exception):
    """The service refused. str() is its detail and advice; `status` the HTTP status, `problem` the whole answer."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        detail, advice = problem.get("detail") or f"HTTP status {status}", problem.get("advice", "")
        super().__init__(f"{detail} — {advice}" if advice else detail)
        self.status, self.problem = status, problem


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    state: str
    done: int
    total: int | None
    rate: float | None
    eta_s: float | None
    eta_low_s: float | None
    eta_high_s: float | None
    by_status: dict[str, int]


class Results:
    """The results of a job, read a page at a time as they are iterated over."""

    def __init__(self, client: "Client", job_id: str, params: dict[str, Any]) -> None:
        self._client, self._job_id, self._params = client, job_id, params

    def __iter__(self) -> Iterator[dict[str, Any]]:
        after = None
        while True:
            params = {"limit": 1000} | self._params | ({"after": after} if after else {})
            page = self._client.get(f"/v1/jobs/{self._job_id}/results", params=params)
            yield from page["items"]
            after = page["next"]
            if after is None:
                return

    def to_list(self) -> list[dict[str, Any]]:
        """Every row."""
        return list(self)

    def to_pandas(self) -> "pd.DataFrame":
        """A frame with a row per explanation, indexed by the manifest's row. Needs pandas.

        A job with `top` has several an image, told apart by `target_rank`.
        """
        import pandas as pd

        rows = self.to_list()
        return pd.DataFrame(rows).set_index("row") if rows else pd.DataFrame()


class Job:
    """A job of the service."""

    def __init__(self, client: "Client", record: dict[str, Any]) -> None:
        self._client, self.record = client, record

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.record["id"])

    @property
    def state(self) -> str:
        """As of the last refresh."""
        return str(self.record["state"])

    def __repr__(self) -> str:
        return f"Job({self.id!r}, {self.record['shown_state']})"

    def refresh(self) -> Self:
        """Read it again."""
        self.record = self._client.get(f"/v1/jobs/{self.id}")
        return self

    @property
    def progress(self) -> Progress:
        """As of the last refresh."""
        seen = self.record["progress"]
        names = ("done", "total", "rate", "eta_s", "eta_low_s", "eta_high_s", "by_status")
        return Progress(self.state, **{name: seen[name] for name in names})

    def wait(self, progress: bool = False, timeout_s: float | None = None, every_s: float = 1.0) -> Self:
        """Until it has ended. progress: a line on stderr. TimeoutError after `timeout_s`; ApiError when it failed."""
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
        """Its results; filters as of GET /v1/jobs/{id}/results: status, prediction, metric, at_least, sort …"""
        return Results(self._client, self.id, filters)

    def mask(self, row: int, target_rank: int = 0) -> "NDArray[np.float32]":
        """The mask of one image: float32 (H, W) in [0, 1] at the network's input size.

        target_rank: which of the classes of a job with `top`.
        """
        import numpy as np

        rank = {"target_rank": target_rank}
        data = self._client.bytes(f"/v1/jobs/{self.id}/results/{row}/mask.npy", rank)
        mask: NDArray[np.float32] = np.load(io.BytesIO(data), allow_pickle=False)
        return mask

    def overlay(
        self, row: int, size: int = 768, map: str = "viridis", opacity: float = 0.5, target_rank: int = 0
    ) -> bytes:
        """PNG of the coloured mask over the photograph."""
        params = {"size": size, "map": map, "opacity": opacity, "target_rank": target_rank}
        return self._client.bytes(f"/v1/jobs/{self.id}/results/{row}/overlay.png", params)

    def compare_with(self, method: Literal["paper", "released", "tuned", "grad-cam"]) -> "Job":
        """The job that explains the same images with another method, found or submitted."""
        answer = self._client.send("POST", f"/v1/jobs/{self.id}/comparisons", json={"method": method}).json()
        return Job(self._client, answer["job"])

    beside = compare_with
    """The name that this had in version 0.1."""

    def cancel(self) -> Self:
        """Cancel it; what was finished stays readable."""
        self._client.send("DELETE", f"/v1/jobs/{self.id}")
        return self.refresh()

    def pause(self) -> Self:
        """Claim nothing more."""
        self._client.send("POST", f"/v1/jobs/{self.id}/pause")
        return self.refresh()

    def resume(self) -> Self:
        """Go on."""
        self._client.send("POST", f"/v1/jobs/{self.id}/resume")
        return self.refresh()

    def retry(self, statuses: Sequence[str] = ("error", "changed"), classes: Sequence[str] = ()) -> Self:
        """Try the images with these statuses again; where classes are named, those whose error is of one of them."""
        body = {"statuses": list(statuses), "classes": list(classes)}
        self._client.send("POST", f"/v1/jobs/{self.id}/retry", json=body)
        return self.refresh()

    def delete(self) -> None:
        """Delete an ended job: its rows, parts, pictures and uploads."""
        self._client.send("DELETE", f"/v1/jobs/{self.id}/data")

    def failures(self) -> list[dict[str, Any]]:
        """What went wrong, by class, most frequent first."""
        failures: list[dict[str, Any]] = self._client.get(f"/v1/jobs/{self.id}/failures")
        return failures

    def summary(self) -> dict[str, Any]:
        """{"counts": status → images, "means": column → {"mean", "count"}}."""
        summary: dict[str, Any] = self._client.get(f"/v1/jobs/{self.id}/summary")
        return summary

    def report(self, folder: str | Path, limit: int = 1000) -> Path:
        """Write the report of the job into a folder; returns the path of its page. limit: images, at most."""
        data = self._client.bytes(f"/v1/jobs/{self.id}/report.zip", {"limit": limit})
        folder = Path(folder)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                target = folder / member.filename
                if not target.resolve().is_relative_to(folder.resolve()):
                    raise ApiError(
                        200, {"detail": f"the report names a file outside its folder: {member.filename}"}
                    )
                if not member.is_dir():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.read(member))
        return folder / "index.html"


def _show(job: Job) -> None:
    seen = job.record["progress"]
    done = seen["done"] + seen["finished"]  # explained, be it committed or not
    counted = "" if seen["total"] is None else f": {done} of {seen['total']} images"
    left = f", {seen['eta_low_s']:.0f} to {seen['eta_high_s']:.0f} s left" if seen["eta_s"] else ""
    sys.stderr.write(f"\r{job.record['shown_state'] + counted + left:<70}")
    sys.stderr.flush()


class Client:
    """The service at `url`. Thread-safe; usable as a context manager."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout_s: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        url = url or os.environ.get("GFI_API_URL") or "http://127.0.0.1:8000"
        token = token or os.environ.get("GFI_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def submit(
        self,
        dataset: str,
        model: str = "efficientnet-lite0",
        *,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Start a job, or get the one that is there already.

        Parameters
        ----------
        dataset, model, **options
            The options of a job (`gfi.domain.job.JobOptions`), for example ``metrics=["deletion"]``,
            ``preset="paper"``, ``target="tabby"``, ``top=3``, ``name="nightly"``; and ``new=True``, which
            starts another job even while the same one is active.
        idempotency_key
            Submitting twice with one key is one job. Default: a key of this call's own, so that a repeated
            request is safe.

        Returns
        -------
        Job

        Raises
        ------
        ApiError
            When an option does not exist or does not fit; the detail names it.
        """
        answer = self.submit_options(
            {"dataset": dataset, "model": model, **options}, idempotency_key=idempotency_key
        )
        return Job(self, answer["job"])

    def submit_options(
        self, options: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """`submit` with the options as one mapping. Returns {"job", "created", "reason"}."""
        key = idempotency_key or uuid.uuid4().hex
        answer = self.send("POST", "/v1/jobs", json=dict(options), headers={"Idempotency-Key": key})
        submitted: dict[str, Any] = answer.json()
        return submitted

    def job(self, job_id: str) -> Job:
        """A job by id."""
        return Job(self, self.get(f"/v1/jobs/{job_id}"))

    def jobs(self, **filters: Any) -> Iterator[Job]:
        """Jobs, newest first; filters: state, owner, search."""
        after = None
        while True:
            page = self.get("/v1/jobs", params=filters | ({"after": after} if after else {}))
            yield from (Job(self, record) for record in page["items"])
            after = page["next"]
            if after is None:
                return

    def models(self) -> list[dict[str, Any]]:
        """The registered models."""
        registered: list[dict[str, Any]] = self.get("/v1/models")
        return registered

    def schedules(self) -> list[dict[str, Any]]:
        """Schedules by name, each with the next time it is due."""
        schedules: list[dict[str, Any]] = self.get("/v1/schedules")
        return schedules

    def add_schedule(
        self, name: str, cron: str, options: Mapping[str, Any], *, zone: str = "UTC"
    ) -> dict[str, Any]:
        """Submit a job with these options at the times of a cron line."""
        body = {"name": name, "cron": cron, "zone": zone, "job": dict(options)}
        added: dict[str, Any] = self.send("POST", "/v1/schedules", json=body).json()
        return added

    def remove_schedule(self, name: str) -> None:
        """Remove a schedule by name or id; the jobs it started stay."""
        self.send("DELETE", f"/v1/schedules/{name}")

    def get(self, path: str, params: dict[str, Any] | None = None) -> Any:
        """GET, as JSON."""
        return self.send("GET", path, params=params).json()

    def bytes(self, path: str, params: dict[str, Any] | None = None) -> bytes:
        """GET, as bytes."""
        return self.send("GET", path, params=params).content

    def send(self, method: str, path: str, **how: Any) -> httpx.Response:
        """One request, repeated while the service is away or busy. ApiError when it refuses."""
        safe = method != "POST" or "Idempotency-Key" in how.get("headers", {})
        for attempt in range(6):
            last = attempt == 5 or not safe
            try:
                answer = self._http.request(method, path, **how)
            except httpx.TransportError as error:
                if last:
                    raise ApiError(
                        0, {"detail": f"{self._http.base_url} is not answering: {error}"}
                    ) from None
            else:
                if answer.is_success:
                    return answer
                if answer.status_code not in _AGAIN or last:
                    raise ApiError(answer.status_code, _problem(answer))
            time.sleep(min(8.0, 0.5 * 2**attempt))
        raise AssertionError("unreachable")


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        problem = answer.json()
    except ValueError:
        return {"detail": answer.text[:300]}
    return problem if isinstance(problem, dict) else {"detail": str(problem)}
