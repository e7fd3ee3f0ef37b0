"""Rebuild a lost database from the bucket: from `job.json`, `committed.json` and the parts. No mask is computed again.

    for rebuilt in rebuild(database, bucket): ...

Jobs that the database knows are not touched; a new database is made by `gfi db upgrade`. A part that
`committed.json` lists is taken when it has the listed SHA-256. A part that no list names is also used if it fills a
gap; such parts exist if the job had not ended or a worker died between upload and commit. It is complete and names what
produced it, and the mask of an image does not depend on the attempt. Images that no part covers are pending again, and
a job with such images is paused until a person resumes it.
"""

import io
import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import pyarrow.parquet as pq
import structlog

from gfi.domain.ids import new_id
from gfi.domain.manifest_columns import typed
from gfi.domain.records import CommittedPart
from gfi.store import parts
from gfi.store.database import Database
from gfi.store.errors import NotFound, StoreError, Transient, one_line
from gfi.store.ledger.audits import restore_audit
from gfi.store.ledger.carrying import PIECE, restore_carried
from gfi.store.ledger.restoring import begin_restore, end_restore, restore_part
from gfi.store.ledger.shards import generation_of
from gfi.store.objects import Bucket, Object
from gfi.store.parts import Part, parse_part_key

log = structlog.get_logger(__name__)
_SHARD = 64


@dataclass(frozen=True)
class Rebuilt:
    """A job that was rebuilt.

    images: number in its manifest. missing: how many of them are pending again. parts: how many were taken.
    lost: keys of listed parts that are gone or damaged. error: why it could not be rebuilt; it is tried again by the
    next rebuild.
    """

    job_id: str
    images: int
    missing: int
    parts: int
    lost: tuple[str, ...]
    error: str | None = None


def rebuild(db: Database, bucket: Bucket) -> Iterator[Rebuilt]:
    """Rebuild every job of the bucket that the ledger does not know, one after the other.

    Only an outage of bucket or database (Transient) ends it; a job that cannot be rebuilt does not stop the next.
    """
    for listed in bucket.list("jobs/"):
        if listed.key.endswith("/job.json") and listed.key.count("/") == 2:
            try:
                job = json.loads(bucket.get(listed.key))
                rebuilt = _rebuild(db, bucket, job) if begin_restore(db, job) else None
            except Transient:
                raise
            except Exception as error:
                log.warning("job not rebuilt", key=listed.key, exc_info=error)
                reason = f"{type(error).__name__}: {one_line(error)}"
                rebuilt = Rebuilt(listed.key.split("/")[1], 0, 0, 0, (), reason)
            if rebuilt is not None:
                yield rebuilt


def _rebuild(db: Database, bucket: Bucket, job: dict[str, Any]) -> Rebuilt:
    job_id = job["job"]
    listed = _committed(bucket, job_id)
    lost: list[str] = []
    taken = longest = 0
    latest = max((generation_of(part.shard_id, job_id) for part in listed), default=0)
    # The first attempt before its retries, so that the results of the last retry stay current; within each, committed
    # parts before parts that were only uploaded.
    found: list[tuple[int, CommittedPart | Object]] = [
        *_listed(listed, job_id),
        *_unlisted(bucket, job_id, {part.key for part in listed}, latest),
    ]
    carried = False
    for generation, part in sorted(found, key=lambda one: one[0]):
        if generation and not carried:  # a retry replaces carried results too
            carried = _restore_carried(db, bucket, job)
        if isinstance(part, CommittedPart):
            try:
                read = parts.read(bucket.get(part.key), part.sha256)
            except Transient:
                raise
            except StoreError:
                lost.append(part.key)
                continue
            longest = max(longest, part.stop - part.start)
            taken += restore_part(db, part, generation, read.header.profile, read.results())
        else:
            taken += _restore_upload(db, bucket, job, part, generation)
    if not carried:
        _restore_carried(db, bucket, job)
    missing = end_restore(db, job_id, longest or _SHARD)
    _restore_audits(db, bucket, job_id)
    return Rebuilt(job_id, job["manifest"]["count"], missing, taken, tuple(lost))


def _restore_carried(db: Database, bucket: Bucket, job: dict[str, Any]) -> bool:
    """Carry the results of an incremental job over again, from the earlier job, which was rebuilt before it.

    Where that is gone, the images are explained again. Always True.
    """
    since = (job.get("facts") or {}).get("since")
    if not since:
        return True
    manifest_key = job["manifest"]["key"]
    from_rows = pq.read_table(io.BytesIO(bucket.get(since["from_rows"])))["from_row"].to_pylist()
    from_rows = from_rows[since["verify"] :]
    listing = pq.ParquetFile(io.BytesIO(bucket.get(manifest_key)))
    kinds = json.loads((listing.schema_arrow.metadata or {}).get(b"columns", b"{}"))
    extras = listing.read(columns=["extra"])["extra"].slice(since["explained"])
    for at in range(0, len(from_rows), PIECE):
        rows = from_rows[at : at + PIECE]
        columns = [typed(json.loads(extra), kinds) for extra in extras.slice(at, len(rows)).to_pylist()]
        start = since["explained"] + at
        restore_carried(db, job["job"], manifest_key, since["job"], start, rows, columns)
    return True


def _restore_audits(db: Database, bucket: Bucket, job_id: str) -> None:
    """The audits of a job that are done, with what people decided. A damaged file costs its audit alone.

    An outcome that only a claim names may never have been committed: its audit is restored as it was before, so that
    `gfi audit confirm` goes on from there; one that was not screened is requested anew.
    """
    for folder, file in _outcomes(bucket, job_id).items():
        try:
            stored = json.loads(bucket.get(file.key))
            if not file.key.endswith("/audit.json"):
                if stored["audit"]["screened_at"] is not None:
                    restore_audit(db, stored["audit"], [])
                continue
            try:
                decided = json.loads(bucket.get(f"{folder}/decisions.json"))
            except NotFound:
                decided = {"findings": {}}
            values = stored["audit"] | {"summary": stored["summary"], "done_at": file.modified}
            rows = [
                row
                | {"audit_id": values["id"], "position": position}
                | decided["findings"].get(row["id"], {})
                for position, row in enumerate(stored["findings"])
            ]
            restore_audit(db, values, rows)
        except Transient:
            raise
        except Exception as error:
            log.warning("audit not rebuilt", key=file.key, exc_info=error)


def _outcomes(bucket: Bucket, job_id: str) -> dict[str, Object]:
    """The outcome of each audit of a job, by folder: `audit.json`; or the newest of those that are named for claims,
    where a worker died before that file."""
    found: dict[str, Object] = {}
    for file in bucket.list(f"audits/{job_id}/"):
        folder, _, name = file.key.rpartition("/")
        if not (name == "audit.json" or (name.startswith("audit-") and name.endswith(".json"))):
            continue
        known = found.get(folder)
        if known is None or (name == "audit.json", file.modified) > (
            known.key.endswith("/audit.json"),
            known.modified,
        ):
            found[folder] = file
    return found


def _listed(listed: Sequence[CommittedPart], job_id: str) -> Iterator[tuple[int, CommittedPart]]:
    for part in listed:
        yield generation_of(part.shard_id, job_id), part


def _unlisted(bucket: Bucket, job_id: str, known: set[str], latest: int) -> Iterator[tuple[int, Object]]:
    """Uploads that no list names. Of retries only the last, because it replaced the rows of the others."""
    for upload in sorted(bucket.list(f"parts/{job_id}/"), key=lambda upload: (upload.modified, upload.key)):
        if upload.key in known or (shard_id := _shard_of(upload.key)) is None:
            continue
        generation = generation_of(shard_id, job_id)
        if not 0 < generation < latest:
            yield generation, upload


def _restore_upload(
    db: Database, bucket: Bucket, job: dict[str, Any], upload: Object, generation: int
) -> bool:
    data = bucket.get(upload.key)
    try:
        read = parts.read(data, None)
        listing = _listing(bucket, read, generation, job["manifest"]["count"])
    except Transient:
        raise
    except StoreError:
        return False  # an incomplete upload, or part of a retry whose manifest is gone
    manifest_key = read.header.manifest_key if generation else job["manifest"]["key"]
    committed = _as_committed(upload, read, parts.sha256(data), listing, manifest_key)
    if committed is None:
        return False
    return restore_part(db, committed, generation, read.header.profile, read.results())


def _committed(bucket: Bucket, job_id: str) -> list[CommittedPart]:
    try:
        listed = json.loads(bucket.get(f"jobs/{job_id}/committed.json"))["parts"]
    except NotFound:
        return []
    names = {field.name for field in fields(CommittedPart)}
    committed = [CommittedPart(**{k: v for k, v in part.items() if k in names}) for part in listed]
    # Ordered by this time, from the database's clock: an id has the time of its worker's clock, which may be ahead.
    return sorted(committed, key=lambda part: (part.created_at, part.fence, part.key))


def _shard_of(key: str) -> str | None:
    parsed = parse_part_key(key)
    return parsed and parsed[1]


def _listing(bucket: Bucket, read: Part, generation: int, count: int) -> Sequence[int]:
    """The rows in the manifest of a part: all rows of the job, or those that a retry collected."""
    if not generation:
        return range(count)
    manifest = pq.read_table(io.BytesIO(bucket.get(read.header.manifest_key)), columns=["row"])
    rows: list[int] = manifest["row"].to_pylist()
    return rows


def _as_committed(
    upload: Object, read: Part, sha256: str, listing: Sequence[int], manifest_key: str
) -> CommittedPart | None:
    """The record that a commit of this part would have made; None if its rows are not contiguous."""
    rows = sorted({result.row for result in read.results()})
    start = bisect_left(listing, rows[0]) if rows else 0
    stop = start + len(rows)
    if not rows or rows != [*listing[start:stop]]:
        return None
    return CommittedPart(
        id=new_id(),
        job_id=read.header.job_id,
        shard_id=read.header.shard_id,
        fence=read.header.fence,
        key=upload.key,
        sha256=sha256,
        bytes=upload.size,
        rows=len(read),
        manifest_key=manifest_key,
        start=start,
        stop=stop,
        created_at=upload.modified,
    )
