"""Processes the rows of one shard: fetch, decode, explain, measure, pack, commit.

manifest rows → ReadAhead (threads) → engine (one fixed batch shape) → part → one transaction
"""

import contextlib
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import structlog

from gfi import __version__
from gfi.datasets.manifest import Entry
from gfi.domain.digests import JSON
from gfi.domain.errors import OutOfMemory, Stopped
from gfi.domain.explanation import Explanation, StepProgress
from gfi.domain.ids import new_id
from gfi.domain.job import wanted_pictures
from gfi.domain.metrics import CATALOGUE
from gfi.domain.records import PartRecord, ShardClaim
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from gfi.method.engine import Engine
from gfi.method.head import head_of, head_width
from gfi.method.item import Item
from gfi.store import ledger, parts, tracing
from gfi.store.errors import StoreError
from gfi.store.lease import LeaseLost
from gfi.store.parts import PartHeader
from workers.controls import Controls, Sampled, sampled
from workers.image_grids import NAME as GRID_POINTING
from workers.image_grids import Grid, ImageGrids, scores
from workers.lease import ShardLease
from workers.measuring import Measurer
from workers.photographs import Failure, Photograph, photograph_reader
from workers.read_ahead import ReadAhead
from workers.result_rows import FOIL_IS_TARGET, explained_row, failed_row, quarantined_row
from workers.saved_pictures import draw_pictures, upload_pictures
from workers.services import WorkerServices

PICTURE_THREADS = 4
WAITING_PICTURES = 16
"""Photographs that wait for their pictures to be drawn and uploaded. More would fill the memory where the bucket is
slow: each has some megabytes, and a shard up to 4,096."""
log = structlog.get_logger(__name__)


class ItemKey(NamedTuple):
    """The key of an engine item: an image by its row of the manifest, and one of its classes by its rank."""

    row: int
    rank: int

    def __str__(self) -> str:
        return str(self.row)  # the form used in errors of the engine


class ShardRun:
    """Explains the rows [start, stop) of one claim with one engine."""

    def __init__(
        self, services: WorkerServices, claim: ShardClaim, lease: ShardLease, engine: Engine
    ) -> None:
        manifest = services.manifest(claim.manifest_key, claim.manifest_digest)
        lease.progressed()
        self._services = services
        self._claim = claim
        self._lease = lease
        self._engine = engine
        self._entries = manifest.rows(claim.start, claim.stop)
        # The ledger uses positions in the manifest; in the manifest of a retry they differ from the row numbers.
        self._positions = {entry.row: claim.start + at for at, entry in enumerate(self._entries)}
        self._kinds = wanted_pictures(claim.config.save, manifest.count)
        self._measurer = Measurer(engine, claim.config, lease.progressed)
        metrics = [CATALOGUE[name] for name in claim.config.metrics if name in CATALOGUE]
        self._needs_boxes = any(metric.needs == "boxes" for metric in metrics)
        self._manifest = manifest
        # A worker died with this shard and none of its images was to blame: it may have been an image of a grid.
        self._with_grids = (
            GRID_POINTING in claim.config.metrics and claim.config.foil is None and not claim.unexplained
        )
        self._controls = Controls(
            engine, self._measurer, lambda: services.engines.randomised(claim.config, engine)
        )
        self._sampled: list[Sampled] = []
        self._photographs: dict[ItemKey, Photograph] = {}
        self._rows: dict[int, dict[int, Result]] = {}
        """The finished results, by the image's row and the rank of the class."""
        self._of_controls: dict[int, list[Result]] = {}
        """The results of the controls, by the image's row."""
        self._asked: dict[int, int] = {}
        """How many classes of an image are explained, by its row."""
        self._finished: set[int] = set()
        self._started = time.monotonic()
        self._deadline = self._started + services.settings.shard_seconds

    def run(self) -> str:
        """Explain until done, stopped or out of time; commit the finished images."""
        drawn: list[Future[Result | None]] = []
        stages = self._services.stages
        with (
            ThreadPoolExecutor(PICTURE_THREADS, thread_name_prefix="pictures") as pool,
            contextlib.closing(self._items()) as items,
        ):
            try:
                explained = self._engine.explain_many(items, progress=self._progress, stop=self._lease.stop)
                for explanation in stages.each("optimise", explained):
                    photograph = self._photographs.pop(explanation.key)
                    with stages.timed("measure"):
                        row = self._measured(photograph, explanation)
                    self._keep(row)
                    if self._is_sampled(row):
                        self._sampled.append(Sampled(photograph, explanation, row))
                    if self._kinds:
                        drawn.append(pool.submit(self._save_pictures, row, photograph))
                        if len(drawn) > WAITING_PICTURES:
                            drawn[-1 - WAITING_PICTURES].result()
                with stages.timed("measure"):
                    self._add_controls(self._add_grids())
            except Stopped:
                self._lease.check_held()
            for future in drawn:
                if (failed := future.result()) is not None:
                    self._rows[failed.row][failed.target_rank] = failed
        # From now on no image is opened: a death while packing and uploading is not caused by an image.
        self._lease.announce_nothing()
        finished = self._prefix()
        if not finished:
            ledger.release_shard(self._services.database, self._claim, "its worker was told to stop")
            return "stopped"
        self._commit(len(finished), [row for rows in finished for row in rows])
        self._save_rate(len(finished))
        return "done" if len(finished) == len(self._entries) else f"prefix of {len(finished)}"

    def quarantine(self) -> str:
        """Record the only image, which killed its workers, as an error, without opening it."""
        (entry,) = self._entries
        ranked = enumerate(self._by_label(entry))
        self._commit(1, [quarantined_row(one, self._claim.quarantined, rank) for rank, one in ranked])
        return "quarantined"

    def _items(self) -> Generator[Item]:
        """Yields items to the engine on demand; photographs that fail are recorded and not yielded."""
        batch = self._engine.profile.batch
        foil = self._claim.config.foil
        source = self._services.source(self._claim.config.dataset.spec)
        read_ahead = ReadAhead(
            self._entries,
            photograph_reader(
                source,
                self._engine,
                "overlay" in self._kinds,
                self._needs_boxes,
                self._claim.config.thumbnails,
                self._services.stages,
            ),
            announce=self._announce,
            progressed=self._lease.progressed,
            chunk=batch,
        )
        given = given_before = 0
        for _, photograph in self._services.stages.each("wait", read_ahead):
            # Only between batches: images that are already in the engine are finished.
            if given // batch > given_before // batch and time.monotonic() > self._deadline:
                return
            given_before = given
            if photograph.failure is not None:
                self._keep_failed(photograph, photograph.failure)
                continue
            assert photograph.prepared is not None
            asked = self._targets(photograph)
            if foil is not None and any(foil == target for _, target in asked):
                self._keep_failed(photograph, FOIL_IS_TARGET)
                continue
            given += len(asked)
            self._asked[photograph.entry.row] = len(asked)
            for rank, (labelled, target) in enumerate(asked):
                key = ItemKey(photograph.entry.row, rank)
                self._photographs[key] = labelled
                yield Item(key, photograph.prepared, target, foil)

    def _targets(self, photograph: Photograph) -> list[tuple[Photograph, int | None]]:
        """The classes to explain, by rank, None for the predicted one; each with the photograph under the label that is
        asked."""
        assert photograph.prepared is not None
        config = self._claim.config
        if config.top > 1:
            classes = self._engine.most_probable(photograph.prepared, config.top)
            return [(photograph, target) for target in classes]
        if config.target == "auto" or config.each_label:
            labelled = [replace(photograph, entry=entry) for entry in self._by_label(photograph.entry)]
            return [(one, one.entry.target) for one in labelled]
        return [(photograph, config.target if isinstance(config.target, int) else None)]  # "predicted"

    def _by_label(self, entry: Entry) -> tuple[Entry, ...]:
        """The image once for each label that is explained."""
        return entry.by_label() if self._claim.config.each_label else (entry,)

    def _announce(self, rows: Sequence[int]) -> None:
        """Announce the rows about to be read and those that are still in the engine. If a row failed, a chunk is no
        longer a batch: a row in the engine may then belong to neither chunk and not be started yet.
        """
        in_engine = {key.row for key in list(self._photographs)}
        self._lease.announce_decoding(self._positions[row] for row in {*rows, *in_engine})

    def _progress(self, progress: StepProgress) -> None:
        self._lease.progressed(progress.step)
        self._lease.announce_optimising(self._positions[key.row] for key in progress.in_flight)

    def _measured(self, photograph: Photograph, explanation: Explanation) -> Result:
        assert photograph.prepared is not None
        rank: int = explanation.key.rank
        try:
            metrics = self._measurer.metrics(photograph.entry, photograph.prepared, explanation)
            if "iou_region" not in metrics:  # drawing the region again takes time
                photograph = self._measurer.noted(photograph, explanation)
        except OutOfMemory:
            raise
        except Exception as error:
            return failed_row(photograph, Failure.of("measured", error, "metrics"), rank)
        config, classifier = self._claim.config, self._engine.classifier
        threshold = None
        if config.each_label and classifier.output == "sigmoid":
            threshold = classifier.thresholds[explanation.target] if classifier.thresholds else 0.5
        return explained_row(photograph, rank, explanation, metrics, config.features, threshold)

    def _is_sampled(self, row: Result) -> bool:
        """Whether the image has controls, and may have a grid."""
        measured = row.metrics or (self._with_grids and row.status == ImageStatus.OK)
        return bool(measured and row.primary) and sampled(
            self._claim.config.model.digest, row.row, self._manifest.count
        )

    def _add_grids(self) -> Mapping[int, Grid]:
        """Measure `grid_pointing` for the sampled images. The images are finished without it, so an error leaves it
        out."""
        if not self._with_grids or not self._sampled:
            return {}
        self._lease.announce_nothing()
        source = self._services.source(self._claim.config.dataset.spec)
        read = photograph_reader(source, self._engine, overlays=False, boxes=False, thumbnails=False)
        progressed, stop = self._lease.progressed, self._lease.stop
        digest = self._claim.config.model.digest
        make = ImageGrids(self._engine, self._manifest, read, progressed, stop)
        try:
            found = (make.of(one.photograph, one.explanation, digest) for one in self._sampled)
            grids = {grid.row: grid for grid in found if grid is not None}
            for number, values in scores(self._engine, list(grids.values()), progressed, stop).items():
                row = self._rows[number][0]
                self._rows[number][0] = replace(row, metrics={**row.metrics, **values})
        except (Stopped, OutOfMemory):
            raise
        except Exception as error:
            log.warning("no grids", reason=f"{type(error).__name__}: {error}")
            return {}
        return grids

    def _add_controls(self, grids: Mapping[int, Grid]) -> None:
        """Compute the controls of the sampled images, together: the other network is loaded once. The images are
        finished without them, so an error leaves them out."""
        try:
            progressed, stop = self._lease.progressed, self._lease.stop
            for result in self._controls.results(self._sampled, grids, progressed, stop):
                self._of_controls.setdefault(result.row, []).append(result)
        except (Stopped, OutOfMemory):
            raise
        except Exception as error:
            log.warning("no controls", reason=f"{type(error).__name__}: {error}")

    def _save_pictures(self, row: Result, photograph: Photograph) -> Result | None:
        """Draw and upload the pictures of `row`. Returns the row that replaces `row` if they cannot be drawn."""
        preprocess, recipe = self._engine.classifier.preprocess, self._engine.recipe
        try:
            pictures = draw_pictures(
                self._claim.job_id,
                row,
                self._kinds,
                photograph.picture,
                preprocess.size,
                recipe.align_corners,
            )
        except Exception as error:
            return failed_row(photograph, Failure.of("drawn", error, "pictures"), row.target_rank)
        with self._services.stages.timed("upload"):
            self._lease.retry(lambda: upload_pictures(self._services.bucket, pictures))
        return None

    def _keep(self, row: Result) -> None:
        """One class of an image is done."""
        ranks = self._rows.setdefault(row.row, {})
        ranks[row.target_rank] = row
        if len(ranks) == self._asked[row.row]:
            self._finished.add(row.row)
        self._lease.set_finished(len(self._finished))

    def _keep_failed(self, photograph: Photograph, failure: Failure) -> None:
        """No class of the image can be explained: it has one row, or one for each label that was asked."""
        self._rows[photograph.entry.row] = {
            rank: failed_row(replace(photograph, entry=entry), failure, rank)
            for rank, entry in enumerate(self._by_label(photograph.entry))
        }
        self._finished.add(photograph.entry.row)

    def _prefix(self) -> list[list[Result]]:
        """The finished images from the first one up to the first gap: the range of one commit. Of each the results by
        rank, and then its controls."""
        prefix = []
        for entry in self._entries:
            if entry.row not in self._finished:
                break
            ranks = [row for _, row in sorted(self._rows[entry.row].items())]
            prefix.append([*ranks, *self._of_controls.get(entry.row, ())])
        return prefix

    def _save_rate(self, images: int) -> None:
        """Record the speed of this kind of work, for the size of later shards and for estimates."""
        took = time.monotonic() - self._started
        self._services.rate.add(images, took)
        if images >= self._engine.profile.batch:  # the rate of a padded batch would be too low
            kind = self._engine.profile.device_kind
            with contextlib.suppress(StoreError):
                ledger.save_rate(
                    self._services.database, self._claim.config.work_digest(), kind, images / took
                )

    def _commit(self, images: int, rows: Sequence[Result]) -> None:
        """Upload one part and commit the first `images` in one transaction. Raises LeaseLost if the lease was lost
        before."""
        claim, lease, services = self._claim, self._lease, self._services
        written = parts.write(self._header(), rows)
        key = parts.part_key(claim.job_id, claim.shard_id, claim.fence)
        lease.check_held()
        with services.stages.timed("upload"), tracing.span("upload", bytes=len(written.data)):
            lease.retry(lambda: services.bucket.put(key, written.data))
        lease.progressed()
        part = PartRecord(new_id(), key, written.sha256, len(written.data), len(rows))
        upto = claim.start + images
        with services.stages.timed("commit"), tracing.span("commit", images=images):
            committed = lease.retry(lambda: ledger.commit_shard(services.database, claim, upto, part, rows))
        if not committed:
            raise LeaseLost(f"shard {claim.shard_id}: fence {claim.fence} was overtaken before the commit")

    def _header(self) -> PartHeader:
        claim, engine = self._claim, self._engine
        return PartHeader(
            job_id=claim.job_id,
            shard_id=claim.shard_id,
            fence=claim.fence,
            model_digest=claim.config.model.digest,
            method_digest=claim.config.method_digest,
            recipe=claim.config.recipe.to_json(),
            layers=claim.config.layers.to_json(),
            profile=engine.profile.to_json(),
            align_corners=engine.recipe.align_corners,
            input_size=engine.classifier.preprocess.size,
            code_version=__version__,
            model_reference=claim.config.model.reference,
            manifest_key=claim.manifest_key,
            nondeterministic=(claim.model or {}).get("nondeterministic"),
            features=self._features(),
        )

    def _features(self) -> JSON | None:
        """What the column `features` of the part holds; None for nothing."""
        kept, classifier = self._claim.config.features, self._engine.classifier
        layer, width = head_of(classifier), head_width(classifier)
        if kept == "none" or layer is None or width is None:
            return None
        return parts.features_header(layer, width, kept)
