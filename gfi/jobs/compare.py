"""Compares two finished jobs: which masks moved more than a noise floor explains, and the verdict of a gate.

The masks of each job are read once from its parts, sorted by key in a temporary folder, and paired by a merge join. A
floor is computed from the first job and from the other jobs that are named for it, and stored in the bucket with the
first job.
"""

import json
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gfi.domain.digests import canonical, digest
from gfi.domain.metrics import BASE_COLUMNS, CATALOGUE
from gfi.domain.statuses import UNUSABLE
from gfi.drift.comparison import Accumulator, Comparison
from gfi.drift.errors import DriftError
from gfi.drift.floors import LEVEL_WORDS, Floor, FloorLevel, RunDistances, floor_of, level_of
from gfi.drift.gate import GATE, GateSpec, check_classes
from gfi.drift.gate_verdict import GateVerdict, judge
from gfi.drift.pairs import BOX, DRAWING, RESULTS, Counts, PairBlock, pair_results
from gfi.drift.sentences import (
    class_name,
    class_sentence,
    count_sentences,
    pooled_sentence,
    with_flips_sentence,
)
from gfi.drift.sorted_tables import SortedTables
from gfi.drift.two_sample import TwoSample, features_of, two_sample_test
from gfi.drift.verdicts import MaskVerdicts, Moved, Tolerance, mask_verdicts, pooled_verdict
from gfi.jobs import looks
from gfi.jobs.audits.shortcuts import shortcuts_since
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.errors import NotFound
from gfi.store.objects import Bucket
from gfi.store.part_cache import PartCache
from gfi.store.queries import Job

_FLOOR_VERSION = 10
"""Raised by one when a change of the code changes the floor of the same jobs."""
_SHOWN_CLASSES = 10


@dataclass(frozen=True)
class Compared:
    """The result of a comparison. differences: what the two jobs do not have in common, in words.

    floor_jobs: the other runs of the floor. look: the number of the comparison in the year, for a nightly gate.
    pooled, masks: verdicts at the default tolerance, or the gate's; None and empty without a floor.
    """

    a: Job
    b: Job
    level: FloorLevel
    differences: tuple[str, ...]
    comparison: Comparison
    floor: Floor | None
    pooled: Moved | None
    masks: MaskVerdicts
    gate: GateVerdict | None
    names: Mapping[int, str]
    floor_jobs: tuple[str, ...] = ()
    look: int | None = None

    def sentences(self) -> Iterator[str]:
        """The result as sentences, the most important first."""
        yield f"{self.a.id} and {self.b.id} have {LEVEL_WORDS[self.level]}"
        yield from (f"they differ in {difference}" for difference in self.differences)
        yield from count_sentences(self.comparison)
        if self.level is FloorLevel.SAME_PROFILE and self.comparison.bit_equal < self.comparison.pairs:
            differing = self.comparison.pairs - self.comparison.bit_equal
            yield f"{differing:,} masks differ although weights and execution profile are the same; please report it"
        if self.floor is None:
            yield "no noise floor was given, so no mask is counted as moved: name other training runs with --floor"
            return
        yield self.floor.sentence()
        if self.pooled is not None:
            yield pooled_sentence(self.comparison, self.pooled)
        moves = self.comparison.classes
        order = sorted(moves, key=lambda index: -moves[index].moved / moves[index].n)
        for index in order[:_SHOWN_CLASSES]:
            if moves[index].moved:
                yield class_sentence(
                    class_name(index, self.names), moves[index], self.masks.classes.get(index)
                )
        for index in self.masks.failed_with_flips:
            flipped, moved = self.comparison.flipped[index], self.masks.with_flips[index]
            yield with_flips_sentence(class_name(index, self.names), flipped, moved)

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "a": self.a.id,
            "b": self.b.id,
            "level": self.level.value,
            "differences": list(self.differences),
            "sentences": list(self.sentences()),
            "comparison": self.comparison.to_json(),
            "differing": self.comparison.differing,
            "floor_jobs": list(self.floor_jobs),
            "look": self.look,
            "floor": self.floor.to_json() if self.floor is not None else None,
            "pooled": self.pooled.to_json() if self.pooled is not None else None,
            "classes": {
                class_name(index, self.names): moved.to_json() for index, moved in self.masks.classes.items()
            },
            "gate": self.gate.to_json() if self.gate is not None else None,
        }


def compare_jobs(
    database: Database,
    bucket: Bucket,
    a: str,
    b: str,
    *,
    floor_jobs: Sequence[str] = (),
    gate: GateSpec | None = None,
    gate_name: str = GATE,
    today: date,
    take_look: Callable[[looks.Compared], int] | None = None,
    check: Callable[[], None] = lambda: None,
) -> Compared:
    """Compare job b with job a. Ids may be the beginning of an id that no other job shares. check: is called often, and
    may raise to end it.

    floor_jobs: other training runs of a's recipe; by default those that the gate names. take_look: gives a comparison
    its number in the year, for a nightly gate (`gfi.jobs.looks`); called when nothing can prevent a verdict any more.
    DriftError when the jobs have neither a pair nor a flip, or are not finished; NotFound for an unknown job.
    """
    job_a, job_b = (_finished(database, job_id) for job_id in (a, b))
    floor_jobs = floor_jobs or (gate.floor.jobs if gate is not None else ())
    runs = _runs(job_a, job_b, [_finished(database, job_id) for job_id in floor_jobs])
    names = _class_names(job_a)
    differences = tuple(_differences(job_a, job_b))
    if gate is not None:
        check_classes(gate, names, gate_name)
        options = [difference for difference in differences if not difference.startswith(("model", "layers"))]
        if options:
            raise DriftError(
                f"a gate needs two jobs with the same options; {job_a.id} and {job_b.id} differ in {options[0]}"
            )
    metrics = _common_metrics(job_a, job_b, gate.limits if gate is not None else ())
    with ExitStack() as stack:
        sorted_results = _Sorted(database, bucket, stack, check)
        floor = _floor(bucket, runs, sorted_results) if len(runs) > 1 else None
        counts = Counts()
        accumulator = Accumulator(floor, job_a.total or 0)
        streams = sorted_results.of(job_a, metrics), sorted_results.of(job_b, metrics)
        for block in _pairing(job_a, job_b)(*streams, counts, metrics, accumulator.add_flipped):
            check()
            accumulator.add(block)
    comparison = accumulator.comparison(counts)
    if (
        not comparison.pairs and not counts.flipped
    ):  # where every image flipped, that is what a gate has to fail
        raise DriftError(_without_pairs(job_a, job_b, counts, differences))
    new_shortcuts = None
    if gate is not None and gate.audit.no_new_shortcuts:
        new_shortcuts = shortcuts_since(database, job_a, job_b)
    others = sorted(job_state(run) for run in runs if run.id != job_a.id)
    look = take_look([job_state(job_a), job_state(job_b), *others]) if take_look is not None else None
    tolerance = gate.tolerance(look or 1) if gate is not None else Tolerance()
    return Compared(
        job_a,
        job_b,
        _level(job_a, job_b),
        differences,
        comparison,
        floor,
        pooled_verdict(comparison.moved_images, comparison.images, floor, tolerance)
        if floor is not None
        else None,
        mask_verdicts(comparison.class_counts, comparison.class_counts_with_flips, floor, tolerance)
        if floor is not None
        else MaskVerdicts({}, {}),
        judge(gate, comparison, floor, names=names, today=today, look=look or 1, new_shortcuts=new_shortcuts)
        if gate is not None
        else None,
        names,
        tuple(run.id for run in runs if run.id != job_a.id),
        look,
    )


def compare_unpaired(database: Database, bucket: Bucket, a: str, b: str, *, seed: int = 0) -> TwoSample:
    """Whether the masks of two jobs over different images differ within classes: a two-sample test."""
    features, classes = [], []
    for job in (_finished(database, job_id) for job_id in (a, b)):
        drawn: list[NDArray[np.float64]] = []
        targets: list[NDArray[np.int64]] = []
        for table in results_of(database, bucket, job):
            # A job is paired with itself to get its masks on the common grid.
            for block in pair_results([table.sort_by("key")], [table.sort_by("key")], Counts()):
                drawn.append(features_of(block.a))
                targets.append(block.targets)
        if not drawn:
            raise DriftError(f"job {job.id} has no masks")
        features.append(np.concatenate(drawn))
        classes.append(np.concatenate(targets))
    return two_sample_test((features[0], features[1]), (classes[0], classes[1]), seed=seed)


def results_of(
    database: Database, bucket: Bucket, job: Job, metrics: Sequence[str] = ()
) -> Iterator[pa.Table]:
    """The current results of a job as `gfi.drift.pairs` reads them, in the order of its manifest."""
    names = [*RESULTS.names[:7], "part_id", "part_row", *metrics]
    kinds = [*RESULTS.types[:7], pa.string(), pa.int64(), *[pa.float64()] * len(metrics)]
    cache = PartCache(database, bucket)
    for page in queries.iterate_columns(database, job.id, names):
        columns = zip(zip(*page, strict=True), kinds, strict=True)
        table = pa.table([pa.array(values, kind) for values, kind in columns], names=names)
        yield _with_masks(table, cache, metrics)


def _with_masks(table: pa.Table, cache: PartCache, metrics: Sequence[str]) -> pa.Table:
    schema = pa.schema([*RESULTS, *((name, pa.float64()) for name in metrics)])
    part_ids = table.column("part_id").to_numpy()
    statuses = table.column("status").to_numpy()
    part_ids[np.isin(statuses, [status.value for status in UNUSABLE])] = None
    tables = []
    for part_id in dict.fromkeys(part_ids.tolist()):
        at = np.array([row for row, known in enumerate(part_ids) if known == part_id], np.int64)
        rows = table.take(at)
        columns = {name: rows.column(name) for name in rows.column_names if name in schema.names}
        columns |= _masks(cache, part_id, rows)
        tables.append(pa.table([columns[name] for name in schema.names], schema=schema))
    return pa.concat_tables(tables)


def _masks(cache: PartCache, part_id: str | None, rows: pa.Table) -> dict[str, Any]:
    """The columns of masks, from one part; null if there is no part."""
    kinds = {name: RESULTS.field(name).type for name in ("grid", *DRAWING, *BOX)}
    if part_id is None:
        return {name: pa.nulls(len(rows), kind) for name, kind in kinds.items()}
    part = cache.part(part_id)
    height, width = part.header.input_size
    drawn = {"input_height": height, "input_width": width, "align_corners": int(part.header.align_corners)}
    stored = part.take(rows.column("part_row").to_numpy(), ("grid", "grid_height", "grid_width", "box"))
    boxes = np.array([box or [np.nan] * 4 for box in stored.column("box").to_pylist()], np.float64)
    columns: dict[str, Any] = {name: stored.column(name) for name in ("grid", "grid_height", "grid_width")}
    columns |= {name: pa.array(np.full(len(rows), value, np.int32)) for name, value in drawn.items()}
    return columns | {name: pa.array(boxes[:, at]) for at, name in enumerate(BOX)}


class _Sorted:
    """The results of jobs, sorted by key. Each job is read once, into a folder that is deleted with the stack."""

    def __init__(
        self, database: Database, bucket: Bucket, stack: ExitStack, check: Callable[[], None]
    ) -> None:
        self._database, self._bucket, self._stack, self._check = database, bucket, stack, check
        self._known: dict[tuple[str, tuple[str, ...]], SortedTables] = {}

    def of(self, job: Job, metrics: Sequence[str] = ()) -> SortedTables:
        """The job's results with these metrics."""
        known = self._known.get((job.id, tuple(metrics)))
        if known is None:
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="gfi-compare-"))
            blocks = self._checked(results_of(self._database, self._bucket, job, metrics))
            known = self._known[job.id, tuple(metrics)] = SortedTables(blocks, "key", Path(folder))
        return known

    def _checked(self, blocks: Iterator[pa.Table]) -> Iterator[pa.Table]:
        for block in blocks:
            self._check()
            yield block


def _finished(database: Database, job_id: str) -> Job:
    job = queries.get_job(database, job_id)
    if not job.ended:
        raise DriftError(f"job {job.id} is {job.shown_state}; `gfi job {job.id} --wait` waits for its end")
    return job


def _pairing(a: Job, b: Job) -> "partial[Iterator[PairBlock]]":
    """`pair_results` as it reads the labels of these two jobs."""
    each_label = a.config.decides_each_label and b.config.decides_each_label
    return partial(pair_results, each_label=each_label, sigmoid=a.sigmoid or b.sigmoid)


def _level(a: Job, b: Job) -> FloorLevel:
    return level_of(a.config.model.digest, a.profile, b.config.model.digest, b.profile)


def job_state(job: Job) -> list[Any]:
    """What changes when the results of a job change."""
    return [job.id, job.generation, job.finished_at]


def _runs(a: Job, b: Job, others: Sequence[Job]) -> list[Job]:
    """The jobs from which a floor is computed: a and the others, without repetition."""
    runs = {job.id: job for job in (a, *others)}
    for job in others:
        if job.id == b.id:
            raise DriftError(f"job {b.id} is compared with the floor; leave it out of the floor")
        if job.config.model.digest == b.config.model.digest != a.config.model.digest:
            raise DriftError(
                f"job {job.id} of the floor has the weights of the job that is compared with it; leave it out"
            )
    return list(runs.values())


def _floor(bucket: Bucket, runs: Sequence[Job], sorted_results: _Sorted) -> Floor:
    """The floor of these runs, read from the bucket if it was computed before."""
    state = sorted(job_state(job) for job in runs)
    key = f"jobs/{runs[0].id}/floors/{digest([_FLOOR_VERSION, state])[:32]}.json"
    try:
        return Floor.from_json(json.loads(bucket.get(key)))
    except NotFound:
        pass
    level = max((_level(x, y) for x, y in combinations(runs, 2)), key=list(FloorLevel).index)
    used = _trainings(runs) if level is FloorLevel.OTHER_TRAINING else runs
    pairs = combinations(sorted(used, key=lambda job: job.id), 2)
    chosen = [(x, y) for x, y in pairs if _level(x, y) is level]
    measured = []
    for x, y in chosen:
        counts, distances = Counts(), RunDistances()
        streams = sorted_results.of(x), sorted_results.of(y)
        for block in _pairing(x, y)(*streams, counts, flipped=distances.add_flipped):
            distances.add(block)
        measured.append(distances.run_pair((x.id, y.id), counts))
    floor = floor_of(level, len({job.id for pair in chosen for job in pair}), measured)
    floor = replace(floor, repeated=len(runs) - len(used))
    bucket.put(key, canonical(floor.to_json()).encode(), content_type="application/json")
    return floor


def _trainings(runs: Sequence[Job]) -> list[Job]:
    """One job of each training run: the first of `runs`, or else the one with the smallest id."""
    found: dict[str, Job] = {}
    for job in (runs[0], *sorted(runs[1:], key=lambda job: job.id)):
        found.setdefault(job.config.model.digest, job)
    return list(found.values())


def _class_names(job: Job) -> dict[int, str]:
    return dict(enumerate((job.model or {}).get("class_names") or []))


def _common_metrics(a: Job, b: Job, limits: Collection[str]) -> tuple[str, ...]:
    """The metric columns that both jobs measured, and those of every job that a gate limits."""
    names = [name for name in a.config.metrics if name in b.config.metrics and name in CATALOGUE]
    always = [column.name for column in BASE_COLUMNS if column.name in limits]
    return (*always, *(column.name for name in names for column in CATALOGUE[name].columns))


def _differences(a: Job, b: Job) -> Iterator[str]:
    """What two jobs do not have in common, except what a comparison examines."""
    one, other = a.config, b.config
    for name, x, y in (
        ("dataset", one.dataset.spec, other.dataset.spec),
        ("model", one.model.reference, other.model.reference),
        ("target", one.target, other.target),
        ("rather_than", one.foil, other.foil),
        ("top", one.top, other.top),
        ("preset", one.preset, other.preset),
        ("layers", one.layers.to_json(), other.layers.to_json()),
    ):
        if x != y:
            yield f"{name}: {x} and {y}"
    if one.preset == other.preset and one.recipe.digest() != other.recipe.digest():
        mine, yours = one.recipe.to_json(), other.recipe.to_json()
        changed = [
            f"{name} {mine.get(name)} and {yours.get(name)}"
            for name in mine
            if mine.get(name) != yours.get(name)
        ]
        yield f"recipe: {', '.join(changed)}"


def _without_pairs(a: Job, b: Job, counts: Counts, differences: Sequence[str]) -> str:
    found = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.to_json().items() if n)
    why = f"; they differ in {differences[0]}" if differences else ""
    return (
        f"jobs {a.id} and {b.id} have no two masks of the same image, version and class ({found or 'no images'}){why};"
        f" `gfi compare {a.id} {b.id} --unpaired` compares the masks of each class without pairs"
    )
