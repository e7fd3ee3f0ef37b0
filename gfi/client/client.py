"""The client: every resource of the API as a method."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gfi.client.audits import Audits
from gfi.client.comparisons import Comparisons
from gfi.client.datasets import Datasets
from gfi.client.imports import Imports
from gfi.client.job import Job

REGISTRATION_WAIT_S = 20.0
"""The longest wait of one request, so that no proxy ends it."""


class Client(Datasets, Imports, Audits, Comparisons):
    """The service at one address. Thread-safe; a context manager that closes its connections.

    Parameters
    ----------
    url
        The address of the API. Default: ``GFI_API_URL``, else http://127.0.0.1:8000.
    token
        Made by ``gfi tokens create``. Default: ``GFI_TOKEN``.
    timeout_s
        Seconds that one request may take.
    attempts
        How often a request is sent while the service is busy, restarting or unreachable.
    transport
        Replaces the connection, for tests.
    """

    def submit(
        self,
        dataset: str,
        model: str = "efficientnet-lite0",
        *,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Submit a job, or get the one that exists already.

        Parameters
        ----------
        dataset, model, **options
            The options of a job (`gfi.domain.job.JobOptions`), for example ``metrics=["deletion"]``,
            ``preset="paper"``, ``target="tabby"``, ``top=3``, ``name="nightly"``; and ``new=True``, which
            starts another job even while the same one is active.
        idempotency_key
            Submitting twice with one key gives one job. Default: a new key for this call.

        Raises
        ------
        ApiError
            If an option does not exist or is not valid; the detail names it.
        """
        answer = self.submit_options(
            {"dataset": dataset, "model": model, **options}, idempotency_key=idempotency_key
        )
        return Job(self, answer["job"])

    def submit_options(
        self, options: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """`submit` with the options as one mapping. Returns ``{"job", "created", "reason"}``."""
        key = idempotency_key or uuid.uuid4().hex
        answer = self.send("POST", "/v1/jobs", json=dict(options), headers={"Idempotency-Key": key})
        submitted: dict[str, Any] = answer.json()
        return submitted

    def estimate(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The plan of a job with these options: time, workers, memory, bytes and costs; nothing is submitted.

        Parameters
        ----------
        options
            As for `submit`; and ``images``, ``workers``, ``deadline_s`` (seconds), ``price_device_hour``,
            ``price_storage``, ``price_put``, ``price_get`` (US dollars). With ``since`` also what it would explain and
            carry.

        Returns
        -------
        dict
            ``images``, ``speed``, ``workers`` …: docs/scale.md, "What a job costs".
        """
        answer: dict[str, Any] = self.send("POST", "/v1/jobs/estimate", json=dict(options)).json()
        return answer

    def job(self, job_id: str) -> Job:
        """A job by its id, or by the beginning of an id that no other job shares."""
        return Job(self, self.get(f"/v1/jobs/{job_id}"))

    def jobs(self, **filters: Any) -> Iterator[Job]:
        """Jobs, newest first; filters: state, owner, tag, search."""
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

    def model(self, name: str) -> dict[str, Any]:
        """A registered model, NAME or NAME@3, with its layers, its classes and the numbers of all its versions."""
        found: dict[str, Any] = self.get(f"/v1/models/{name}")
        return found

    def remove_model(self, name: str) -> None:
        """Remove a model, NAME with all versions or NAME@3 alone. Needs a token with scope admin."""
        self.send("DELETE", f"/v1/models/{name}")

    def register_model(
        self, reference: str, *, note: str = "", wait_s: float | None = None
    ) -> dict[str, Any]:
        """Register a model. A worker loads it. Needs a token with scope admin.

        Parameters
        ----------
        reference
            For example ``torchvision:resnet18``.
        note
            What this version is, for people.
        wait_s
            Seconds to wait for its end; None: as long as it takes.

        Returns
        -------
        dict
            The model; or the task, which has a ``url``, if it took longer than ``wait_s``.

        Raises
        ------
        ApiError
            If it cannot be registered, or if no worker can do it.
        """
        first = REGISTRATION_WAIT_S if wait_s is None else min(wait_s, REGISTRATION_WAIT_S)
        answer = self.send(
            "POST",
            "/v1/models",
            params={"wait": first},
            json={"reference": reference} | ({"note": note} if note else {}),
        )
        if answer.status_code != 202:
            registered: dict[str, Any] = answer.json()
            return registered
        task = self.wait_for_task(answer.json()["id"], None if wait_s is None else wait_s - first)
        if task["state"] != "done":
            return task
        registered = self.get(f"/v1/models/{reference}")
        return registered

    def workers(self) -> list[dict[str, Any]]:
        """The workers, with their queues and their last heartbeat."""
        workers: list[dict[str, Any]] = self.get("/v1/workers")
        return workers

    def me(self) -> dict[str, Any]:
        """The name, scopes and limits of the token."""
        caller: dict[str, Any] = self.get("/v1/me")
        return caller

    def schedules(self) -> list[dict[str, Any]]:
        """Schedules by name, each with the time it is next due."""
        schedules: list[dict[str, Any]] = self.get("/v1/schedules")
        return schedules

    def add_schedule(
        self,
        name: str,
        cron: str | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        zone: str = "UTC",
        **timing: Any,
    ) -> dict[str, Any]:
        """Submit a job at the times of a cron line or at an interval.

        Parameters
        ----------
        name
            The schedule's own name.
        cron
            Minute, hour, day, month, weekday; or None with ``every="6h"``.
        options
            The options of the job, as in `submit_options`.
        zone
            IANA time zone.
        **timing
            ``every``, ``trigger``, ``misfire``, ``misfire_most``, ``overlap``, ``whole``, ``audit`` (true, or a table
            of ``classes`` and ``seed``), ``compare`` (true, or a table of ``with``, ``floor`` and ``gate``),
            ``notify``.

        Returns
        -------
        dict
            The schedule, with its next instants ``upcoming``.
        """
        body = {"name": name, "zone": zone, "job": dict(options or {}), **timing}
        if cron is not None:
            body["cron"] = cron
        added: dict[str, Any] = self.send("POST", "/v1/schedules", json=body).json()
        return added

    def change_schedule(self, name: str, **changes: Any) -> dict[str, Any]:
        """Change a schedule: ``paused``, ``cron``, ``every``, ``zone``, ``misfire``, ``overlap`` …, or its ``job``."""
        changed: dict[str, Any] = self.send("PATCH", f"/v1/schedules/{name}", json=changes).json()
        return changed

    def run_schedule(self, name: str, *, allow_shrunk: bool = False) -> dict[str, Any]:
        """Fire a schedule now, with `allow_shrunk` also if more than half of its images are gone. Returns
        ``{"job", "reason"}``."""
        query = "?allow_shrunk=true" if allow_shrunk else ""
        run: dict[str, Any] = self.send("POST", f"/v1/schedules/{name}/run{query}").json()
        return run

    def firings(self, name: str) -> list[dict[str, Any]]:
        """The last firings of a schedule, newest first, each with its ``job`` or the ``reason`` why it has none."""
        firings: list[dict[str, Any]] = self.get(f"/v1/schedules/{name}/firings")
        return firings

    def remove_schedule(self, name: str) -> None:
        """Remove a schedule by name or id; the jobs that it submitted stay."""
        self.send("DELETE", f"/v1/schedules/{name}")

    def tokens(self) -> list[dict[str, Any]]:
        """Tokens, newest first, without their secrets. Needs a token with scope admin."""
        tokens: list[dict[str, Any]] = self.get("/v1/tokens")
        return tokens

    def create_token(
        self,
        name: str,
        scopes: Sequence[str] = ("read",),
        *,
        expires_in_s: float | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> dict[str, Any]:
        """Create a token. Needs a token with scope admin.

        Parameters
        ----------
        name
            Jobs that are submitted with the token have this owner.
        scopes
            Of read, submit and admin.
        expires_in_s
            Seconds; None is never.
        limits
            max_images, max_active_jobs, max_device_seconds, requests_per_minute or max_body; those not given are
            the service's.

        Returns
        -------
        dict
            ``{"id", "token"}``. The token cannot be read again.
        """
        body: dict[str, Any] = {"name": name, "scopes": list(scopes), "limits": dict(limits or {})}
        if expires_in_s is not None:
            body["expires_in_s"] = expires_in_s
        created: dict[str, Any] = self.send("POST", "/v1/tokens", json=body).json()
        return created

    def revoke_token(self, token_id: str) -> None:
        """Revoke a token by its id. Needs a token with scope admin."""
        self.send("DELETE", f"/v1/tokens/{token_id}")
