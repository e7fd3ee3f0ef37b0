"""A lost database costs no computing: jobs come back from `job.json`, `committed.json` and the parts.

    for rebuilt in rebuild(database, bucket): ...

The database must be empty of the jobs in question (`gfi db upgrade` on a new one); what is there already is left
alone. A part is taken when its SHA-256 is the one `committed.json` lists. Parts that no list names — the job
was not finished, or a worker died between upload and commit — are taken as well where they fill a gap: they are
whole, name what made them, and an image's mask does not depend on which attempt it came from. What is covered by
nothing is pending again, and such a job is paused until someone resumes it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from store import parts
from store.database import Database
from store.errors import NotFound, StoreError, Transient
from store.ledger.restoring import begin_restore, end_restore, restore_part
from store.objects import Bucket, Object
from store.parts import Part, parse_part_key
from store.queries.jobs import CommittedPart
from store.records import ResultRecord, new_id

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
    for found in bucket.list(f"parts/{job_id}/"):
        if found.key in known or (parsed := parse_part_key(found.key)) is None:
            continue
        if _generation(parsed[1], job_id):
            continue  # of a retry that was not finished: its rows still have their first result
        data = bucket.get(found.key)
        try:
            read = parts.read(data, None)
        except StoreError:
            continue  # half an upload
        if (part_ := _unlisted(found, read, parsed, parts.sha256(data), job)) is not None:
            taken += restore_part(db, part_, 0, read.header.profile, _records(read))
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


def _unlisted(
    found: Object, read: Part, parsed: tuple[str, str, int], sha256: str, job: dict[str, Any]
) -> CommittedPart | None:
    """What the commit of this part would have recorded; None when its rows are no stretch of the manifest."""
    rows = sorted({row.row for row in read.rows()})
    if not rows or rows != list(range(rows[0], rows[-1] + 1)) or rows[-1] >= job["manifest"]["count"]:
        return None
    return CommittedPart(
        id=new_id(),
        job_id=parsed[0],
        shard_id=parsed[1],
        fence=parsed[2],
        key=found.key,
        sha256=sha256,
        bytes=found.size,
        rows=len(read),
        manifest_key=job["manifest"]["key"],
        start=rows[0],
        stop=rows[-1] + 1,
        created_at=found.modified,
    )


def _records(read: Part) -> list[ResultRecord]:
    names = [each.name for each in fields(ResultRecord) if each.name != "part_row"]
    return [
        ResultRecord(**{name: getattr(row, name) for name in names}, part_row=place)
        for place, row in enumerate(read.rows())
    ]
