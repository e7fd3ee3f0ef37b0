"""One shard from claim to commit: fetch, decode, explain, measure, pack, upload, commit.

    manifest rows → Readahead (threads) → engine (one fixed batch shape) → part → one transaction

What can go wrong, and what it costs:

    a photograph cannot be read or decoded   that row gets status `error` with the reason; nothing else
    the bucket or the database is away       retried inside the lease; then the shard is released without blame
    the lease is lost                        nothing is committed; a part already uploaded is an orphan for the sweep
    SIGTERM, cancel, pause                   the step ends, the finished prefix is committed, the rest is pending again
    out of memory on the device              the shard starts again with a smaller batch, a new execution profile
    a shard takes longer than planned        after `shard_seconds` its finished prefix is committed and the rest is
                                             pending again: other jobs get their turn and little is ever at risk
"""

import contextlib
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import structlog

from gfi import __version__
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.domain.digests import work_digest
from gfi.domain.errors import MethodError, OutOfMemory, Stopped
from gfi.domain.ids import new_id
from gfi.domain.records import PartRecord, ShardClaim
from gfi.method.engine import Engine, Item, Progress
from gfi.store import ledger, parts
from gfi.store.errors import NotFound, StoreError, Transient
from gfi.store.parts import PartHeader, PartRow
from workers import pictures
from workers.engines import ModelChanged
from workers.lease import Lease, LeaseLost
from workers.measure import Metrics
from workers.readahead import Readahead
from workers.rows import (
    Photograph,
    convicted_row,
    explained_row,
    reader,
    refused_row,
    result,
    without_contrast,
)
from workers.services import Services

log = structlog.get_logger(__name__)
Answer = TypeVar("Answer")

# A commit that meets a database in restart is repeated until the lease is gone; the pauses grow to this.
LONGEST_PAUSE_S = 5.0
REFUSED = "refused"
"""What `explain_shard` answers when the fault may be this worker's own: it should rest, not take the next shard."""
PICTURE_THREADS = 4
CANCELLATION_POLL_S = 1.0
"""How often a worker asks whether its job was cancelled or paused; a cancellation is promised within two seconds."""


def explain_shard(services: Services, claim: ShardClaim) -> str:
    """Explain one claimed shard; returns what became of it, for the log. Never raises for an expected fault."""
    settings = services.settings
    try:
        with Lease(
            services.database,
            claim,
            lease_s=settings.lease_s,
            poll_s=CANCELLATION_POLL_S,
            stall_s=settings.stall_s,
            shutdown=services.shutdown,
        ) as lease:
            return _explain(services, claim, lease)
    except LeaseLost as error:
        log.warning("lease lost", reason=str(error))
        _own_up(services, claim, lambda: ledger.release_shard(services.database, claim, "the lease was lost"))
        return "lost"
    except Unavailable as error:
        return _release(services, claim, "dataset unavailable", str(error), transient=True)
    except (ModelChanged, NotFound, DatasetError) as error:
        return _fail(services, claim, "model" if isinstance(error, ModelChanged) else "dataset", str(error))
    except Transient as error:
        return _release(services, claim, "store", str(error), transient=True)
    except StoreError as error:
        # Refusing this worker, perhaps it alone (its clock is wrong, its keys are old): another may do better.
        _release(services, claim, "store", str(error), transient=True)
        return REFUSED
    except OSError as error:
        # This machine's own: its disk is full, it has too many files open. (What the dataset's do is a DatasetError.)
        _release(services, claim, "machine", str(error), transient=True)
        return REFUSED
    except OutOfMemory as error:
        return _release(services, claim, "memory", str(error))
    except MethodError as error:
        return _fail(services, claim, "method", str(error))
    except Exception as error:
        # Ours, or the network's own (a shape it cannot take). The ledger gives up after a few, with this reason.
        log.exception("shard failed")
        return _release(services, claim, "internal", f"{type(error).__name__}: {error}")


def _fail(services: Services, claim: ShardClaim, kind: str, reason: str) -> str:
    """End the job, for every shard would meet the same model, layer or dataset; unless another worker is at work on
    it, which shows that it is this one that lacks them."""
    try:
        ended = ledger.fail_job(services.database, claim.job_id, reason, kind, worker=services.name)
    except StoreError as error:
        ended = False
        log.warning("the job could not be failed", reason=str(error))
    if ended:
        log.error("job failed", kind=kind, reason=reason)
        return _release(services, claim, kind, reason)
    _release(services, claim, kind, reason, transient=True)
    return REFUSED


def _release(
    services: Services, claim: ShardClaim, kind: str, reason: str, *, transient: bool = False
) -> str:
    log.warning("shard released", kind=kind, reason=reason)
    _own_up(
        services,
        claim,
        lambda: ledger.release_shard(
            services.database, claim, reason, failure_class=kind, transient=transient
        ),
    )
    return "released"


def _own_up(services: Services, claim: ShardClaim, release: Callable[[], bool]) -> None:
    """Give the shard back, or where it was taken already say that its worker lives.

    Without its database a worker has nothing else to do, so it waits for it: what it does not get to say would
    pass for its death, and the images in flight for suspects.
    """
    pause = 0.1
    while True:
        try:
            if not release():
                ledger.absolve(services.database, claim)
            return
        except Transient as error:
            log.warning("waiting to release", reason=str(error))
            if services.shutdown.wait(pause):
                return
            pause = min(2 * pause, LONGEST_PAUSE_S)
        except StoreError as error:
            log.warning("not released", reason=str(error))
            return


def _explain(services: Services, claim: ShardClaim, lease: Lease) -> str:
    engine = services.engines.get(claim.config, claim.profile)
    lease.beat()
    profile = claim.profile or _freeze_profile(services, claim, lease, engine)
    if profile != engine.profile.to_json():
        engine = services.engines.get(claim.config, profile)
        lease.beat()
    if claim.convicted is not None:
        return _Shard(services, claim, lease, engine).convict()
    while True:
        try:
            return _Shard(services, claim, lease, engine).run()
        except OutOfMemory as error:
            if error.suggested is None:
                raise
            log.warning("smaller batch", was=error.batch, batch=error.suggested)
            services.engines.shrink(claim.config, error.suggested)
            engine = services.engines.get(claim.config, profile)
            profile = _replace_profile(services, claim, lease, profile, engine)


def _freeze_profile(services: Services, claim: ShardClaim, lease: Lease, engine: Engine) -> dict[str, Any]:
    profile = engine.profile
    return _insist(
        lease,
        lambda: ledger.freeze_profile(
            services.database, claim.job_id, profile.to_json(), profile.device_kind
        ),
    )


def _replace_profile(
    services: Services, claim: ShardClaim, lease: Lease, old: dict[str, Any], engine: Engine
) -> dict[str, Any]:
    new = engine.profile.to_json()
    return _insist(lease, lambda: ledger.replace_profile(services.database, claim.job_id, old, new))


class _Shard:
    """The rows [start, stop) of one claim on their way through one engine."""

    def __init__(self, services: Services, claim: ShardClaim, lease: Lease, engine: Engine) -> None:
        manifest = services.manifest(claim.manifest_key, claim.manifest_digest)
        lease.beat()
        self._services = services
        self._claim = claim
        self._lease = lease
        self._engine = engine
        self._entries = manifest.rows(claim.start, claim.stop)
        # The ledger speaks of positions in the manifest; in a retry's they are not the rows' own numbers.
        self._positions = {entry.row: claim.start + at for at, entry in enumerate(self._entries)}
        self._save = pictures.wanted(claim.config["save"], manifest.count)
        self._metrics = Metrics(engine, claim.config, lease.beat)
        # With several classes an image the engine is given each as an item of its own: row · top + rank.
        self._top = int(claim.config.get("top", 1))
        self._photographs: dict[int, Photograph] = {}
        self._rows: dict[int, list[PartRow]] = {}
        self._finished: set[int] = set()
        self._started = time.monotonic()
        self._deadline = self._started + services.settings.shard_seconds

    def run(self) -> str:
        """Explain until done, stopped or out of time; commit what is finished."""
        uploads: list[Future[None]] = []
        with (
            ThreadPoolExecutor(PICTURE_THREADS, thread_name_prefix="pictures") as pool,
            contextlib.closing(self._items()) as items,
        ):
            try:
                for explanation in self._engine.explain_many(
                    items, progress=self._progress, stop=self._lease.stop
                ):
                    photograph = self._photographs.pop(explanation.index)
                    assert photograph.prepared is not None
                    rank = explanation.index % self._top
                    measured = self._metrics.of(photograph.entry, photograph.prepared, explanation)
                    row = explained_row(photograph, rank, photograph.prepared, explanation, measured)
                    self._keep(row)
                    if self._save:
                        uploads.append(pool.submit(self._save_pictures, row, photograph))
            except Stopped:
                self._lease.held()
            for upload in uploads:
                upload.result()
        # From here on no image is opened: a death while packing and uploading is none's doing.
        self._lease.at_rest()
        finished = self._prefix()
        if not finished:
            ledger.release_shard(self._services.database, self._claim, "its worker was told to stop")
            return "stopped"
        self._commit(len(finished), [row for rows in finished for row in rows])
        self._measure_rate(len(finished))
        return "done" if len(finished) == len(self._entries) else f"prefix of {len(finished)}"

    def convict(self) -> str:
        """Record the one image, which killed its workers, as an error, without opening it."""
        (entry,) = self._entries
        self._commit(1, [convicted_row(entry, self._claim.convicted)])
        return "convicted"

    def _measure_rate(self, images: int) -> None:
        """Note how fast this kind of work goes, for the size of later shards and for estimates."""
        took = time.monotonic() - self._started
        self._services.rate.add(images, took)
        if images >= self._engine.profile.batch:  # a padded batch would speak of the padding
            kind = self._engine.profile.device_kind
            with contextlib.suppress(StoreError):
                ledger.save_rate(
                    self._services.database, work_digest(self._claim.config), kind, images / took
                )

    def _items(self) -> Generator[Item]:
        batch = self._engine.profile.batch
        target, foil = self._claim.config["target"], self._claim.config.get("rather_than")
        source = self._services.source(self._claim.config["dataset"]["spec"])
        read = Readahead(
            self._entries,
            reader(source, self._engine, "overlay" in self._save),
            announce=self._announce,
            beat=self._lease.beat,
            chunk=batch,
        )
        handed = looked = 0
        for entry, photograph in read:
            # Between batches alone: what has entered the engine is worth finishing.
            if handed // batch > looked // batch and time.monotonic() > self._deadline:
                return
            looked = handed
            if photograph.prepared is None:
                self._refuse(photograph)
                continue
            wanted = entry.target if target == "auto" else None if target == "predicted" else target
            if wanted is not None and wanted == foil:
                self._refuse(without_contrast(photograph))
                continue
            targets = [wanted]
            if self._top > 1:
                targets = [*self._engine.most_probable(photograph.prepared, self._top)]
            handed += len(targets)
            for rank, each in enumerate(targets):
                index = entry.row * self._top + rank
                self._photographs[index] = photograph
                yield Item(index, photograph.prepared, each, foil)

    def _announce(self, rows: Sequence[int]) -> None:
        """Tell the ledger of the rows about to be read, and of those the engine still has: where a row was refused, a
        chunk is no batch any more, and what the engine was given may be neither read again nor begun yet.
        """
        held = {index // self._top for index in list(self._photographs)}
        self._lease.decoding(self._positions[row] for row in {*rows, *held})

    def _progress(self, now: Progress) -> None:
        self._lease.beat(now.step)
        self._lease.optimising(self._positions[index // self._top] for index in now.indices_in_flight)

    def _keep(self, row: PartRow) -> None:
        """One class of an image is done."""
        done = self._rows.setdefault(row.row, [])
        done.append(row)
        if len(done) == self._top:
            self._finished.add(row.row)
        self._lease.finished(len(self._finished))

    def _refuse(self, photograph: Photograph) -> None:
        """An image of which no class can be explained: its one row is all there will be."""
        self._rows[photograph.entry.row] = [refused_row(photograph)]
        self._finished.add(photograph.entry.row)

    def _prefix(self) -> list[list[PartRow]]:
        """The images finished without a gap from the first, by rank: what one commit may cover."""
        prefix = []
        for entry in self._entries:
            if entry.row not in self._finished:
                break
            prefix.append(sorted(self._rows[entry.row], key=lambda row: row.target_rank))
        return prefix

    def _save_pictures(self, row: PartRow, photograph: Photograph) -> None:
        _insist(
            self._lease,
            lambda: pictures.save_pictures(
                self._services.bucket,
                self._claim.job_id,
                row,
                self._save,
                photograph.picture,
                self._engine.classifier.preprocess.size,
                self._engine.recipe.align_corners,
            ),
        )

    def _commit(self, images: int, rows: Sequence[PartRow]) -> None:
        """Upload one part and commit the first `images` in one transaction. Raises LeaseLost when it came too late."""
        claim, lease, services = self._claim, self._lease, self._services
        written = parts.write(self._header(), rows)
        key = parts.part_key(claim.job_id, claim.shard_id, claim.fence)
        lease.held()
        _insist(lease, lambda: services.bucket.put(key, written.data))
        lease.beat()
        part = PartRecord(new_id(), key, written.sha256, len(written.data), len(rows))
        records = [result(row, number) for number, row in enumerate(rows)]
        upto = claim.start + images
        if not _insist(lease, lambda: ledger.commit_shard(services.database, claim, upto, part, records)):
            raise LeaseLost(f"shard {claim.shard_id}: fence {claim.fence} was overtaken before the commit")

    def _header(self) -> PartHeader:
        claim, engine = self._claim, self._engine
        return PartHeader(
            job_id=claim.job_id,
            shard_id=claim.shard_id,
            fence=claim.fence,
            model_digest=claim.config["model"]["digest"],
            method_digest=claim.config["method_digest"],
            recipe=claim.config["recipe"],
            layers=claim.config["layers"],
            profile=engine.profile.to_json(),
            align_corners=engine.recipe.align_corners,
            input_size=engine.classifier.preprocess.size,
            code_version=__version__,
            model_reference=claim.config["model"]["reference"],
            manifest_key=claim.manifest_key,
        )


def _insist(lease: Lease, ask: Callable[[], Answer]) -> Answer:
    """Repeat what a restarting database or bucket refuses, with growing pauses, for the term of one lease.

    Raises LeaseLost when the lease ended meanwhile, Transient when it did not help: the shard is then released.
    """
    pause, until = 0.1, time.monotonic() + lease.term_s
    while True:
        try:
            return ask()
        except Transient as error:
            lease.held()
            if time.monotonic() > until:
                raise
            log.warning("waiting", reason=str(error), pause_s=round(pause, 1))
            if lease.lost.wait(pause):
                lease.held()
            pause = min(2 * pause, LONGEST_PAUSE_S)
            lease.beat()
