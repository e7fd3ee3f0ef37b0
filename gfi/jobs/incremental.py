"""Incremental jobs: explain what is new or has changed since an earlier job, and carry its other results over.

    parent = parent_of(database, config, "01J…")             at submission
    plan = decide(database, bucket, parent, config, …)        by the planner, and by `gfi submit --dry-run`

An image is carried if the earlier job has a usable result of the same key, version and question
(`JobConfig.question`), all else is explained. The question contains the execution profile, so the new job inherits that
of the earlier job. Where it cannot, everything is explained and `Plan.reason` says why.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gfi.datasets.manifest import Manifest, entries, write
from gfi.datasets.sources import open_source
from gfi.domain.digests import JSON, canonical
from gfi.domain.job import LABELS, JobConfig
from gfi.domain.metrics import CATALOGUE
from gfi.domain.queues import DEVICE_QUEUES, LARGE_GPU_MIB, queues_of
from gfi.domain.statuses import UNUSABLE
from gfi.drift.incremental import LISTING, PlanCounts, plan_incremental
from gfi.jobs.listing_writer import sampled
from gfi.jobs.submit import Invalid, JobRequest, class_index, freeze, parent_of
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.errors import StoreError, Transient
from gfi.store.objects import Bucket
from gfi.store.part_cache import PartCache
from gfi.store.queries import Job
from gfi.store.settings import Settings

_KNOWN_QUESTIONS = 100_000
_EXPLAINED = -1


@dataclass(frozen=True)
class Plan:
    """What an incremental job explains and what it carries.

    from_rows (images,): for each row of the new listing the row of the earlier job whose result holds for it, -1 where
    it must be explained. reason: why nothing is carried, None if something may be.
    """

    parent: Job
    counts: PlanCounts
    from_rows: NDArray[np.int64]
    reason: str | None

    def sentence(self) -> str:
        """The counts in words, and the reason."""
        if self.reason is None:
            return f"since {self.parent.id}: {self.counts.sentence()}"
        removed = f"{self.counts.removed:,} removed" if self.counts.removed else "none removed"
        return (
            f"since {self.parent.id}: all {self.counts.explained:,} images are explained, because {self.reason};"
            f" {removed}"
        )

    def to_json(self) -> JSON:
        """The counts, the reason and the sentence."""
        counts = {
            name: getattr(self.counts, name) for name in ("explained", "new", "changed", "carried", "removed")
        }
        return {
            "job": self.parent.id,
            **counts,
            "shrank": self.counts.shrank,
            "reason": self.reason,
            "sentence": self.sentence(),
        }

    def check_shrunk(self, allowed: bool) -> None:
        """Raise Invalid if more than half of the earlier images are gone, unless a person allowed it."""
        if self.counts.shrank and not allowed:
            raise Invalid(
                f"the dataset has lost {self.counts.removed:,} of the {self.parent.total or 0:,} images of job"
                f" {self.parent.id}; if that is meant, submit with --yes (allow_shrunk)"
            )


def decide(
    database: Database,
    bucket: Bucket,
    parent: Job,
    config: JobConfig,
    queue: str,
    listing: Path,
    folder: Path,
    check: Callable[[], None] = lambda: None,
) -> Plan:
    """Compare a listing, a manifest, with that of an earlier job. folder: an empty one for temporary files.

    queue: of the new job, whose workers must have the kind of device that the earlier results were made on. check: is
    called often, and may raise to end it.
    """
    new = Manifest.open(listing)
    from_rows = np.full(new.count, _EXPLAINED, np.int64)
    if parent.manifest_key is None:
        counts = PlanCounts(explained=new.count, new=new.count)
        return Plan(parent, counts, from_rows, f"job {parent.id} was never planned")
    reason = _cannot_inherit(database, parent, config, queue)
    bucket.get_to(parent.manifest_key, folder / "earlier.parquet")
    earlier = Manifest.open(folder / "earlier.parquet")
    usable = (
        np.zeros(earlier.count, np.bool_) if reason else _usable(database, parent.id, earlier.count, check)
    )
    counts = PlanCounts()
    steps = plan_incremental(
        _questions(new, config, parent.profile, None, check),
        _questions(earlier, parent.config, parent.profile, usable, check),
        folder,
    )
    for step in steps:
        check()
        counts.add(step)
        from_rows[step.carried] = step.carried_from
    return Plan(parent, counts, from_rows, reason)


def _cannot_inherit(database: Database, parent: Job, config: JobConfig, queue: str) -> str | None:
    """Why no result of the earlier job can hold for this configuration; None if some may."""
    if parent.profile is None:
        return f"job {parent.id} has no results"
    before = parent.config
    for name, mine, yours in (
        ("weights", config.model.digest, before.model.digest),
        ("method", config.recipe.digest(), before.recipe.digest()),
        ("layers", config.layers.to_json(), before.layers.to_json()),
        ("target", config.target, before.target),
        ("rather_than", config.foil, before.foil),
        ("top", config.top, before.top),
        ("metrics", config.metrics, before.metrics),
    ):
        if mine != yours:
            return f"it has other {name} than job {parent.id}"
    if queries.list_audit(database, job_id=parent.id, action="job.profile", limit=1):
        return f"the execution profile of job {parent.id} changed while it ran, when memory ran out"
    batch = parent.profile.get("batch")
    if config.batch not in (None, batch):
        return f"job {parent.id} ran with a batch of {batch}, not {config.batch}, which is another execution profile"
    kinds = {worker.device for worker in queries.list_workers(database) if worker.takes_from(queue)}
    if kinds:
        possible = parent.device_kind in kinds
    else:
        takes = queues_of(parent.device_kind or "", LARGE_GPU_MIB)
        possible = queue not in DEVICE_QUEUES or queue in takes
    if not possible:
        return f"job {parent.id} ran on {parent.device_kind}, and no worker of the queue {queue!r} has it"
    return None


def _usable(database: Database, job_id: str, count: int, check: Callable[[], None]) -> NDArray[np.bool_]:
    """By row of the manifest: whether the job has a usable result of the image (count,)."""
    found, failed = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    unusable = {status.value for status in UNUSABLE}
    for page in queries.iterate_columns(database, job_id, ("row", "status", "part_id")):
        check()
        found[[row for row, _, _ in page]] = True
        failed[[row for row, status, part in page if part is None or status in unusable]] = True
    return found & ~failed


def _questions(
    manifest: Manifest,
    config: JobConfig,
    profile: Mapping[str, Any] | None,
    usable: NDArray[np.bool_] | None,
    check: Callable[[], None],
) -> Iterator[pa.Table]:
    """A manifest as `plan_incremental` reads it. Without a version or a usable result, an image has no question and is
    explained."""
    boxed = any(CATALOGUE[name].needs == "boxes" for name in config.metrics if name in CATALOGUE)
    several = ["labels", "targets"] if config.each_label or boxed else []
    names = ["row", "key", "version", "label", "target", *several, *(["boxes"] if boxed else [])]
    known: dict[tuple[Any, ...], bytes] = {}

    def question(
        label: str | tuple[str, ...] | None, target: int | tuple[int | None, ...] | None, boxes: list[JSON]
    ) -> bytes:
        # The class that a label means is not part of the digest of the weights.
        key = (label, target, canonical(boxes) if boxes else "")
        if key not in known:
            if len(known) >= _KNOWN_QUESTIONS:
                known.clear()
            asked = bytes.fromhex(config.question(profile, label, boxes))
            known[key] = hashlib.sha256(asked + str(target).encode()).digest()
        return known[key]

    for table in manifest.tables(names):
        check()
        rows = table.column("row").to_numpy()
        boxes = [_written(row) for row in table.column("boxes").to_pylist()] if boxed else [[]] * len(table)
        labels, targets = (
            _one_or_several(table, *names) for names in (("label", "labels"), ("target", "targets"))
        )
        pairs = zip(labels, targets, boxes, strict=True)
        asked = [question(*pair) for pair in pairs]
        version = table.column("version")
        holds = pc.not_equal(version, "").to_numpy(zero_copy_only=False)
        if usable is not None:
            holds = holds & usable[rows]
        columns = {
            "key": table.column("key"),
            "version": version,
            "row": table.column("row"),
            "question": pa.array(asked, pa.binary(32), mask=~holds),
        }
        yield pa.table(columns).cast(LISTING)


def _written(boxes: list[JSON] | None) -> list[JSON]:
    """Boxes as every version writes them: without an empty outline, which earlier manifests do not have."""
    return [{name: value for name, value in box.items() if name != "outline" or value} for box in boxes or ()]


def _one_or_several(table: pa.Table, one: str, several: str) -> list[Any]:
    """By row the value of a column, or a tuple where the column of several values has some; a manifest of an earlier
    version has no such column."""
    single = table.column(one).to_pylist()
    if several not in table.column_names or table.column(several).null_count == len(table):
        return single
    pairs = zip(single, table.column(several).to_pylist(), strict=True)
    return [tuple(many) if many else alone for alone, many in pairs]


def write_from_rows(rows: NDArray[np.int64], path: Path) -> None:
    """Write the rows of the earlier job, for the images that follow those to explain in the new manifest."""
    pq.write_table(pa.table({"from_row": rows}), path, compression="zstd")


def read_from_rows(path: Path) -> NDArray[np.int64]:
    """What `write_from_rows` wrote."""
    return np.asarray(pq.read_table(path).column("from_row").to_numpy(), np.int64)


def preview(database: Database, settings: Settings, request: JobRequest) -> Plan:
    """What `gfi submit` would explain and carry, for a request with `since`. It lists the dataset and stores
    nothing."""
    config = freeze(database, settings, request)
    if request.since is None:
        raise Invalid("since: name the earlier job")
    parent = parent_of(database, config, request.since)
    model = queries.find_model(database, request.model)
    assert model is not None
    source = open_source(config.dataset.spec, settings)
    classes = class_index(model.record) if config.target in ("auto", LABELS) else None
    with tempfile.TemporaryDirectory(prefix="gfi-plan-") as folder:
        listing = Path(folder) / "manifest.parquet"
        listed = source.list()
        if config.most_images is not None:
            listed = sampled(listed, config.most_images, lambda: None)
        write(entries(listed, classes), listing, {"dataset": source.spec, "kind": source.kind})
        work = Path(folder) / "join"
        work.mkdir()
        bucket = Bucket.from_settings(settings)
        return decide(database, bucket, parent, config, request.queue, listing, work)


def verification(database: Database, bucket: Bucket, job: Job) -> JSON | None:
    """The images that an incremental job explained again to verify what it carries, compared bit by bit.

    {images, differing, example} or {error}; None for a job that verifies nothing.
    """
    since = (job.metadata or {}).get("since") or {}
    first, count = since.get("verify_from"), since.get("verify", 0)
    if not count or first is None:
        return None
    try:
        with tempfile.TemporaryDirectory(prefix="gfi-verify-") as folder:
            bucket.get_to(since["from_rows"], Path(folder) / "rows.parquet")
            from_rows = read_from_rows(Path(folder) / "rows.parquet")[:count]
        cache = PartCache(database, bucket)
        differing: list[str] = []
        for place, earlier in enumerate(from_rows.tolist()):
            for rank in queries.ranks_of(database, job.id, first + place):
                mine = _bits(database, cache, job.id, first + place, rank)
                if mine != _bits(database, cache, since["job"], earlier, rank):
                    differing.append(queries.get_result(database, job.id, first + place).key)
                    break
    except Transient:
        raise  # the report is written again when the store is back; this verdict would stay
    except StoreError as error:
        return {"images": 0, "differing": 0, "error": f"not verified: {error}"}
    return {"images": count, "differing": len(differing), "example": differing[0] if differing else None}


def _bits(database: Database, cache: PartCache, job_id: str, row: int, rank: int) -> tuple[Any, ...]:
    """Everything of a result that must be equal."""
    result = queries.get_result(database, job_id, row, target_rank=rank)
    explained = cache.explanation(result)
    grid = explained.result.grid if explained is not None else None
    numbers = (result.probability, result.kept, result.removed, result.iterations, result.area)
    drawn = None if grid is None else (grid.shape, grid.tobytes())
    return (
        result.status,
        result.target,
        result.prediction,
        numbers,
        sorted(result.metrics.items()),
        drawn,
    )
