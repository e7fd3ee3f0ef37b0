"""A lost database costs no computing: jobs come back from `job.json`, `committed.json` and the parts.

    for rebuilt in rebuild(database, bucket): ...

The database must be empty of the jobs in question (`gfi db upgrade` on a new one); what is there already is left
alone. A part is taken when its SHA-256 is the one `committed.json` lists. Parts that no list names — the job
was not finished, or a worker died between upload and commit — are taken as well where they fill a gap: they are
whole, name what made them, and an image's mask does not depend on which attempt it came from. What is covered by
nothing is pending again, and such a job is paused until someone resumes it.
"""

import io
import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import pyarrow.parquet as pq

from gfi.domain.ids import new_id
from gfi.domain.records import ResultRecord
from gfi.store import parts
from gfi.store.database import Database
from gfi.store.errors import NotFound, StoreError, Transient
from gfi.store.ledger.restoring import begin_restore, end_restore, restore_part
from gfi.store.objects import Bucket, Object
from gfi.store.parts import Part, parse_part_key
from gfi.store.queries.jobs import CommittedPart

_SHARD = 64


@dataclass(frozen=True)
class Rebuilt:
    """A job that was written back. images: in its manifest; missing: of them, pending again;
    lost: keys of listed parts that are gone or damaged.
    """

    job_id: str
    images: int
    missing: int
    parts: int
    lost: tuple[str, ...]


def rebuild(db: Database, bucket: Bucket) -> Iterator[Rebuilt]:
    """Write back every job of the bucket that the ledger does not know, one after the other."""
    for found in bucket.list("jobs/"):
        if found.key.endswith("/job.json") and found.key.count("/") == 2:
            job = json.loads(bucket.get(found.key))
            if begin_restore(db, job):
                yield _rebuild(db, bucket, job)


def _rebuild(db: Database, bucket: Bucket, job: dict[str, Any]) -> Rebuilt:
    job_id = job["job"]
    listed = _committed(bucket, job_id)
    lost: list[str] = []
    taken = longest = 0
    for part in listed:
        try:
            read = parts.read(bucket.get(part.key), part.sha256)
        except Transient:
            raise
        except StoreError:
            lost.append(part.key)
            continue
        taken += restore_part(
            db, part, _generation(part.shard_id, job_id), read.header.profile, _records(read)
        )
        longest = max(longest, part.stop - part.start)
    known = {part.key for part in listed}
    # By retry: what a later one did must stay current.
    unlisted = sorted(
        (_generation(shard_id, job_id), found.key, found)
        for found in bucket.list(f"parts/{job_id}/")
        if found.key not in known and (shard_id := _shard_of(found.key)) is not None
    )
    latest = max((_generation(part.shard_id, job_id) for part in listed), default=0)
    for generation, key, found in unlisted:
        if 0 < generation < latest:
            continue  # a later retry has gone over its rows
        data = bucket.get(key)
        try:
            read = parts.read(data, None)
            listing = _listing(bucket, read, generation, job["manifest"]["count"])
        except Transient:
            raise
        except StoreError:
            continue  # half an upload, or of a retry whose manifest is gone
        manifest_key = read.header.manifest_key if generation else job["manifest"]["key"]
        part_ = _unlisted(found, read, parts.sha256(data), listing, manifest_key)
        if part_ is not None:
            taken += restore_part(db, part_, generation, read.header.profile, _records(read))
    missing = end_restore(db, job_id, longest or _SHARD)
    return Rebuilt(job_id, job["manifest"]["count"], missing, taken, tuple(lost))


def _committed(bucket: Bucket, job_id: str) -> list[CommittedPart]:
    try:
        listed = json.loads(bucket.get(f"jobs/{job_id}/committed.json"))["parts"]
    except NotFound:
        return []
    names = {each.name for each in fields(CommittedPart)}
    found = [CommittedPart(**{k: v for k, v in part.items() if k in names}) for part in listed]
    return sorted(found, key=lambda part: part.id)


def _generation(shard_id: str, job_id: str) -> int:
    """The retry a shard belongs to, from its id: `{job}-{start}` or `{job}-r{generation}-{start}`."""
    first, dash, _ = shard_id.removeprefix(f"{job_id}-").partition("-")
    return int(first[1:]) if dash and first.startswith("r") else 0


def _shard_of(key: str) -> str | None:
    parsed = parse_part_key(key)
    return parsed and parsed[1]


def _listing(bucket: Bucket, read: Part, generation: int, count: int) -> Sequence[int]:
    """The rows that a part's manifest lists: all of the job's, or those that a retry has collected."""
    if not generation:
        return range(count)
    manifest = pq.read_table(io.BytesIO(bucket.get(read.header.manifest_key)), columns=["row"])
    rows: list[int] = manifest["row"].to_pylist()
    return rows


def _unlisted(
    found: Object, read: Part, sha256: str, listing: Sequence[int], manifest_key: str
) -> CommittedPart | None:
    """What the commit of this part would have recorded; None when its rows are no stretch of its manifest."""
    rows = sorted({row.row for row in read.rows()})
    start = bisect_left(listing, rows[0]) if rows else 0
    stop = start + len(rows)
    if not rows or rows != [*listing[start:stop]]:
        return None
    return CommittedPart(
        id=new_id(),
        job_id=read.header.job_id,
        shard_id=read.header.shard_id,
        fence=read.header.fence,
        key=found.key,
        sha256=sha256,
        bytes=found.size,
        rows=len(read),
        manifest_key=manifest_key,
        start=start,
        stop=stop,
        created_at=found.modified,
    )


def _records(read: Part) -> list[ResultRecord]:
    names = [each.name for each in fields(ResultRecord) if each.name != "part_row"]
    return [
        ResultRecord(**{name: getattr(row, name) for name in names}, part_row=place)
        for place, row in enumerate(read.rows())
    ]
