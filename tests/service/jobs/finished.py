"""Finished jobs with real parts, for tests that read masks."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from gfi.domain.ids import new_id
from gfi.domain.job import DatasetRef, JobConfig, ModelRef
from gfi.domain.layer_names import Layers
from gfi.domain.presets import recipe
from gfi.domain.records import PartRecord
from gfi.domain.result import Result
from gfi.store import ledger, parts
from gfi.store.database import Database
from gfi.store.objects import Bucket
from tests.service.model_record import RECORD
from tests.service.store.ledger_actors import claim, plan

CONFIG = JobConfig(
    dataset=DatasetRef("/data/animals", "folder"),
    model=ModelRef("net", "d" * 64),
    preset="paper",
    recipe=recipe("paper"),
    layers=Layers("conv", ("conv",)),
    target="auto",
)


def finished_job(
    database: Database,
    bucket: Bucket,
    results: Iterable[Result],
    *,
    weights: str = "d",
    profile: Mapping[str, Any] | None = None,
    shard: int = 50,
    **config: Any,
) -> str:
    """A job that has ended with these results, in shards of `shard` images. weights: the letter of which the digest
    consists."""
    rows = [replace(result, row=row) for row, result in enumerate(results)]
    made = replace(CONFIG, model=ModelRef("net", weights * 64), **config)
    spec = {"config": made.to_json(), "model": RECORD, "new": True}
    job = plan(database, total=len(rows), size=shard, **spec)
    ledger.freeze_profile(database, job, profile or {"device_kind": "cpu", "batch": 4}, "cpu")
    for _ in range(0, len(rows), shard):
        claimed = claim(database)
        part = parts.write(_header(claimed.job_id, claimed.shard_id), rows[claimed.start : claimed.stop])
        record = PartRecord(
            new_id(), f"parts/{job}/{new_id()}.parquet", part.sha256, len(part.data), part.rows
        )
        bucket.put(record.key, part.data)
        assert ledger.commit_shard(
            database, claimed, claimed.stop, record, rows[claimed.start : claimed.stop]
        )
    ledger.finish_jobs(database)
    return job


def _header(job: str, shard: str) -> parts.PartHeader:
    return parts.PartHeader(
        *(job, shard, 1, "d" * 64, "m" * 64, {}, {}, {}),
        align_corners=False,
        input_size=(56, 56),
        code_version="test",
    )
