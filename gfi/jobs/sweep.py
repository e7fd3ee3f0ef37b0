"""The sweep: delete parts to which no result refers and which no worker can commit any more.

Only the ledger decides that (`gfi.store.queries.judge_parts`): a part is an orphan when its shard has ended or has been
claimed under a higher fence. Objects that the ledger does not know are reported and never deleted, and objects younger
than the safe age are kept, so that a sweep is safe while workers run. The scheduler requests one every `sweep_every_s`.

Files of models are swept too, once no version names them, and files that deleted jobs have left.

    orphan    uploaded by a worker that lost its lease, or left by a deleted job: deleted
    held      its worker may still commit it: left
    unknown   belongs to no job of this ledger: reported, left
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from gfi.store import queries
from gfi.store.database import Database
from gfi.store.model_store import PREFIX
from gfi.store.objects import Bucket, Object
from gfi.store.others_go_on import others_go_on

SAFE_AGE_S = 3600.0
PAGE = 1000
JOB_FILES = ("jobs/", "audits/")
"""The folders that have a folder for each job."""
EXAMPLES = 20
_DELETED_AT_ONCE = 100


@dataclass
class Swept:
    """The findings of a sweep. counts: parts by verdict; bytes: of the orphans; unknown: some keys, as examples;
    model_files: files of models that no version needs. job_files: files of deleted jobs, without their parts.
    """

    dry_run: bool
    counts: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    deleted: int = 0
    unknown: list[str] = field(default_factory=list)
    model_files: int = 0
    job_files: int = 0

    def to_json(self) -> dict[str, object]:
        """Ready for JSON."""
        return {**self.__dict__, "counts": dict(self.counts)}


def sweep_parts(
    database: Database,
    bucket: Bucket,
    *,
    safe_age_s: float = SAFE_AGE_S,
    dry_run: bool = True,
    check: Callable[[], None] = lambda: None,
) -> Swept:
    """Judge every part in the bucket; delete the orphans older than `safe_age_s`, by the bucket's own clock.

    Raises StoreError if the bucket or the ledger is away; objects deleted before that were orphans.
    """
    swept = Swept(dry_run)
    now = time.time() - bucket.clock_skew()
    for page in _pages(bucket.list("parts/")):
        check()
        verdicts = queries.judge_parts(database, [entry.key for entry in page])
        orphans = []
        for entry in page:
            verdict = verdicts[entry.key]
            if verdict == "orphan" and now - entry.modified < safe_age_s:
                verdict = "held"
            swept.counts[verdict] += 1
            if verdict == "orphan":
                swept.bytes += entry.size
                orphans.append(entry.key)
            elif verdict == "unknown" and len(swept.unknown) < EXAMPLES:
                swept.unknown.append(entry.key)
        if orphans and not dry_run:
            with others_go_on("orphans not deleted"):  # a store may lock an object
                swept.deleted += bucket.delete_many(orphans)
    return swept


def sweep_jobs(
    database: Database,
    bucket: Bucket,
    *,
    dry_run: bool = True,
    check: Callable[[], None] = lambda: None,
) -> int:
    """Delete the files that deleted jobs have left, but for their parts (`sweep_parts`). Returns their number.

    A planner or a report that was at work when its job was cancelled and deleted may write after the deletion, and a
    deletion during an outage of the bucket removes the rows alone. A `job.json` that stays would bring the job back in
    the next rebuild.
    """
    found = 0
    for prefix in JOB_FILES:
        folders = bucket.folders(prefix)
        while page := list(islice(folders, PAGE)):
            check()
            for job_id in sorted(queries.deleted_jobs(database, page)):
                keys = [entry.key for entry in bucket.list(f"{prefix}{job_id}/")]
                found += len(keys)
                if not dry_run:
                    with others_go_on("files of a deleted job not deleted", job=job_id):
                        bucket.delete_many(keys)
    return found


def sweep_models(
    database: Database, bucket: Bucket, *, safe_age_s: float = SAFE_AGE_S, dry_run: bool = True
) -> int:
    """Delete files of models that no version needs (`gfi.store.queries.needed_model_files`). Returns their number.

    A registration uploads before it writes its row, also what is there already; so an object is judged by its age at
    the moment before it is deleted. A job that is retried meanwhile may need a version that was removed; so what is
    needed is read again before each hundred deletions.
    """
    now = time.time() - bucket.clock_skew()
    old = [entry.key for entry in bucket.list(PREFIX) if now - entry.modified >= safe_age_s]
    needed = {PREFIX + sha256 for sha256 in queries.needed_model_files(database)}
    orphans = [key for key in old if key not in needed]
    if dry_run:
        return len(orphans)
    deleted = 0
    for at in range(0, len(orphans), _DELETED_AT_ONCE):
        some = orphans[at : at + _DELETED_AT_ONCE]
        entries = [entry for key in some if (entry := bucket.head(key)) is not None]
        needed = {PREFIX + sha256 for sha256 in queries.needed_model_files(database)}
        chosen = [
            entry.key for entry in entries if now - entry.modified >= safe_age_s and entry.key not in needed
        ]
        if chosen:
            with others_go_on("files of models not deleted"):
                deleted += bucket.delete_many(chosen)
    return deleted


def _pages(objects: Iterator[Object]) -> Iterator[list[Object]]:
    while page := list(islice(objects, PAGE)):
        yield page
