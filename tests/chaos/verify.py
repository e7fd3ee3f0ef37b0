"""The end of every scenario: the ledger compared with the dataset, the bucket and an undisturbed run."""

import hashlib
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np

from gfi.domain.states import JobState
from gfi.domain.statuses import ImageStatus
from gfi.jobs.sweep import sweep_parts
from gfi.store import parts, queries
from gfi.store.ledger.sums import sums_of
from gfi.store.part_cache import PartCache
from gfi.store.parts import Part
from tests.chaos.deployment import Deployment
from tests.chaos.photographs import Photographs
from tests.speed import slowness


@dataclass(frozen=True)
class Verdict:
    """The results of a job. `masks`: SHA-256 of the mask by key, for comparing runs."""

    images: int
    lost: int
    duplicates: int
    orphans: int
    masks: dict[str, str]
    errors: dict[str, str]


def verify(
    deployment: Deployment,
    job: str,
    photographs: Photographs,
    undisturbed: dict[str, str] | None = None,
    *,
    errors: frozenset[str] = frozenset(),
    state: JobState | None = None,
) -> Verdict:
    """Compare everything; AssertionError if something is inconsistent.

    undisturbed: the masks of a run without faults. errors: the keys that must be `error`, and no others.
    """
    record = queries.get_job(deployment.database, job)
    expected = state or (JobState.PARTIAL if errors else JobState.SUCCEEDED)
    assert record.state is expected, f"{record.state}: {record.error}\n{deployment.tails()}"
    assert record.total == photographs.count
    keys = photographs.keys()
    rows = list(queries.iterate_results(deployment.database, job))
    current = Counter(row.row for row in rows)
    lost = sum(number not in current for number in range(len(keys)))
    duplicates = sum(times - 1 for times in current.values())

    committed = {part.id: part for part in queries.iterate_parts(deployment.database, job)}
    opened: dict[str, Part] = {}
    recorded: Counter[int] = Counter()
    for part in committed.values():
        # `read` refuses a part whose SHA-256 is not the one the ledger recorded.
        opened[part.id] = parts.read(deployment.bucket.get(part.key), part.sha256)
        recorded.update(row.row for row in opened[part.id].results())
    if not record.generation:
        duplicates += sum(times - 1 for times in recorded.values())
    masks, failed = {}, {}
    for row in rows:
        assert row.key == keys[row.row], row
        if row.status == ImageStatus.OK:
            assert row.part_id is not None
            assert row.part_row is not None
            explained = opened[row.part_id].explanation(row.part_row)
            assert (explained.result.row, explained.result.key) == (row.row, row.key)
            assert explained.mask is not None
            masks[row.key] = hashlib.sha256(np.ascontiguousarray(explained.mask).tobytes()).hexdigest()
        else:
            failed[row.key] = f"{row.status}: {row.error}"

    progress = deployment.progress(job)
    assert sum(progress.by_status.values()) == photographs.count, progress
    assert progress.by_status["ok"] == len(masks), progress
    assert set(failed) == errors, failed
    stored = queries.iterate_results(deployment.database, job, filters=queries.Filters(method=None))
    assert queries.job_sums(deployment.database, job, cells=True) == sums_of(stored), "sums of other results"
    if undisturbed is not None:
        wrong = [key for key, mask in masks.items() if undisturbed[key] != mask]
        assert not wrong, f"{len(wrong)} masks differ from the undisturbed run's, first {wrong[:3]}"

    orphans = _sweep(deployment, {part.key for part in committed.values()})
    verdict = Verdict(photographs.count, lost, duplicates, orphans, masks, failed)
    assert (lost, duplicates, orphans) == (0, 0, 0), (lost, duplicates, orphans)
    return verdict


def verify_carried(
    deployment: Deployment, job: str, photographs: Photographs, undisturbed: dict[str, str]
) -> Verdict:
    """The same for an incremental job, some of whose results are in parts of other jobs."""
    record = queries.get_job(deployment.database, job)
    assert record.state is JobState.SUCCEEDED, f"{record.state}: {record.error}\n{deployment.tails()}"
    keys = Counter(row.key for row in queries.iterate_results(deployment.database, job))
    listing = photographs.keys()
    lost = sum(key not in keys for key in listing)
    duplicates = sum(times - 1 for times in keys.values())
    cache, masks = PartCache(deployment.database, deployment.bucket), {}
    for result in queries.iterate_results(deployment.database, job):
        explained = cache.explanation(result)
        assert explained is not None
        assert explained.mask is not None
        assert explained.result.key == result.key
        masks[result.key] = hashlib.sha256(np.ascontiguousarray(explained.mask).tobytes()).hexdigest()
    assert {key: undisturbed[key] for key in masks} == masks
    assert (lost, duplicates) == (0, 0), (lost, duplicates)
    progress = deployment.progress(job)
    assert progress.done == photographs.count, (progress, len(masks))
    stored = queries.iterate_results(deployment.database, job, filters=queries.Filters(method=None))
    assert queries.job_sums(deployment.database, job, cells=True) == sums_of(stored), "sums of other results"
    return Verdict(photographs.count, lost, duplicates, 0, masks, {})


def _sweep(deployment: Deployment, referenced: set[str]) -> int:
    """Run the sweep; returns the number of remaining parts that nothing refers to. All other parts must exist."""
    deadline = time.monotonic() + 20 * slowness()
    while True:
        # Normally the age comes from the bucket's clock; here every object is young.
        swept = sweep_parts(deployment.database, deployment.bucket, safe_age_s=-60.0, dry_run=False)
        present = {each.key for each in deployment.bucket.list("parts/")}
        assert not swept.unknown, swept.unknown
        left = len(present - _all_referenced(deployment))
        assert referenced <= present, "a referenced part is gone"
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.5)


def _all_referenced(deployment: Deployment) -> set[str]:
    return {
        part.key
        for job in queries.list_jobs(deployment.database, limit=10_000)
        for part in queries.iterate_parts(deployment.database, job.id)
    }
