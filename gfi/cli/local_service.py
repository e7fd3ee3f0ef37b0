"""Jobs, schedules, models and tokens from the database of this machine.

Methods import what they need, so that `gfi jobs` does not load the modules of `gfi submit`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gfi.cli.errors import CommandError
from gfi.cli.printing import user
from gfi.cli.service import JSON
from gfi.domain.manifest_columns import Kind, find_column, parse_where
from gfi.domain.states import JobState
from gfi.domain.statuses import ImageStatus
from gfi.jobs.waiting import why_waiting
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.settings import Settings

if TYPE_CHECKING:
    from gfi.domain.result import Result
    from gfi.jobs.rates import BenchRate

Read = TypeVar("Read")


class LocalService:
    """`gfi.cli.service.Service` over a database and a bucket."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database

    def submit(self, options: Mapping[str, Any], *, key: str | None, new: bool) -> JSON:
        from gfi.cli.job_options import request_of
        from gfi.jobs.submit import submit

        request = request_of(options)
        submitted = submit(self.database, self.settings, request, idempotency_key=key, new=new)
        return {"job": submitted.job_id, "created": submitted.created, "reason": submitted.reason}

    def estimate(
        self,
        options: Mapping[str, Any],
        *,
        images: int | None = None,
        workers: int | None = None,
        deadline_s: float | None = None,
        prices: Mapping[str, float] | None = None,
    ) -> JSON:
        import dataclasses

        from gfi.datasets.sources import open_source
        from gfi.jobs import incremental
        from gfi.jobs.estimate import count, estimate
        from gfi.jobs.submit import freeze, request_from

        request = request_from(**options)
        config = freeze(self.database, self.settings, request)
        complete, since = True, None
        if images is None and request.since is not None:
            carried = incremental.preview(self.database, self.settings, request)
            since, images = carried.to_json(), carried.counts.explained
        elif images is None:
            images, complete = count(open_source(config.dataset.spec, self.settings))
        plan = estimate(
            self.database,
            self.settings,
            config,
            images,
            complete,
            workers=workers,
            deadline_s=deadline_s,
            prices=self.settings.prices.replaced(**(prices or {})),
        )
        return dataclasses.asdict(plan) | {"since": since}

    def save_rates(
        self, model: str, digests: Sequence[str], device_kind: str, rates: Sequence["BenchRate"]
    ) -> None:
        from gfi.jobs.rates import remember

        remember(self.database, model, digests, device_kind, rates)

    def jobs(self, *, state: str | None, tag: str | None, limit: int) -> list[JSON]:
        page = queries.list_jobs(
            self.database, limit=limit, state=JobState(state) if state else None, tag=tag
        )
        return [_record(job, now) for job, now in queries.with_progress(self.database, page)]

    def job(self, job_id: str) -> JSON:
        job = queries.get_job(self.database, job_id)
        waits = why_waiting(self.database, job)
        return _record(job, queries.job_progress(self.database, job.id)) | {"waits": waits}

    def failures(self, job_id: str) -> list[JSON]:
        return queries.failures(self.database, self._id(job_id))

    def summary(self, job_id: str) -> JSON:
        from gfi.jobs import report

        return report.summary(self.database, self._id(job_id)).to_json()

    def cancel(self, job_id: str) -> bool:
        from gfi.store import ledger

        return ledger.cancel_job(self.database, self._id(job_id), actor=user())

    def pause(self, job_id: str) -> bool:
        from gfi.store import ledger

        return ledger.pause_job(self.database, self._id(job_id), actor=user())

    def resume(self, job_id: str) -> bool:
        from gfi.store import ledger

        return ledger.resume_job(self.database, self._id(job_id), actor=user())

    def retry(
        self, job_id: str, statuses: Sequence[str], classes: Sequence[str], rows: Sequence[int] = ()
    ) -> str:
        from gfi.store import ledger

        wanted = [ImageStatus(status) for status in statuses]
        retried = ledger.retry_job(
            self.database, self._id(job_id), wanted, classes=classes, rows=rows, actor=user()
        )
        return str(retried.state)

    def delete(self, job_id: str) -> None:
        from gfi.jobs.delete import delete_job
        from gfi.store.objects import Bucket

        delete_job(self.database, Bucket.from_settings(self.settings), self._id(job_id), actor=user())

    def results(
        self,
        job_id: str,
        *,
        status: str | None,
        limit: int | None,
        where: Sequence[str] = (),
        view: str | None = None,
    ) -> Iterator[JSON]:
        job = queries.get_job(self.database, job_id)
        if view is not None:
            from gfi.store.result_query import results_of_view

            return self._json(job, islice(results_of_view(self.database, job, view), limit))
        found = queries.iterate_results(
            self.database, job.id, filters=_filters(job, status, where), limit=limit
        )
        return self._json(job, found)

    def _json(self, job: queries.Job, rows: "Iterator[Result]") -> Iterator[JSON]:
        """Results as the API returns them."""
        from gfi.store.result_query import rows_to_json

        while some := list(islice(rows, 1000)):
            yield from rows_to_json(self.database, job, some)

    def groups(
        self, job_id: str, by: str, *, status: str | None, where: Sequence[str] = ()
    ) -> tuple[list[JSON], bool]:
        job = queries.get_job(self.database, job_id)
        kinds, filters = queries.kinds_of(job.metadata), _filters(job, status, where)
        if by not in queries.GROUPED:
            by = _read(find_column, by, kinds)
        groups, more = queries.group_results(self.database, job.id, by, kinds, filters)
        return [group.to_json() for group in groups], more

    def views(self, job_id: str) -> list[JSON]:
        return queries.list_views(self.database, self._id(job_id))

    def save_view(self, job_id: str, name: str, query: str) -> None:
        from gfi.store import ledger
        from gfi.store.result_query import ResultQuery, filters_of

        job = queries.get_job(self.database, job_id)
        try:
            filters_of(self.database, job, ResultQuery.of(query))
        except ValueError as error:
            raise CommandError(str(error)) from None
        ledger.save_view(self.database, job.id, name, query, user(), of_anyone=True)

    def flags(self, job_id: str) -> list[JSON]:
        return queries.list_flags(self.database, self._id(job_id))

    def set_flags(self, job_id: str, view: str, flag: str | None, note: str) -> tuple[int, int]:
        from gfi.jobs.flagging import flag_images

        job = queries.get_job(self.database, job_id)
        try:
            done = flag_images(self.database, job, view, flag, note, owner=user(), of_anyone=True)
        except ValueError as error:
            raise CommandError(str(error)) from None
        return len(done.before), len(done.kept)

    def delete_view(self, job_id: str, name: str) -> None:
        from gfi.store import ledger

        job_id = self._id(job_id)
        queries.find_view(self.database, job_id, name)
        ledger.delete_view(self.database, job_id, name, user(), of_anyone=True)

    def report(self, job_id: str, folder: Path, limit: int, seed: int = 0) -> Path:
        from gfi.jobs import report
        from gfi.store.objects import Bucket

        bucket = Bucket.from_settings(self.settings)
        return report.write_report(
            self.database, self.settings, bucket, self._id(job_id), folder, limit, seed
        )

    def import_masks(self, options: Mapping[str, Any]) -> JSON:
        from gfi.imports.import_request import ImportRequest
        from gfi.imports.importing import import_masks
        from gfi.store.objects import Bucket

        bucket = Bucket.from_settings(self.settings)
        request = ImportRequest(**options, owner=user())
        made = import_masks(self.database, self.settings, bucket, request)
        return {"job": made.job_id, "images": made.images, "with_mask": made.with_mask}

    def resume_import(self, job_id: str, masks: Path) -> JSON:
        from gfi.imports.importing import resume_import
        from gfi.store.objects import Bucket

        bucket = Bucket.from_settings(self.settings)
        made = resume_import(self.database, self.settings, bucket, job_id, masks)
        return {"job": made.job_id, "images": made.images, "with_mask": made.with_mask}

    def export(self, job_id: str, options: Mapping[str, Any], path: Path | None) -> Path:
        from gfi.exports.export import ExportOptions
        from gfi.exports.write import write_export
        from gfi.jobs.exports import file_name, open_export
        from gfi.store.objects import Bucket

        bucket = Bucket.from_settings(self.settings)
        given = ExportOptions(**options)
        export = open_export(self.database, self.settings, bucket, job_id, given)
        return write_export(export, path or Path(file_name(export.job.id, given.format))).path

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
        from gfi.jobs.comparison_task import compared_json
        from gfi.store.objects import Bucket

        bucket = Bucket.from_settings(self.settings)
        return compared_json(
            self.database,
            bucket,
            job_a,
            job_b,
            floor_jobs=floor_jobs,
            gate=gate,
            gate_name=gate_name,
            look=look,
            judged_for=("owner", user()),
        )

    def compare_unpaired(self, job_a: str, job_b: str) -> JSON:
        from gfi.jobs.compare import compare_unpaired
        from gfi.store.objects import Bucket

        return compare_unpaired(self.database, Bucket.from_settings(self.settings), job_a, job_b).to_json()

    def request_transfer(
        self, job_a: str, job_b: str, *, floor_jobs: Sequence[str], images: int, seed: int
    ) -> str:
        from gfi.jobs.transfer import request_transfer

        return request_transfer(
            self.database, job_a, job_b, floor_jobs=floor_jobs, images=images, seed=seed, owner=user()
        )

    def gate_file(self, job_a: str, job_b: str) -> str:
        from datetime import UTC, datetime

        from gfi.jobs.compare import compare_jobs
        from gfi.jobs.gate_file import gate_file
        from gfi.store.objects import Bucket

        bucket = Bucket.from_settings(self.settings)
        return gate_file(compare_jobs(self.database, bucket, job_a, job_b, today=datetime.now(UTC).date()))

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
        from gfi.jobs.audits.request import AuditRequest, request_audit
        from gfi.store.objects import Bucket

        job = queries.get_job(self.database, job_id)
        wanted = AuditRequest(dry_run, tuple(classes), patch, seed, training)
        bucket = Bucket.from_settings(self.settings)
        audit_id, created = request_audit(self.database, bucket, job, wanted, user())
        return {"audit": queries.get_audit(self.database, audit_id).to_json(), "created": created}

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
        from gfi.cli.job_options import request_of
        from gfi.jobs.audits.request import SettlingRequest, submit_until_settled

        request = request_of(options)
        given = {} if margin is None else {"margin": margin}
        wanted = SettlingRequest(tuple(classes), seed, first, after=after, **given)
        audit_id, created = submit_until_settled(self.database, self.settings, request, wanted)
        return {"audit": queries.get_audit(self.database, audit_id).to_json(), "created": created}

    def audits(self, job_id: str) -> list[JSON]:
        return [audit.to_json() for audit in queries.list_audits(self.database, self._id(job_id))]

    def audit(self, audit_id: str) -> JSON:
        audit = queries.get_audit(self.database, audit_id)
        found = queries.list_findings(self.database, audit.id)
        return audit.to_json() | {"findings": [finding.to_json() for finding in found]}

    def finding_picture(self, audit_id: str, finding_id: str, name: str) -> bytes:
        from gfi.jobs.audits.pictures import picture_key
        from gfi.store.objects import Bucket

        audit = queries.get_audit(self.database, audit_id)
        record = queries.get_finding(self.database, audit.id, finding_id).record
        return Bucket.from_settings(self.settings).get(picture_key(audit, finding_id, record, name))

    def confirm_audit(self, audit_id: str) -> None:
        from gfi.store import ledger

        ledger.confirm_audit(self.database, queries.get_audit(self.database, audit_id).id, actor=user())

    def cancel_audit(self, audit_id: str) -> None:
        from gfi.jobs.audits.request import cancel_audit

        cancel_audit(self.database, audit_id, user())

    def verify_audit(self, audit_id: str, share: float) -> JSON:
        from gfi.jobs.audits.request import request_verification

        return self.task(request_verification(self.database, audit_id, share, user()))

    def decide_finding(self, audit_id: str, finding_id: str, changes: Mapping[str, Any]) -> None:
        from gfi.jobs.audits.request import decide
        from gfi.store.objects import Bucket

        bucket = Bucket.from_settings(self.settings)
        decide(self.database, bucket, audit_id, finding_id, changes, user())

    def task(self, task_id: str) -> JSON:
        return dict(queries.get_task(self.database, task_id).__dict__)

    def models(self) -> list[JSON]:
        from gfi.cli.register_model import shown

        return [shown(model) for model in queries.list_models(self.database)]

    def model(self, name: str) -> JSON:
        from gfi.cli.register_model import shown

        model = queries.find_model(self.database, name)
        if model is None:
            raise CommandError(f"no model {name}; `gfi models` lists them")
        versions = queries.list_versions(self.database, model.reference)
        return shown(model) | {"versions": [one.version for one in versions]}

    def remove_model(self, name: str) -> None:
        from gfi.store import ledger

        ledger.delete_model(self.database, name, actor=user())

    def add_model(self, reference: str, *, here: bool, note: str = "") -> JSON:
        from gfi.cli.register_model import register, register_by_worker
        from gfi.jobs.registration import worker_there

        if here or not worker_there(self.database):
            return register(self.database, self.settings, reference, note)
        return register_by_worker(self.database, self.settings, reference, note)

    def tasks(self, *, everything: bool, limit: int) -> list[JSON]:
        return [
            dict(task.__dict__)
            for task in queries.list_tasks(self.database, open_only=not everything, limit=limit)
        ]

    def cancel_task(self, task_id: str) -> None:
        from gfi.store import ledger

        ledger.cancel_task(self.database, task_id, actor=user())

    def retry_task(self, task_id: str) -> None:
        from gfi.store import ledger

        ledger.retry_task(self.database, task_id, actor=user())

    def schedules(self) -> list[JSON]:
        from gfi.jobs import schedules

        return [dict(schedule.__dict__) for schedule in schedules.list_schedules(self.database)]

    def add_schedule(self, name: str, timing: Mapping[str, Any], options: Mapping[str, Any]) -> JSON:
        from gfi.cli.job_options import request_of
        from gfi.jobs import schedules

        given = dict(timing)
        cron, zone = given.pop("cron", None), given.pop("zone", "UTC")
        added = schedules.add_schedule(
            self.database, self.settings, name, cron, zone, request_of(options), actor=user(), **given
        )
        return dict(added.__dict__)

    def change_schedule(self, name: str, changes: Mapping[str, Any]) -> JSON:
        from gfi.jobs import schedules

        changed = schedules.change_schedule(self.database, self.settings, name, actor=user(), **changes)
        return dict(changed.__dict__)

    def run_schedule(self, name: str, allow_shrunk: bool = False) -> JSON:
        from gfi.jobs import schedules

        return schedules.run_now(self.database, self.settings, name, allow_shrunk=allow_shrunk, actor=user())

    def firings(self, name: str) -> list[JSON]:
        from gfi.jobs import schedules

        return [
            row | {"due": row["firing_key"], "job": row["job_id"], "reason": row["error"]}
            for row in schedules.firings_of(self.database, name)
        ]

    def remove_schedule(self, name: str) -> None:
        from gfi.jobs import schedules

        schedules.remove_schedule(self.database, name, actor=user())

    def tokens(self) -> list[JSON]:
        from gfi.store.queries.tokens import list_tokens

        return list_tokens(self.database)

    def create_token(
        self, name: str, scopes: Sequence[str], *, expires_in_s: float | None, limits: Mapping[str, int]
    ) -> JSON:
        from gfi.store.ledger.tokens import create_token

        token_id, token = create_token(
            self.database, name, scopes, expires_in_s=expires_in_s, limits=limits, actor=user()
        )
        return {"id": token_id, "token": token}

    def revoke_token(self, token_id: str) -> bool:
        from gfi.store import ledger

        return ledger.revoke_token(self.database, token_id, actor=user())

    def _id(self, job_id: str) -> str:
        """The whole id of a job that may be named by its beginning. Raises NotFound if there is none."""
        return queries.get_job(self.database, job_id).id


def _filters(job: queries.Job, status: str | None, where: Sequence[str]) -> queries.Filters:
    kinds = queries.kinds_of(job.metadata)
    conditions = tuple(_read(parse_where, text, kinds) for text in where)
    return queries.Filters(status=ImageStatus(status) if status else None, where=conditions)


def _read(read: Callable[[str, Mapping[str, Kind]], Read], text: str, kinds: Mapping[str, Kind]) -> Read:
    """The condition that a text of the command line states about a job's columns. Raises CommandError if it is not
    valid."""
    try:
        return read(text, kinds)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _record(job: queries.Job, progress: queries.Progress) -> JSON:
    return job.to_json() | {"shown_state": job.shown_state, "progress": progress.to_json()}
