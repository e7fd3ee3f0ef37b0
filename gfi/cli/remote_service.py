"""Jobs through the HTTP API: nothing but `gfi.client` is needed here."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from gfi.cli.service import JSON
from gfi.client import Client


class RemoteService:
    """`gfi.cli.service.Service` over `GFI_API_URL` and `GFI_TOKEN`."""

    def __init__(self, client: Client | None = None) -> None:
        self.client = client or Client()

    def submit(self, options: Mapping[str, Any], *, key: str | None, new: bool) -> JSON:
        answer = self.client.submit_options({**options, "new": new}, idempotency_key=key)
        return {
            "job": answer["job"]["id"], "created": answer["created"], "reason": answer["reason"],
        }  # fmt: skip

    def jobs(self, *, state: str | None, limit: int) -> list[JSON]:
        filters = {"state": state} if state else {}
        return [job.record for job in islice(self.client.jobs(**filters), limit)]

    def job(self, job_id: str) -> JSON:
        return self.client.job(job_id).record

    def failures(self, job_id: str) -> list[JSON]:
        return self.client.job(job_id).failures()

    def summary(self, job_id: str) -> JSON:
        said = self.client.job(job_id).summary()
        means = [{"name": name, "class_mean": None, **mean} for name, mean in said["means"].items()]
        return {"counts": said["counts"], "means": means}

    def cancel(self, job_id: str) -> bool:
        return self._changed("DELETE", f"/v1/jobs/{job_id}")

    def pause(self, job_id: str) -> bool:
        return self._changed("POST", f"/v1/jobs/{job_id}/pause")

    def resume(self, job_id: str) -> bool:
        return self._changed("POST", f"/v1/jobs/{job_id}/resume")

    def _changed(self, method: str, path: str) -> bool:
        return bool(self.client.send(method, path).json()["changed"])

    def retry(self, job_id: str, statuses: Sequence[str], classes: Sequence[str]) -> str:
        return self.client.job(job_id).retry(statuses, classes).state

    def delete(self, job_id: str) -> None:
        self.client.job(job_id).delete()

    def results(self, job_id: str, *, status: str | None, limit: int | None) -> Iterator[JSON]:
        filters = {"status": status} if status else {}
        return islice(iter(self.client.job(job_id).results(**filters)), limit)

    def report(self, job_id: str, folder: Path, limit: int) -> Path:
        return self.client.job(job_id).report(folder, limit)

    def models(self) -> list[JSON]:
        return self.client.models()

    def schedules(self) -> list[JSON]:
        return self.client.schedules()

    def add_schedule(self, name: str, cron: str, zone: str, options: Mapping[str, Any]) -> JSON:
        return self.client.add_schedule(name, cron, dict(options), zone=zone)

    def remove_schedule(self, name: str) -> None:
        self.client.remove_schedule(name)
