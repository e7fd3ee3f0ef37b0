"""The verification task of an audit: explains a sample of its images again and compares the masks bit by bit."""

import hashlib
from collections import Counter
from collections.abc import Iterator

import numpy as np

from gfi.domain.result import Result
from gfi.jobs.task_run import TaskRun
from gfi.method.item import Item
from gfi.store import queries
from gfi.store.part_cache import PartCache
from workers.photographs import photograph_reader
from workers.services import WorkerServices

FEWEST = 8
MOST = 1000


def verify_audit(services: WorkerServices, run: TaskRun) -> str:
    """Explain a share of a job's images again under its frozen profile. The result counts masks that are equal in every
    bit, and names those that are not."""
    audit = queries.get_audit(services.database, str(run.claim.payload["audit"]))
    job = queries.get_job(services.database, audit.job_id)
    chosen = _sample(services, job, float(run.claim.payload["share"]), audit.secret)
    engine = services.engines.get(run.claim.config, job.profile)
    run.progressed(done=0, total=len(chosen))
    read = photograph_reader(services.source(job.config.dataset.spec), engine, overlays=False, boxes=False)
    manifest = services.manifest(job.manifest_key or "", job.manifest_digest)
    stored = {(result.row, result.target_rank): result for result in chosen}
    of_row: dict[int, list[Result]] = {}
    for result in chosen:
        of_row.setdefault(result.row, []).append(result)
    cache = PartCache(services.database, services.bucket)
    counts: Counter[str] = Counter()
    different: list[int] = []
    largest = 0.0

    def items() -> Iterator[Item]:
        for entry in manifest.pick(sorted(of_row)):
            run.check()
            photograph = read(entry)
            run.progressed()
            if photograph.prepared is None:
                counts["unusable"] += len(of_row[entry.row])
                continue
            for result in of_row[entry.row]:
                name = result.row, result.target_rank
                yield Item(name, photograph.prepared, target=result.target, foil=job.config.foil)

    for explanation in engine.explain_many(items(), lambda _: run.progressed()):
        run.check()
        before = cache.explanation(stored[explanation.key])
        assert before is not None
        assert before.result.grid is not None
        gap = np.abs(explanation.grid - before.result.grid)
        same = explanation.grid.tobytes() == before.result.grid.tobytes()
        counts["equal" if same else "different"] += 1
        if not same:
            different.append(explanation.key[0])
            largest = max(largest, float(gap.max()))
        run.progressed(done=sum(counts.values()), total=len(chosen))
    profile = engine.profile.to_json()
    found = {
        "audit": audit.id,
        "sampled": len(chosen),
        **{name: counts[name] for name in ("equal", "different", "unusable")},
        "rows": sorted(set(different))[:100],
        "largest_difference": largest,
        "same_profile": job.profile is None or profile == job.profile,
    }
    return "verified" if run.finish(found) else "too late"


def _sample(services: WorkerServices, job: queries.Job, share: float, secret: str) -> list[Result]:
    """The results with the smallest keyed hash of their key: at least eight, at most a thousand. Of several classes of
    an image the first counts; in a job that explains labels, each."""
    ranked: list[tuple[int, int, int]] = []
    for page in queries.iterate_columns(services.database, job.id, ("row", "target_rank", "key", "part_id")):
        for row, rank, key, part_id in page:
            if (rank == 0 or job.config.each_label) and part_id is not None:
                digest = hashlib.blake2b(str(key).encode(), digest_size=8, key=secret.encode()[:64]).digest()
                ranked.append((int.from_bytes(digest), row, rank))
    number = min(MOST, max(FEWEST, round(share * len(ranked))))
    found = (
        queries.get_result(services.database, job.id, row, target_rank=rank)
        for _, row, rank in sorted(ranked)[:number]
    )
    return [result for result in found if result is not None and result.has_mask]
