"""The operations of commands on jobs, schedules, models and tokens.

`local_service` uses a database on this machine, `remote_service` the HTTP API. Both return the same plain dictionaries,
so that commands print both in the same way.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from gfi.jobs.rates import BenchRate

JSON = dict[str, Any]


class Service(Protocol):
    """The operations of commands. A `job_id` may be the beginning of an id that no other job shares."""

    def submit(self, options: Mapping[str, Any], *, key: str | None, new: bool) -> JSON:
        """Submit a job. Returns {"job", "created", "reason"}."""
        ...

    def estimate(
        self,
        options: Mapping[str, Any],
        *,
        images: int | None = None,
        workers: int | None = None,
        deadline_s: float | None = None,
        prices: Mapping[str, float] | None = None,
    ) -> JSON:
        """The plan of a job: the fields of `gfi.jobs.estimate.Estimate`, and `since` of an incremental one. Nothing is
        stored. prices: by their names in `gfi.domain.costs.Prices`."""
        ...

    def save_rates(
        self, model: str, digests: Sequence[str], device_kind: str, rates: Sequence["BenchRate"]
    ) -> None:
        """Keep measured rates of a model for estimates; see `gfi.jobs.rates.remember`."""
        ...

    def jobs(self, *, state: str | None, tag: str | None, limit: int) -> list[JSON]:
        """Jobs with their progress, newest first."""
        ...

    def job(self, job_id: str) -> JSON:
        """One job with its configuration and progress. Transient while the service is away."""
        ...

    def failures(self, job_id: str) -> list[JSON]:
        """Failures by class, most frequent first."""
        ...

    def summary(self, job_id: str) -> JSON:
        """{"counts": status → images, "means": [{"name", "mean", "count", "class_mean"}]}."""
        ...

    def cancel(self, job_id: str) -> bool:
        """False when it was cancelled already."""
        ...

    def pause(self, job_id: str) -> bool:
        """False when it was paused already."""
        ...

    def resume(self, job_id: str) -> bool:
        """False when it was not paused."""
        ...

    def retry(
        self, job_id: str, statuses: Sequence[str], classes: Sequence[str], rows: Sequence[int] = ()
    ) -> str:
        """Explain images again. rows: if any are given, these alone. Returns the new state of the job."""
        ...

    def delete(self, job_id: str) -> None:
        """Delete an ended job: its rows, parts, pictures and uploads."""
        ...

    def results(
        self,
        job_id: str,
        *,
        status: str | None,
        limit: int | None,
        where: Sequence[str] = (),
        view: str | None = None,
    ) -> Iterator[JSON]:
        """Result rows in the order of the manifest, or those of a saved view in its order. where: conditions on further
        columns of the manifest. With a view, status and where are left out."""
        ...

    def views(self, job_id: str) -> list[JSON]:
        """The saved views of a job by name: name, query, owner, at."""
        ...

    def save_view(self, job_id: str, name: str, query: str) -> None:
        """Save a view; one of this name is replaced."""
        ...

    def flags(self, job_id: str) -> list[JSON]:
        """The flagged images of a job by row: row, key, flag, note, owner, at."""
        ...

    def set_flags(self, job_id: str, view: str, flag: str | None, note: str) -> tuple[int, int]:
        """Flag the images of a view; None removes the flags. Returns how many were changed, and how many were kept
        because other users flagged them."""
        ...

    def delete_view(self, job_id: str, name: str) -> None:
        """Delete a view."""
        ...

    def groups(
        self, job_id: str, by: str, *, status: str | None, where: Sequence[str] = ()
    ) -> tuple[list[JSON], bool]:
        """Images by the values of a column: {"value", "images", "counts", "means"}, the largest groups first; and
        whether there are more groups than these."""
        ...

    def report(self, job_id: str, folder: Path, limit: int, seed: int = 0) -> Path:
        """Write the report of a job into `folder`, of at most `limit` images, drawn with `seed`. Returns the path
        of its page."""
        ...

    def import_masks(self, options: Mapping[str, Any]) -> JSON:
        """Import masks. options: fields of `gfi.imports.import_request.ImportRequest`. Returns {"job", "images",
        "with_mask"}."""
        ...

    def resume_import(self, job_id: str, masks: Path) -> JSON:
        """Go on with an import that was interrupted. Returns what `import_masks` returns."""
        ...

    def export(self, job_id: str, options: Mapping[str, Any], path: Path | None) -> Path:
        """Export a job's results. options: the fields of `gfi.exports.export.ExportOptions`. path: None for a name made
        from job and format. Returns where it is."""
        ...

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
        """Compare two jobs; gate: the text of a gate file. Returns all numbers, `sentences`, `gate`, `junit`."""
        ...

    def compare_unpaired(self, job_a: str, job_b: str) -> JSON:
        """Whether the masks of two jobs differ within classes: {"statistic", "p", "class_p", "n", "sentence"}."""
        ...

    def request_transfer(
        self, job_a: str, job_b: str, *, floor_jobs: Sequence[str], images: int, seed: int
    ) -> str:
        """Ask a worker to show job b's model job a's masks. Returns the id of the task."""
        ...

    def gate_file(self, job_a: str, job_b: str) -> str:
        """The text of a gate file made from two jobs."""
        ...

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
        """Audit a job that has ended. Returns {"audit", "created"}, `audit` without findings.

        training: the id of a job over the images that the model was trained on.
        """
        ...

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
        """Submit a job that explains samples of a dataset until its audit is settled. Returns {"audit", "created"}."""
        ...

    def audits(self, job_id: str) -> list[JSON]:
        """The audits of a job, newest first."""
        ...

    def audit(self, audit_id: str) -> JSON:
        """An audit with its findings. Transient while the service is away."""
        ...

    def finding_picture(self, audit_id: str, finding_id: str, name: str) -> bytes:
        """A picture of a finding: `1.jpg` …, or `crop.png`."""
        ...

    def confirm_audit(self, audit_id: str) -> None:
        """Test the candidates of an audit that was only screened, failed or was cancelled."""
        ...

    def cancel_audit(self, audit_id: str) -> None:
        """Cancel an audit that is not done."""
        ...

    def verify_audit(self, audit_id: str, share: float) -> JSON:
        """Ask a worker to explain a sample again. Returns the task."""
        ...

    def decide_finding(self, audit_id: str, finding_id: str, changes: Mapping[str, Any]) -> None:
        """Set `accepted`, `dismissed`, `note` or `assignee` of a finding."""
        ...

    def task(self, task_id: str) -> JSON:
        """One task. Transient while the service is away."""
        ...

    def models(self) -> list[JSON]:
        """Registered models: reference, version, digest, input_size, classes, parameters."""
        ...

    def model(self, name: str) -> JSON:
        """A model, NAME or NAME@3, with `versions`, the numbers of all its versions."""
        ...

    def remove_model(self, name: str) -> None:
        """Remove a model, NAME with all versions or NAME@3 alone."""
        ...

    def add_model(self, reference: str, *, here: bool, note: str = "") -> JSON:
        """Register a model and wait for its end. Returns its record. here: in this process even if a worker is
        running."""
        ...

    def tasks(self, *, everything: bool, limit: int) -> list[JSON]:
        """Tasks, newest first; only those that wait or run unless `everything`."""
        ...

    def cancel_task(self, task_id: str) -> None:
        """Cancel a task."""
        ...

    def retry_task(self, task_id: str) -> None:
        """Try a failed or cancelled task again."""
        ...

    def schedules(self) -> list[JSON]:
        """Schedules by name, with `next_at`."""
        ...

    def add_schedule(self, name: str, timing: Mapping[str, Any], options: Mapping[str, Any]) -> JSON:
        """Store a schedule. timing: cron or every, zone, trigger, misfire, misfire_most, overlap, whole, audit.
        Returns it, with `upcoming`."""
        ...

    def change_schedule(self, name: str, changes: Mapping[str, Any]) -> JSON:
        """Change parts of `timing`, or `paused`. Returns the schedule."""
        ...

    def run_schedule(self, name: str, allow_shrunk: bool = False) -> JSON:
        """Fire a schedule now. allow_shrunk: also if half of its images are gone. Returns {"job", "reason"}."""
        ...

    def firings(self, name: str) -> list[JSON]:
        """The last firings, newest first: due, job, state, reason, waiting."""
        ...

    def remove_schedule(self, name: str) -> None:
        """Remove a schedule by name or id."""
        ...

    def tokens(self) -> list[JSON]:
        """Tokens, newest first, without their secrets."""
        ...

    def create_token(
        self, name: str, scopes: Sequence[str], *, expires_in_s: float | None, limits: Mapping[str, int]
    ) -> JSON:
        """Create a token. Returns {"id", "token"}; the token is not stored and cannot be shown again."""
        ...

    def revoke_token(self, token_id: str) -> bool:
        """False when it was revoked already."""
        ...
