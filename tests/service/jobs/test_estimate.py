"""The plan of a job: where its time comes from, what it costs, and whether its bytes are those of a run."""

import dataclasses
import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import sqlalchemy as sa

from gfi import samples
from gfi.datasets.listing import Listed
from gfi.datasets.sources import Source
from gfi.domain import costs
from gfi.domain.costs import Prices
from gfi.domain.job import work_digest
from gfi.domain.pixel_properties import PROPERTIES
from gfi.domain.presets import PRESETS
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from gfi.jobs.estimate import Estimate, count, estimate
from gfi.jobs.submit import JobRequest, freeze
from gfi.store import ledger
from gfi.store.database import Database
from gfi.store.objects import Bucket
from gfi.store.settings import Settings
from tests.service.jobs.finished import finished_job
from tests.service.model_record import RECORD

REQUEST = JobRequest(
    dataset=str(samples.path()), model="net", preset="paper", metrics=("deletion", "entropy")
)
BIG = RECORD | {"flops": 4_000_000_000, "activations": 10_000_000, "parameters": 25_000_000}


def plan(
    database: Database, images: int = 6_000, request: JobRequest = REQUEST, record: Any = BIG, **how: Any
) -> Estimate:
    ledger.save_model(database, "net", record["digest"], record, actor="test")
    config = freeze(database, Settings(), request)
    return estimate(database, Settings(), config, images, True, **how)


def rate(
    database: Database, images_per_s: float, *metrics: str, preset: str = "paper", kind: str = "cpu"
) -> None:
    """What `gfi bench` or a job stores for this work."""
    config = freeze(database, Settings(), REQUEST)
    method = PRESETS[preset].digest()
    digest = work_digest(config.model.digest, method, config.layers, sorted(metrics))
    ledger.save_rate(database, digest, kind, images_per_s)


def test_a_network_that_never_ran_has_a_range_with_its_reason(registered: Database) -> None:
    expected = plan(registered)
    assert expected.images_per_s is expected.device_seconds is None
    speed = expected.speed
    assert speed is not None
    assert (speed.device_kind, speed.source) == ("cpu", "range")
    passes = costs.passes(PRESETS["paper"]) + 29
    low, high = costs.CPU_FLOPS
    assert (speed.low, speed.high) == (low / passes / 4e9, high / passes / 4e9)
    assert "never measured: 4 billion operations a pass" in speed.reason
    assert expected.device_seconds_low == pytest.approx(6_000 / speed.high)
    assert expected.device_seconds_high == pytest.approx(6_000 / speed.low)
    assert any("gfi bench net" in note for note in expected.notes)


def test_a_record_of_an_earlier_version_gives_no_time_and_says_why(registered: Database) -> None:
    expected = plan(registered, record=RECORD, workers=3, deadline_s=60)
    assert expected.speed is expected.device_seconds_low is expected.worker_bytes is None
    assert expected.workers == ()
    assert expected.workers_for_deadline is expected.device_usd is None
    assert "gfi bench net" in expected.notes[0]
    assert expected.database_bytes > 0


def test_rates_of_the_bench_are_added_up(registered: Database) -> None:
    plan(registered)  # registers the model
    rate(registered, 0.5)
    scaled = plan(registered).speed
    assert scaled is not None
    assert scaled.source == "scaled"  # the time of deletion is not known yet
    rate(registered, 0.4, "deletion")
    speed = plan(registered).speed
    assert speed is not None
    assert (speed.source, speed.device_kind) == ("composed", "cpu")
    assert speed.low == speed.high == pytest.approx(0.4)  # entropy needs no network
    both = REQUEST.model_copy(update={"metrics": ("deletion", "insertion")})
    rate(registered, 0.25, "insertion")
    speed = plan(registered, request=both).speed
    assert speed is not None
    assert speed.low == pytest.approx(1 / (1 / 0.5 + (1 / 0.4 - 1 / 0.5) + (1 / 0.25 - 1 / 0.5)))
    three = plan(registered, request=REQUEST.model_copy(update={"top": 2})).speed
    assert three is not None
    assert three.low == pytest.approx(0.4 / 2)


def test_what_jobs_measured_comes_first_and_the_slowest_kind_of_device_counts(registered: Database) -> None:
    plan(registered)
    rate(registered, 9.0)
    rate(registered, 9.0, "deletion")
    rate(registered, 2.0, "deletion", "entropy")
    rate(registered, 50.0, "deletion", "entropy", kind="cuda:H200")
    expected = plan(registered)
    assert expected.images_per_s == 2.0
    assert expected.device_seconds == 3_000
    assert expected.per_device_kind == {"cpu": 2.0, "cuda:H200": 50.0}
    assert expected.speed is not None
    assert (expected.speed.source, expected.speed.low) == ("measured", 2.0)


def test_another_preset_of_the_network_gives_a_narrower_range(registered: Database) -> None:
    chosen = RECORD["chosen"]["paper"]
    record = BIG | {"chosen": {"paper": chosen, "tuned": chosen}}
    plan(registered, record=record)
    rate(registered, 1.0, preset="tuned")
    speed = plan(registered, record=record).speed
    assert speed is not None
    expected = costs.passes(PRESETS["tuned"]) / (costs.passes(PRESETS["paper"]) + 29)
    assert speed.source == "scaled"
    assert speed.low == pytest.approx(expected / costs.SCALED)
    assert speed.high == pytest.approx(expected * costs.SCALED)
    assert "preset tuned" in speed.reason


def test_the_time_for_workers_and_the_workers_for_a_deadline_agree(registered: Database) -> None:
    plan(registered)
    rate(registered, 2.0, "deletion", "entropy")
    # 6,000 images at 2 a second: 3,000 s in 50 shards of 120 images and 60 s.
    expected = plan(registered, workers=7)
    assert expected.shards == 50
    assert expected.workers[0].seconds_low == expected.workers[0].seconds_high == 8 * 60
    for deadline, workers in ((480, 7), (479, 8), (3_000, 1), (60, 50), (59, None)):
        needed = plan(registered, deadline_s=deadline).workers_for_deadline
        assert needed == (workers, workers)
        if workers is not None:
            assert plan(registered, workers=workers).workers[0].seconds_high <= deadline
        if workers is not None and workers > 1:
            assert plan(registered, workers=workers - 1).workers[0].seconds_high > deadline
    assert any("no number of workers" in note for note in plan(registered, deadline_s=59).notes)
    # Workers that find no piece do not shorten it.
    assert plan(registered, workers=500).workers[0].seconds_low == 60
    assert plan(registered, images=0, workers=2, deadline_s=5).workers_for_deadline == (1, 1)


def test_costs_follow_from_prices(registered: Database) -> None:
    plan(registered)
    rate(registered, 2.0, "deletion", "entropy")
    prices = Prices(device_hour=3.6, storage=1.0, put=1000.0, get=7.0)
    expected = plan(registered, prices=prices)
    assert expected.device_usd == pytest.approx((3.0, 3.0))
    assert expected.put_requests == 50 + costs.JOB_PUTS
    assert expected.get_requests == 0
    assert expected.request_usd == pytest.approx(1.0 * expected.put_requests)
    assert expected.storage_usd_month == pytest.approx(expected.bucket_bytes / 1e9)
    assert plan(registered).device_usd is None
    saved = plan(registered, images=100, request=REQUEST.model_copy(update={"save": ("png", "npy")}))
    assert saved.put_requests == 1 + 200 + costs.JOB_PUTS
    assert saved.picture_bytes == 100 * (costs.PICTURE["png"] + costs.PICTURE["npy"])


def test_the_settings_have_prices_and_an_option_replaces_one() -> None:
    given = Settings.load({"GFI_PRICE_PUT": "0.01", "GFI_PRICE_DEVICE_HOUR": "2"}).prices
    assert given == Prices(device_hour=2.0, put=0.01)
    assert given.replaced(put=None, get=5.0) == Prices(device_hour=2.0, put=0.01, get=5.0)


def test_images_in_s3_are_listed_and_fetched(registered: Database) -> None:
    plan(registered)
    config = freeze(registered, Settings(), REQUEST)
    config = replace(config, dataset=dataclasses.replace(config.dataset, spec="s3://photographs", kind="s3"))
    expected = estimate(registered, Settings(), config, 2_500, True)
    assert expected.get_requests == 2_500
    shards = expected.put_requests - costs.JOB_PUTS - 3
    assert shards >= expected.shards


FACTOR = 1.6
"""Within which the bytes of the plan and of a run may differ: keys and masks are longer or shorter."""


def realistic(count: int) -> list[Result]:
    """Results as a network with a grid of 14×14 gives."""
    random = np.random.default_rng(0)
    made = []
    for row in range(count):
        label = (
            f"n{random.integers(20):08d}"  # few classes: what is kept of a class does not grow with images
        )
        numbers = [float(number) for number in random.random(8)]
        made.append(
            Result(
                row=row,
                key=f"train/{label}/{label}_{row}.JPEG",
                version=f"{int(random.integers(2**62)):032x}",
                status=ImageStatus.OK,
                label=label,
                target=int(random.integers(1000)),
                prediction=int(random.integers(1000)),
                iterations=int(20 + 80 * numbers[0]),
                probability=numbers[1],
                kept=numbers[2],
                removed=numbers[3],
                area=numbers[4],
                grid=random.random((14, 14)).astype(np.float32),
                original_size=(375, 500),
                box=(0.0, 0.0, 500.0, 375.0),
                metrics={"deletion": numbers[5], "insertion": numbers[6], "average_drop": numbers[7]},
                pixels={name: float(np.float32(random.random())) for name in PROPERTIES},
                thumbnail=random.bytes(1_200),
                features=random.standard_normal(256).astype(np.float16),
            )
        )
    return made


def test_counting_stops_after_one_image_that_took_long() -> None:
    images = (Listed(f"IM1#{number}", 0, "") for number in itertools.count(1))
    source = SimpleNamespace(kind="folder", list=lambda notes: images)
    assert count(cast(Source, source), seconds=-1) == (1, False)


class Sizes:
    """Keeps the sizes of what is put, in place of a bucket."""

    def __init__(self) -> None:
        self.stored: list[int] = []

    def put(self, key: str, data: bytes) -> None:
        self.stored.append(len(data))


def test_the_bytes_of_a_plan_are_those_of_a_run(registered: Database) -> None:
    images, bucket = 1_200, Sizes()
    before = _database_bytes(registered)
    finished_job(registered, cast(Bucket, bucket), realistic(images), shard=300)
    stored = sum(bucket.stored)
    grown = _database_bytes(registered) - before
    record = RECORD | {
        "layers": [
            {"name": "conv", "type": "Conv2d", "shape": [4, 14, 14], "rectified": True},
            RECORD["layers"][1],
        ]
    }
    expected = plan(registered, images, record=record)
    bare = REQUEST.model_copy(update={"thumbnails": False, "features": "none"})
    assert expected.bucket_bytes - plan(registered, images, bare, record).bucket_bytes == images * (
        1_230 + 490
    )
    assert expected.bucket_bytes / FACTOR < stored < expected.bucket_bytes * FACTOR
    assert expected.database_bytes / FACTOR < grown < expected.database_bytes * FACTOR


def _database_bytes(database: Database) -> int:
    """Of the tables and indexes that grow with results."""
    with database.read() as connection:
        if connection.dialect.name == "sqlite":
            pages = connection.execute(sa.text("PRAGMA page_count")).scalar_one()
            return int(pages * connection.execute(sa.text("PRAGMA page_size")).scalar_one())
        size = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'result%'"
        return int(connection.execute(sa.text(size)).scalar_one())


def test_the_plan_of_a_version_is_computed_from_that_version(database: Database) -> None:
    """It was computed from the newest, of another size."""
    one = plan(database)
    ledger.save_model(database, "net", "d9", BIG | {"digest": "d9", "flops": 4_000_000}, actor="test")
    config = freeze(database, Settings(), REQUEST.model_copy(update={"model": "net@1"}))
    assert estimate(database, Settings(), config, 6_000, True) == one
