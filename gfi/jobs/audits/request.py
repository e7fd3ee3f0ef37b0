"""Asks for an audit, and for what people may do with one."""

import hashlib
import io
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, UnidentifiedImageError

from gfi.audit.sequential import SequentialSettings
from gfi.audit.settings import FIRST_SAMPLE, AuditSettings
from gfi.domain.class_index import ClassIndex
from gfi.domain.digests import digest
from gfi.domain.job import LABELS, JobConfig
from gfi.domain.states import ControlKind
from gfi.domain.tasks import KINDS
from gfi.jobs.audits.files import folder, settings_json
from gfi.jobs.audits.going_on import check_earlier
from gfi.jobs.audits.outcome import write_decisions
from gfi.jobs.audits.screen import manifest_of
from gfi.jobs.audits.settling import options_of
from gfi.jobs.audits.training import classes_of, is_labelled
from gfi.jobs.submit import Invalid, JobRequest, spec_of
from gfi.store import ledger, queries, tracing
from gfi.store.database import Database
from gfi.store.errors import Conflict
from gfi.store.ledger import UNTIL_SETTLED
from gfi.store.objects import Bucket
from gfi.store.queries import Job
from gfi.store.settings import Settings

LARGEST_PATCH = 4 * 2**20
"""Bytes of the picture of a stated hypothesis."""


@dataclass(frozen=True)
class AuditRequest:
    """What is asked for. classes: names or indices; empty: all. patch: a PNG or JPEG of a mark, for one class.

    dry_run: screen, and say what testing takes. seed: of every draw. training: the id of a job over the images that the
    model was trained on, in which shortcuts are looked for.
    """

    dry_run: bool = False
    classes: tuple[str, ...] = ()
    patch: bytes | None = None
    seed: int = 0
    training: str | None = None


def request_audit(
    database: Database, bucket: Bucket, job: Job, request: AuditRequest, owner: str
) -> tuple[str, bool]:
    """Ask for an audit of a job that has ended. Returns (id, True), or (id, False) of an open one that is the same.

    Invalid for a class that the model does not have or a picture that cannot be read; Conflict for a job that has not
    ended, or has no masks.
    """
    values = frozen(job, request)
    if request.training is not None:
        training = queries.get_job(database, request.training)
        _check_training(bucket, job, training, request.patch is not None)
        values["options"]["training"] = training.id
    if request.patch is not None:  # stored first, because the task may begin at once
        bucket.put(values["options"]["patch"], _as_png(request.patch), content_type="image/png")
    return ledger.request_audit(database, job.id, owner=owner, **values)


def frozen(job: Job, request: AuditRequest) -> dict[str, Any]:
    """What the ledger stores of a request: series, secret, settings and options. Raises as `request_audit`."""
    if not job.ended:
        raise Conflict(f"job {job.id} is {job.shown_state}; it can be audited once it has ended")
    if job.manifest_key is None:
        raise Conflict(f"job {job.id} has no results to audit: its dataset could not be listed")
    _check_channels(job.model or {})
    patch = None
    if request.patch is not None:
        if len(request.classes) != 1:
            raise Invalid("a patch is a hypothesis about one class; name it with --class")
        _check_patch(request.patch)
        patch = patch_key(job.id, _as_png(request.patch))
    classes = [_class_in(job.model or {}, name) for name in request.classes]
    return {
        "series": _series(job.config.dataset.spec, job.config.model.reference, classes, patch),
        "secret": secrets.token_hex(16),
        "settings": settings_json(replace(AuditSettings(), seed=request.seed)),
        "options": {"dry_run": request.dry_run, "classes": classes, "patch": patch},
    }


@dataclass(frozen=True)
class SettlingRequest:
    """What is asked of an audit until settled. classes: names or indices whose candidates are tested; empty: all.

    seed: of every draw. first: images of each class on which candidates are fixed. margin: of an effect that "nothing
    there" excludes, above `SequentialSettings.least_effect` and at most 1. after: the id of the audit that it goes on
    from; None: it begins anew.
    """

    classes: tuple[str, ...] = ()
    seed: int = 0
    first: int = FIRST_SAMPLE
    margin: float = SequentialSettings.margin
    after: str | None = None


def submit_until_settled(
    database: Database,
    settings: Settings,
    request: JobRequest,
    wanted: SettlingRequest,
    *,
    idempotency_key: str | None = None,
    new: bool = False,
) -> tuple[str, bool]:
    """Submit a job that explains a sample of a dataset, then more of it until each class of its audit is settled.

    new: start another one even while the same one is under way. Returns (id of the audit, True), or (id, False) of one
    that is the same and under way. Raises as `submit`, and Invalid for options that leave nothing to audit or an audit
    that it cannot go on from; Conflict where another one goes on from that already.
    """
    if request.since is not None or request.top != 1:
        raise Invalid("an audit until settled explains one class an image, and goes on from no other job")
    if request.target == LABELS:
        raise Invalid(
            "an audit until settled draws its sample by one label an image; submit a job with the target labels and "
            "audit that, or leave target out: the predicted class is explained"
        )
    if request.target not in ("auto", "predicted"):
        raise Invalid("all masks would be of one class, and a test pastes into images of other classes")
    began_ns = time.time_ns()
    try:
        sequential = SequentialSettings(margin=wanted.margin)
    except ValueError as error:
        raise Invalid(f"margin {wanted.margin:g}: {error}") from None
    sample = {"first": wanted.first, "seed": wanted.seed, "classes": sorted(wanted.classes)}
    if sequential.margin != SequentialSettings.margin:
        sample["margin"] = sequential.margin
    earlier = None if wanted.after is None else queries.get_audit(database, wanted.after)
    if earlier is not None:
        sample["after"] = earlier.id
    spec = spec_of(database, settings, request, idempotency_key=idempotency_key, new=new, sample=sample)
    record = spec.model or {}
    _check_channels(record)
    classes = [_class_in(record, name) for name in wanted.classes]
    series = _series(request.dataset, request.model, classes, UNTIL_SETTLED)
    tests = settings_json(replace(AuditSettings(), seed=wanted.seed))
    going_on = {} if earlier is None else {"after": earlier.id}
    if earlier is not None:
        check_earlier(
            database,
            earlier,
            JobConfig.from_json(spec.config),
            series=series,
            settings=tests,
            classes=classes,
            sequential=sequential,
        )
    audit_id, submitted = ledger.submit_settling(
        database,
        spec,
        series=series,
        secret=secrets.token_hex(16),
        settings=tests,
        options={
            "dry_run": False,
            "classes": classes,
            "patch": None,
            UNTIL_SETTLED: options_of(sequential, wanted.first) | going_on,
        },
        max_active_jobs=settings.max_active_jobs,
    )
    if submitted.created:
        tracing.submitted(submitted.job_id, began_ns, dataset=request.dataset, model=request.model)
    return audit_id, submitted.created


def _check_channels(record: Mapping[str, Any]) -> None:
    channels = record.get("preprocess", {}).get("channels", 3)
    if channels not in (1, 3):
        raise Invalid(f"an audit pastes pieces of photographs of 1 or 3 channels; the model takes {channels}")


def _check_training(bucket: Bucket, job: Job, training: Job, stated: bool) -> None:
    """Refuse a job whose images cannot be the training images of another's model. stated: a hypothesis is tested."""
    if stated:
        raise Invalid("a stated mark is never called a shortcut, so training images tell nothing about it")
    if training.id == job.id or (
        job.listing_digest is not None and training.listing_digest == job.listing_digest
    ):
        raise Invalid(
            f"job {training.id} is over the audited images; --training names a job over the images that the model was "
            "trained on"
        )
    if training.manifest_key is None:
        raise Conflict(f"the images of job {training.id} are not listed; wait, or look at its state")
    if training.class_names != job.class_names:
        raise Invalid(
            f"the model of job {training.id} has other class names than that of job {job.id}; submit the training "
            f"images with {job.config.model.reference}"
        )
    with manifest_of(bucket, training) as manifest:
        if not is_labelled(manifest, classes_of(job.model or {})):
            raise Invalid(
                f"no image of job {training.id} has a label that is a class of the model, so its training images "
                "cannot be told by class"
            )


def _series(dataset: str, model: str, classes: Sequence[int], scope: str | None) -> str:
    """What an audit did not look at is not gone: findings are compared within audits of the same scope."""
    return digest([dataset, model, sorted(classes), scope])


def patch_key(job_id: str, stored: bytes) -> str:
    """The key of the picture of a stated hypothesis, by its content."""
    return f"{folder(job_id)}patches/{hashlib.sha256(stored).hexdigest()[:24]}.png"


def request_verification(database: Database, audit_id: str, share: float, owner: str) -> str:
    """Ask a worker to explain a share of an audit's images again. Returns the id of the task.

    Invalid for a share outside (0, 1]; Conflict where no live worker can do it.
    """
    if not 0 < share <= 1:
        raise Invalid(f"the sample is a share above 0 and at most 100 %, not {100 * share:g} %")
    audit = queries.get_audit(database, audit_id)
    kind = KINDS[ControlKind.VERIFY]
    if not queries.worker_takes(database, kind.queue, ControlKind.VERIFY):
        raise Conflict(
            f"no live worker on queue {kind.queue} can explain images again; start one: gfi worker"
        )
    task_id, _ = ledger.request_task(
        database,
        ControlKind.VERIFY,
        {"audit": audit.id, "share": share},
        owner=owner,
        job_id=audit.job_id,
        estimate_s=queries.usual_duration(database, ControlKind.VERIFY),
    )
    return task_id


def decide(
    database: Database,
    bucket: Bucket,
    audit_id: str,
    finding_id: str,
    changes: Mapping[str, Any],
    actor: str,
) -> None:
    """Set `accepted`, `dismissed` (the reason; empty takes it back), `note` or `assignee` of a finding.

    A finding is never both accepted and dismissed: the last decision holds. The decisions are also kept in the bucket,
    from which a lost database is rebuilt. NotFound where there is no such finding.
    """
    audit = queries.get_audit(database, audit_id)
    values = dict(changes)
    if values.get("dismissed"):
        values["accepted"] = False
    elif values.get("accepted"):
        values["dismissed"] = ""
    ledger.decide_finding(database, audit.id, finding_id, values, actor=actor)
    write_decisions(bucket, database, audit)


def cancel_audit(database: Database, audit_id: str, actor: str) -> bool:
    """Cancel an audit that has not ended. False when it was cancelled already; Conflict when it is done."""
    return ledger.cancel_audit(database, queries.get_audit(database, audit_id).id, actor=actor)


def _class_in(record: Mapping[str, Any], name: str) -> int:
    """The class of a model, from its record."""
    names: Sequence[str] = record.get("class_names") or []
    index = ClassIndex.of(names, record.get("wordnet_ids") or [], record.get("classes", 0))
    found = index.find(name)
    if found is None:
        known = names[:5]
        raise Invalid(f"the model has no class {name[:100]!r}; it has {', '.join(known) or 'indices only'} …")
    return found


def _check_patch(patch: bytes) -> None:
    if len(patch) > LARGEST_PATCH:
        raise Invalid(f"the patch has {len(patch):,} bytes; at most {LARGEST_PATCH:,} are read")
    try:
        with Image.open(io.BytesIO(patch), formats=("PNG", "JPEG")) as image:
            width, height = image.size
            if not (3 <= width <= 4096 and 3 <= height <= 4096):
                raise Invalid(f"the patch has {width}×{height} pixels; each side has 3 to 4096")
            image.load()
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise Invalid(f"the patch is not a PNG or JPEG that can be read: {error}") from None


def _as_png(patch: bytes) -> bytes:
    body = io.BytesIO()
    with Image.open(io.BytesIO(patch), formats=("PNG", "JPEG")) as image:
        image.convert("RGBA").save(body, "PNG")
    return body.getvalue()
