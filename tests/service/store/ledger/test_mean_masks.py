"""Mean masks are those of the current results, whatever is retried, cancelled, merged or repeated."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import sqlalchemy as sa

from gfi.domain.mean_masks import MeanMasks
from gfi.domain.records import ShardClaim
from gfi.domain.result import Result
from gfi.domain.states import ControlKind
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger, parts, queries, tables
from gfi.store.database import Database
from gfi.store.errors import NotFound, Transient
from gfi.store.ledger import mean_masks
from gfi.store.ledger.mean_masks import owe_replaced
from gfi.store.parts import Part, PartHeader
from tests.service.store.ledger_actors import claim, claim_task, part, plan, submit

HEADER = PartHeader(
    job_id="job",
    shard_id="job-0",
    fence=1,
    model_digest="m",
    method_digest="r",
    recipe={},
    layers={},
    profile={},
    align_corners=False,
    input_size=(8, 8),
    code_version="0.1.0",
)


class Worker:
    """Commits rows with masks, and keeps the parts as a bucket does."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.parts: dict[str, Part] = {}
        self.draw = np.random.default_rng(0)

    def commit(
        self, held: ShardClaim, numbers: list[int], status: ImageStatus = ImageStatus.OK
    ) -> list[Result]:
        rows = [
            Result(
                number,
                f"{number}.jpg",
                status,
                label=("a", "b", None)[number % 3],
                target=number % 2,
                grid=None if status is ImageStatus.ERROR else self.draw.random((3, 4), dtype=np.float32),
            )
            for number in numbers
        ]
        record = part(held, len(rows))
        self.parts[record.id] = parts.read(parts.write(HEADER, rows).data, None)
        assert ledger.commit_shard(self.db, held, held.start + len(rows), record, rows)
        return rows

    def read(self, part_id: str) -> Part:
        return self.parts[part_id]

    def stored(self, job: str) -> list[Result]:
        """The current results with their masks, from the parts, in the order of rows."""
        found = queries.iterate_results(self.db, job, filters=queries.Filters(method=None))
        return [
            self.parts[row.part_id].explanation(row.part_row).result
            for row in found
            if row.part_id is not None and row.part_row is not None
        ]

    def recount(self, job: str) -> MeanMasks:
        """From the parts of the current results."""
        return MeanMasks.of(self.stored(job))


def retry(db: Database, job: str, rows: list[int], statuses: tuple[ImageStatus, ...]) -> None:
    ledger.finish_jobs(db)
    ledger.retry_job(db, job, statuses)
    task = claim_task(db, ControlKind.RETRY)
    assert ledger.finish_retry(
        db, task, manifest_key=f"r{task.generation}", total=len(rows), shards=[(0, len(rows))]
    )


def test_masks_of_replaced_results_are_subtracted_once_by_the_report(database: Database) -> None:
    worker = Worker(database)
    job = plan(database, total=6, size=3)
    worker.commit(claim(database), [0, 1, 2])
    worker.commit(claim(database), [3, 4, 5], ImageStatus.ERROR)
    assert queries.mean_masks(database, job) == worker.recount(job)
    retry(database, job, [1, 2, 3, 4], (ImageStatus.OK, ImageStatus.ERROR))
    worker.commit(claim(database), [1, 2, 3, 4])
    assert queries.count_masks_due(database, job) == 2, "errors have no mask"
    assert queries.mean_masks(database, job) != worker.recount(job)
    ledger.merge_sums(database, job)
    for _ in range(2):
        assert ledger.settle_masks(database, job, worker.read) == 0
        assert queries.mean_masks(database, job) == worker.recount(job)
    assert queries.count_masks_due(database, job) == 0
    ledger.merge_sums(database, job)
    assert queries.mean_masks(database, job) == worker.recount(job)
    total = queries.mean_masks(database, job).job()
    assert total is not None
    assert total.images == 5


def test_a_part_that_is_gone_is_said_and_an_outage_is_tried_again(database: Database) -> None:
    worker = Worker(database)
    job = plan(database, total=2, size=1)
    worker.commit(claim(database), [0])
    worker.commit(claim(database), [1])
    retry(database, job, [0, 1], (ImageStatus.OK,))
    worker.commit(claim(database), [0, 1])
    gone, *_ = worker.parts

    def outage(part_id: str) -> Part:
        raise Transient("the bucket is away")

    def without(part_id: str) -> Part:
        if part_id == gone:
            raise NotFound("no such object")
        return worker.read(part_id)

    with pytest.raises(Transient):
        ledger.settle_masks(database, job, outage)
    assert queries.count_masks_due(database, job) == 2
    assert ledger.settle_masks(database, job, without) == 1
    assert queries.count_masks_due(database, job) == 1
    assert ledger.settle_masks(database, job, worker.read) == 0
    assert queries.mean_masks(database, job) == worker.recount(job)


def test_rows_that_another_task_settles_meanwhile_keep_no_others_due(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two reports at once the second began at other rows. Of a part of which the first had settled some, it left all
    the others due, and said that nothing was."""
    worker = Worker(database)
    job = plan(database, total=4, size=4)
    worker.commit(claim(database), [0, 1, 2, 3])
    retry(database, job, [0, 1, 2, 3], (ImageStatus.OK,))
    worker.commit(claim(database), [0, 1, 2, 3])
    assert queries.count_masks_due(database, job) == 4
    meanwhile: list[str] = []

    def read(part_id: str) -> Part:
        if not meanwhile:
            meanwhile.append(part_id)
            with monkeypatch.context() as patched:
                patched.setattr(mean_masks, "_BATCH", 2)
                with pytest.raises(InterruptedError):
                    ledger.settle_masks(database, job, worker.read, ends_at_second())
        return worker.read(part_id)

    assert ledger.settle_masks(database, job, read) == 0
    assert queries.count_masks_due(database, job) == 0
    assert queries.mean_masks(database, job) == worker.recount(job)


def ends_at_second() -> Callable[[], None]:
    """A check that ends the task when it is called again."""
    calls: list[int] = []

    def check() -> None:
        calls.append(len(calls))
        if len(calls) > 1:
            raise InterruptedError

    return check


def test_random_retries_prefixes_cancels_and_merges_end_in_the_masks_of_the_current_results(
    database: Database,
) -> None:
    for seed in range(6):
        draw = random.Random(seed)
        worker = Worker(database)
        job = plan(database, total=8, size=3)
        for _ in range(3):
            status = draw.choice([ImageStatus.OK, ImageStatus.ERROR, ImageStatus.NOT_SETTLED])
            held = claim(database)
            worker.commit(held, list(range(held.start, held.stop)), status)
            if draw.random() < 0.5:
                ledger.merge_sums(database, job)
        for generation in range(3):
            numbers = sorted(draw.sample(range(8), draw.randint(2, 6)))
            retry(database, job, numbers, tuple(ImageStatus))
            held = claim(database)
            done = numbers[: draw.randint(1, len(numbers))]
            worker.commit(held, done, draw.choice([ImageStatus.OK, ImageStatus.EMPTY]))
            if len(done) < len(numbers):
                assert ledger.cancel_job(database, job)
            if draw.random() < 0.6 or generation == 2:
                ledger.settle_masks(database, job, worker.read)
                assert queries.mean_masks(database, job) == worker.recount(job)
            if draw.random() < 0.5:
                ledger.merge_sums(database, job)
        ledger.finish_jobs(database)
        ledger.delete_job(database, job)
        assert not queries.mean_masks(database, job)


def test_carried_masks_are_added_once_and_subtracted_when_they_are_replaced(database: Database) -> None:
    worker = Worker(database)
    first = plan(database, total=4, size=4)
    worker.commit(claim(database), [0, 1, 2, 3])
    ledger.finish_jobs(database)
    second = submit(database)
    planner = claim_task(database, ControlKind.PLAN)
    for _ in range(2):
        assert ledger.carry(database, planner, "m", first, 0, [3, 1], [{}, {}]) == "carried"
    assert queries.count_masks_due(database, second) == 2
    assert not queries.mean_masks(database, second)
    for _ in range(2):
        assert ledger.settle_masks(database, second, worker.read) == 0
        assert queries.mean_masks(database, second) == worker.recount(second)
    rows = worker.stored(second)
    with database.begin() as connection:
        owe_replaced(connection, sa.and_(tables.results.c.job_id == second, tables.results.c.row == 0))
    ledger.settle_masks(database, second, worker.read)
    ledger.merge_sums(database, second)
    assert queries.mean_masks(database, second) == MeanMasks.of(rows[1:])


def test_results_of_earlier_versions_are_not_subtracted(database: Database) -> None:
    """Their masks were never counted."""
    worker = Worker(database)
    job = plan(database, total=2, size=2)
    worker.commit(claim(database), [0, 1])
    with database.begin() as connection:
        connection.execute(sa.update(tables.parts).values(masks_counted=False))
        connection.execute(sa.update(tables.result_sums).values(masks=None))
    retry(database, job, [0], (ImageStatus.OK,))
    rows = worker.commit(claim(database), [0])
    assert queries.count_masks_due(database, job) == 0
    assert queries.mean_masks(database, job) == MeanMasks.of(rows)
