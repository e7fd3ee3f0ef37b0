"""Whether an audit may go on from an earlier one, and the copy of what that one measured.

Evidence adds up where the hypotheses are the same: the same weights, the same masks, the same effects. What the earlier
audit used is used up: the images that fixed its candidates or tested them are neither screened nor tested again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np

from gfi.audit.sequential import SequentialSettings, Settled
from gfi.audit.settling import evidence_of
from gfi.datasets.manifest import Manifest
from gfi.domain.digests import JSON
from gfi.domain.job import JobConfig
from gfi.domain.states import AuditState
from gfi.jobs.audits.earlier import after, digests_of, load_earlier, save_earlier
from gfi.jobs.audits.files import key, load_screened, settings_json, settings_of
from gfi.jobs.audits.screen import manifest_of
from gfi.jobs.audits.settling import (
    effects_of,
    first_sample,
    instalments,
    sequential_settings,
    stored_of,
)
from gfi.jobs.submit import Invalid
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.errors import NotFound
from gfi.store.ledger import UNTIL_SETTLED
from gfi.store.objects import Bucket
from gfi.store.queries import Audit

_NOT_READ = ("seed", "training_images", "training_share")
"""Constants that change no evidence of sequential tests."""


def check_earlier(
    database: Database,
    earlier: Audit,
    config: JobConfig,
    *,
    series: str,
    settings: JSON,
    classes: Sequence[int],
    sequential: SequentialSettings,
) -> None:
    """Invalid, with the first thing that differs, where an audit cannot go on from `earlier`.

    config: of its job. series, settings, classes, sequential: of the audit, as they are stored.
    """
    named = f"after: audit {earlier.id}"
    if UNTIL_SETTLED not in earlier.options:
        raise Invalid(f"{named} has a plan of fixed size, to which no evidence is added; leave after out")
    if not earlier.ended:
        raise Invalid(f"{named} is {earlier.state.value}; wait for its end, or cancel it")
    stored = (earlier.plan or {}).get("stored") or {}
    if "screened" not in stored:
        raise Invalid(f"{named} has no candidates to go on with; leave after out")
    if earlier.state is AuditState.DONE and stored.get("instalments") and not stored.get("whole"):
        raise Invalid(
            f"{named} was ended by an earlier version, which did not keep what its last images said; leave after out"
        )
    was = queries.get_job(database, earlier.job_id).config
    for differs in _differences(earlier, was, config, settings, classes, sequential):
        raise Invalid(f"{named} {differs}. Its evidence is of its question: ask the same, or leave after out")
    if earlier.series != series:
        raise Invalid(f"{named} names its dataset or its model otherwise: name them as it did")


def _differences(
    earlier: Audit,
    was: JobConfig,
    now: JobConfig,
    settings: JSON,
    classes: Sequence[int],
    sequential: SequentialSettings,
) -> Iterator[str]:
    if was.dataset.spec != now.dataset.spec:
        yield f"is of {was.dataset.spec}, not {now.dataset.spec}"
    if was.model.digest != now.model.digest:
        yield f"is of other weights than those of {now.model.reference} now"
    if was.method_digest != now.method_digest:
        yield f"has masks of another recipe, {was.preset}"
    if was.layers != now.layers:
        yield "has masks of other layers"
    if (was.target, was.foil) != (now.target, now.foil):
        yield "explains other classes of its images (target, rather_than)"
    before = asdict(sequential_settings(earlier))
    for name, value in asdict(sequential).items():
        if before[name] != value:
            yield f"has {name} {before[name]:g}, not {value:g}"
    if sorted(earlier.options.get("classes") or ()) != sorted(classes):
        yield "tests candidates of other classes"
    stored = settings_json(settings_of(earlier.settings))  # with what was added since
    for name, value in settings.items():
        if name not in _NOT_READ and stored[name] != value:
            yield f"was tested with another {name}"


def copy_earlier(database: Database, bucket: Bucket, audit: Audit) -> None:
    """Copy what an audit goes on from into its own folder, unless that was done. Of an audit that begins anew, nothing.

    Invalid where the earlier audit was deleted meanwhile.
    """
    earlier_id = after(audit)
    if earlier_id is None or bucket.head(key(audit.job_id, audit.id, "earlier.json")) is not None:
        return
    try:
        earlier = queries.get_audit(database, earlier_id)
        job = queries.get_job(database, earlier.job_id)
        with manifest_of(bucket, job) as manifest:
            _copy(bucket, earlier, job, manifest, audit)
    except NotFound as error:
        raise Invalid(
            f"audit {earlier_id} was deleted before its evidence was copied ({error}); audit without after"
        ) from None


def _copy(bucket: Bucket, earlier: Audit, job: queries.Job, manifest: Manifest, audit: Audit) -> None:
    before = load_earlier(bucket, earlier, manifest)
    screened = load_screened(bucket, earlier)
    measured = effects_of(bucket, earlier, screened)
    evidence = evidence_of(before.evidence(screened.candidates, sequential_settings(earlier)), measured)
    joint = before.joint(screened.candidates, measured)
    states = evidence.settled()
    going_on = [n for n, state in enumerate(states) if state is not Settled.NOTHING]
    used = np.zeros(manifest.count, bool)
    used[first_sample(earlier, job, manifest, before.used)] = True
    # An instalment that was asked for and not tested is not evidence, and its images are not used up.
    for rows in instalments(bucket, earlier)[: len(stored_of(earlier, "effects"))]:
        used[list(rows)] = True
    given = len(screened.candidates) > len(before.candidates)
    shown = {image for n in going_on for image in joint[n][0].used if image >= 0}
    keys = {entry.row: entry.key for entry in manifest.pick(sorted(shown))} if shown else {}
    save_earlier(
        bucket,
        audit,
        [screened.candidates[n] for n in going_on],
        [float(evidence.shares[n]) for n in going_on],
        [joint[n] for n in going_on],
        keys,
        np.union1d(before.digests, _digests(manifest, used)),
        left=(0.0 if given else before.left) + evidence.left_over(),
        nothing=states.count(Settled.NOTHING),
    )


def _digests(manifest: Manifest, used: np.ndarray) -> np.ndarray:
    """Of the keys of the images that were used."""
    found, start = [np.zeros(0, np.uint64)], 0
    for table in manifest.tables(["key"]):
        mine = np.flatnonzero(used[start : start + len(table)])
        found.append(digests_of(table.column("key").take(mine).to_pylist()))
        start += len(table)
    return np.concatenate(found)
