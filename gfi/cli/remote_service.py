"""Jobs, schedules, models and tokens through the HTTP API; imports `gfi.client` and no database library."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gfi.cli.errors import CommandError
from gfi.cli.service import JSON
from gfi.client import ApiError, Client
from gfi.store.errors import Transient

if TYPE_CHECKING:
    from gfi.jobs.rates import BenchRate

ATTEMPTS = 2
"""Attempts per request. Few, so that a command soon says that there is no service; `gfi job --wait` repeats itself."""
AWAY = frozenset({0, 502, 503, 504})
"""HTTP statuses of a service that is being restarted; 0 stands for no answer."""
_NEEDS_MASKS = (
    "this needs the database and the bucket: run it where GFI_DATABASE_URL and GFI_S3_BUCKET are set, without"
    " GFI_API_URL"
)


class RemoteService:
    """`gfi.cli.service.Service` over `GFI_API_URL` and `GFI_TOKEN`."""

    def __init__(self, client: Client | None = None) -> None:
        self.client = client or Client(attempts=ATTEMPTS)

    def submit(self, options: Mapping[str, Any], *, key: str | None, new: bool) -> JSON:
        answer = self.client.submit_options({**options, "new": new}, idempotency_key=key)
        return {"job": answer["job"]["id"], "created": answer["created"], "reason": answer["reason"]}

    def estimate(
        self,
        options: Mapping[str, Any],
        *,
        images: int | None = None,
        workers: int | None = None,
        deadline_s: float | None = None,
        prices: Mapping[str, float] | None = None,
    ) -> JSON:
        given = {"images": images, "workers": workers, "deadline_s": deadline_s}
        given |= {f"price_{name}": value for name, value in (prices or {}).items()}
        asked = {name: value for name, value in given.items() if value is not None}
        return self.client.estimate({**options, **asked})

    def save_rates(
        self, model: str, digests: Sequence[str], device_kind: str, rates: Sequence["BenchRate"]
    ) -> None:
        raise CommandError("the API takes no rates; run gfi bench where GFI_DATABASE_URL names its database")

    def jobs(self, *, state: str | None, tag: str | None, limit: int) -> list[JSON]:
        filters = {name: value for name, value in (("state", state), ("tag", tag)) if value is not None}
        return [job.record for job in islice(self.client.jobs(**filters), limit)]

    def job(self, job_id: str) -> JSON:
        return self._polled(lambda: self.client.job(job_id).record)

    def _polled(self, read: Callable[[], JSON]) -> JSON:
        """What is asked for again and again: Transient while the service is away."""
        try:
            return read()
        except ApiError as error:
            if error.status in AWAY:
                raise Transient(str(error)) from None
            raise

    def failures(self, job_id: str) -> list[JSON]:
        return self.client.job(job_id).failures()

    def summary(self, job_id: str) -> JSON:
        summary = self.client.job(job_id).summary()
        means = [{"name": name, **mean} for name, mean in summary["means"].items()]
        return {"counts": summary["counts"], "means": means}

    def cancel(self, job_id: str) -> bool:
        return self._changed("DELETE", f"/v1/jobs/{job_id}")

    def pause(self, job_id: str) -> bool:
        return self._changed("POST", f"/v1/jobs/{job_id}/pause")

    def resume(self, job_id: str) -> bool:
        return self._changed("POST", f"/v1/jobs/{job_id}/resume")

    def _changed(self, method: str, path: str) -> bool:
        return bool(self.client.send(method, path).json()["changed"])

    def retry(
        self, job_id: str, statuses: Sequence[str], classes: Sequence[str], rows: Sequence[int] = ()
    ) -> str:
        return self.client.job(job_id).retry(statuses, classes, rows).state

    def delete(self, job_id: str) -> None:
        self.client.job(job_id).delete()

    def results(
        self,
        job_id: str,
        *,
        status: str | None,
        limit: int | None,
        where: Sequence[str] = (),
        view: str | None = None,
    ) -> Iterator[JSON]:
        if view is not None:
            try:
                return islice(iter(self.client.job(job_id).view(view)), limit)
            except KeyError as error:
                raise CommandError(error.args[0]) from None
        filters: JSON = {"status": status} if status else {}
        if where:
            filters["where"] = list(where)
        return islice(iter(self.client.job(job_id).results(**filters)), limit)

    def groups(
        self, job_id: str, by: str, *, status: str | None, where: Sequence[str] = ()
    ) -> tuple[list[JSON], bool]:
        return self.client.job(job_id).largest_groups(by, where, status)

    def views(self, job_id: str) -> list[JSON]:
        return self.client.job(job_id).views()

    def save_view(self, job_id: str, name: str, query: str) -> None:
        self.client.job(job_id).save_view(name, query)

    def flags(self, job_id: str) -> list[JSON]:
        return self.client.job(job_id).flags()

    def set_flags(self, job_id: str, view: str, flag: str | None, note: str) -> tuple[int, int]:
        done = self.client.job(job_id).flag(flag, view=view, note=note)
        return done["changed"], done["kept"]

    def delete_view(self, job_id: str, name: str) -> None:
        self.client.job(job_id).delete_view(name)

    def report(self, job_id: str, folder: Path, limit: int, seed: int = 0) -> Path:
        return self.client.job(job_id).report(folder, limit, seed)

    def import_masks(self, options: Mapping[str, Any]) -> JSON:
        job = self.client.import_masks(**options)
        progress = job.record["progress"]
        without = sum(progress["by_status"].get(status, 0) for status in ("error", "nonfinite"))
        return {"job": job.id, "images": progress["total"], "with_mask": progress["total"] - without}

    def resume_import(self, job_id: str, masks: Path) -> JSON:
        raise CommandError(_NEEDS_MASKS)

    def export(self, job_id: str, options: Mapping[str, Any], path: Path | None) -> Path:
        given = dict(options)
        return self.client.job(job_id).export(given.pop("format"), path, **given)

    def compare(
        self,
        job_a: str,
        job_b: str,
        *,
        floor_jobs: Sequence[str],
        gate: str | None,
        gate_name: str,
        look: int | None,
    ) -> JSON:
        return self.client.compare(
            job_a, job_b, floor=floor_jobs, gate=gate, gate_name=gate_name or None, look=look
        )

    def compare_unpaired(self, job_a: str, job_b: str) -> JSON:
        raise CommandError(_NEEDS_MASKS)

    def request_transfer(
        self, job_a: str, job_b: str, *, floor_jobs: Sequence[str], images: int, seed: int
    ) -> str:
        made = self.client.request_transfer(job_a, job_b, floor=floor_jobs, images=images, seed=seed)
        return str(made["id"])

    def gate_file(self, job_a: str, job_b: str) -> str:
        raise CommandError(_NEEDS_MASKS)

    def request_audit(
        self,
        job_id: str,
        *,
        dry_run: bool,
        classes: Sequence[str],
        patch: bytes | None,
        seed: int,
        training: str | None = None,
    ) -> JSON:
        return self.client.request_audit(
            self.client.job(job_id).id,
            dry_run=dry_run,
            classes=classes,
            patch=patch,
            seed=seed,
            training=None if training is None else self.client.job(training).id,
        )

    def audit_until_settled(
        self,
        options: Mapping[str, Any],
        *,
        classes: Sequence[str],
        seed: int,
        first: int,
        margin: float | None = None,
        after: str | None = None,
    ) -> JSON:
        return self.client.audit_until_settled(
            **options, classes=classes, seed=seed, first=first, margin=margin, after=after
        )

    def audits(self, job_id: str) -> list[JSON]:
        return self.client.audits(self.client.job(job_id).id)

    def audit(self, audit_id: str) -> JSON:
        return self._polled(lambda: self.client.audit(audit_id))

    def finding_picture(self, audit_id: str, finding_id: str, name: str) -> bytes:
        return self.client.finding_picture(audit_id, finding_id, name)

    def confirm_audit(self, audit_id: str) -> None:
        self.client.confirm_audit(audit_id)

    def cancel_audit(self, audit_id: str) -> None:
        self.client.cancel_audit(audit_id)

    def verify_audit(self, audit_id: str, share: float) -> JSON:
        return self.client.verify_audit(audit_id, share)

    def decide_finding(self, audit_id: str, finding_id: str, changes: Mapping[str, Any]) -> None:
        self.client.decide_finding(audit_id, finding_id, **changes)

    def task(self, task_id: str) -> JSON:
        return self._polled(lambda: self.client.task(task_id))

    def models(self) -> list[JSON]:
        return self.client.models()

    def model(self, name: str) -> JSON:
        return self.client.model(name)

    def remove_model(self, name: str) -> None:
        self.client.remove_model(name)

    def add_model(self, reference: str, *, here: bool, note: str = "") -> JSON:
        if here:
            raise CommandError("--here needs a database; GFI_API_URL names an API, whose workers load models")
        if reference.endswith(".toml"):
            raise CommandError(
                f"{reference} is a file of this machine, which the API does not accept: put it into the models folder"
                " of the workers (GFI_MODELS_DIR) and add it by its name"
            )
        return self.client.register_model(reference, note=note)

    def tasks(self, *, everything: bool, limit: int) -> list[JSON]:
        if everything:
            return list(islice(self.client.tasks(), limit))
        open_tasks = [task for state in ("leased", "pending") for task in self.client.tasks(state=state)]
        return sorted(open_tasks, key=lambda task: str(task["id"]), reverse=True)[:limit]

    def cancel_task(self, task_id: str) -> None:
        self.client.cancel_task(task_id)

    def retry_task(self, task_id: str) -> None:
        self.client.retry_task(task_id)

    def schedules(self) -> list[JSON]:
        return self.client.schedules()

    def add_schedule(self, name: str, timing: Mapping[str, Any], options: Mapping[str, Any]) -> JSON:
        given = dict(timing)
        return self.client.add_schedule(name, given.pop("cron", None), options, **given)

    def change_schedule(self, name: str, changes: Mapping[str, Any]) -> JSON:
        return self.client.change_schedule(name, **changes)

    def run_schedule(self, name: str, allow_shrunk: bool = False) -> JSON:
        return self.client.run_schedule(name, allow_shrunk=allow_shrunk)

    def firings(self, name: str) -> list[JSON]:
        return self.client.firings(name)

    def remove_schedule(self, name: str) -> None:
        self.client.remove_schedule(name)

    def tokens(self) -> list[JSON]:
        return self.client.tokens()

    def create_token(
        self, name: str, scopes: Sequence[str], *, expires_in_s: float | None, limits: Mapping[str, int]
    ) -> JSON:
        return self.client.create_token(name, scopes, expires_in_s=expires_in_s, limits=limits)

    def revoke_token(self, token_id: str) -> bool:
        before = [token for token in self.client.tokens() if token["id"] == token_id]
        self.client.revoke_token(token_id)
        return not any(token["revoked_at"] for token in before)
