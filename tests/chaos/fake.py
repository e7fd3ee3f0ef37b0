"""A fast engine that replaces the real one, and the faults that a photograph can cause in a worker.

`install()` puts replacements of the five modules that load torch (`gfi.method.engine`, `gfi.method.item`,
`gfi.method.preprocess`, `workers.loaded_engines`, `workers.measuring`) into `sys.modules` before the workers are
imported. Everything else in the worker is real: claim, lease, read-ahead, decoding, part, upload, commit.

The fake engine works in batches and steps and reports each step, like the real one. Its grid is the SHA-256 of the
photograph's pixels, so a mask that was swapped, made from other bytes or partly written is detected.

A photograph's first pixel may request a fault (`POISON`): kill the process, hang the decoder, hang the engine.
Faults at a chosen moment are in `tests.chaos.misbehaviour`.
"""

import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, Never

import numpy as np
from numpy.typing import NDArray

from gfi.domain.errors import MethodError, Stopped
from gfi.domain.explanation import Explanation, StepProgress
from gfi.domain.job import JobConfig
from gfi.domain.preprocess import Preprocess
from gfi.domain.profile import Profile
from gfi.domain.recipes import Recipe
from gfi.domain.tasks import KINDS, TaskKind

MODEL = "fake"
MODEL_DIGEST = hashlib.sha256(b"fake").hexdigest()
MOVED = "moved"
"""Another model, half of whose masks are elsewhere."""
MOVED_DIGEST = hashlib.sha256(b"moved").hexdigest()
INPUT_SIZE = (8, 8)
GRID = (4, 4)
POISON = {"kills": (250, 1, 1), "hangs the decoder": (250, 2, 2), "hangs the engine": (250, 3, 3)}

STUMBLES_AT = 1304
"""A job with so many `steps_class` meets a network that cannot take its images."""

RECORD = {
    "reference": MODEL,
    "digest": MODEL_DIGEST,
    "class_names": ["a", "b"],
    "wordnet_ids": [],
    "layers": [{"name": "features.1", "type": "Conv2d", "shape": [4, 4, 4]}],
    "chosen": {"paper": {"inverted": "features.1", "weighed": ["features.1"], "reason": "the only one"}},
}
"""What registration would have stored of this model."""


@dataclass
class Pace:
    """The duration of the optimiser; set once per process."""

    steps: int = 4
    step_s: float = 0.002


PACE = Pace()


def grid_of(rgb: NDArray[np.uint8], moved: bool = False) -> NDArray[np.float32]:
    """The mask (4, 4) in [0, 1] of a photograph: a function of all its pixels. moved: as the model MOVED looks, which
    turns the mask of every other photograph upside down."""
    words = np.frombuffer(hashlib.sha256(rgb.tobytes()).digest(), "<u2")
    grid = (words.reshape(GRID) / 65535).astype(np.float32)
    return grid[::-1].copy() if moved and words[0] % 2 else grid


@dataclass(frozen=True)
class Prepared:
    """As `gfi.method.preprocess.Prepared`; `image` is the photograph itself."""

    image: NDArray[np.uint8]
    original_size: tuple[int, int]
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Item:
    """As `gfi.method.item.Item`."""

    key: Any
    prepared: Prepared
    target: int | None = None
    foil: int | None = None


class Classifier:
    """The parts of `gfi.method.classifiers.Classifier` that a worker uses."""

    reference = MODEL
    class_names = RECORD["class_names"]
    wordnet_ids: tuple[str, ...] = ()
    preprocess = Preprocess(INPUT_SIZE)

    def prepare(self, rgb: NDArray[np.uint8], recipe: Recipe, scale: tuple[float, float]) -> Prepared:
        """Called in the decoding threads."""
        if _orders(rgb, "hangs the decoder"):
            threading.Event().wait()
        height, width = rgb.shape[:2]
        return Prepared(rgb, (height, width), (0.0, 0.0, float(width), float(height)))


class Engine:
    """As `gfi.method.engine.Engine`: batches of one size, progress after every step, `stop` within one."""

    def __init__(self, recipe: Recipe, batch: int, model_digest: str = MODEL_DIGEST) -> None:
        self.recipe = recipe
        self.profile = Profile(model_digest, "cpu", "float32", 1, INPUT_SIZE, batch)
        self.classifier = Classifier()

    def explain_many(
        self,
        items: Iterable[Item],
        progress: Callable[[StepProgress], None] | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[Explanation]:
        """Explanations in the order of `items`."""
        if self.recipe.steps_class == STUMBLES_AT:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        stream, steps = iter(items), 0
        while group := list(islice(stream, self.profile.batch)):
            indices = tuple(item.key for item in group)
            for step in range(PACE.steps):
                time.sleep(PACE.step_s)
                for item in group if step == 1 else ():
                    if _orders(item.prepared.image, "kills"):
                        os.kill(os.getpid(), signal.SIGKILL)
                    if _orders(item.prepared.image, "hangs the engine"):
                        threading.Event().wait()
                steps += 1
                if progress is not None:
                    progress(StepProgress(steps, indices))
                if stop is not None and stop.is_set():
                    raise Stopped(f"stopped with {len(group)} images in flight")
            moved = self.profile.model_digest == MOVED_DIGEST
            yield from (_explained(item, moved) for item in group)


def _explained(item: Item, moved: bool) -> Explanation:
    grid = grid_of(item.prepared.image, moved)
    return Explanation(
        item.key,
        item.target or 0,
        0,
        0.9,
        0.8,
        0.1,
        grid,
        PACE.steps,
        "ok",
        float(grid.mean()),
        0.0,
        "blur",
    )


def _orders(rgb: NDArray[np.uint8], fault: str) -> bool:
    return tuple(rgb[0, 0]) == POISON[fault]


class LoadedEngines:
    """As `workers.loaded_engines.LoadedEngines`."""

    def __init__(
        self,
        models_dir: object,
        device: str,
        threads: int | None,
        dtype: str = "float32",
        folder_of: object = None,
    ) -> None:
        self._kept: dict[tuple[int, str, str], Engine] = {}

    def get(self, config: JobConfig, profile: dict[str, Any] | None = None) -> Engine:
        """The engine for a job's configuration and profile."""
        batch = (profile or {}).get("batch") or config.batch or 8
        recipe = config.recipe
        known = (batch, recipe.digest(), config.model.digest)
        return self._kept.setdefault(known, Engine(recipe, batch, config.model.digest))

    def shrink(self, config: JobConfig, batch: int) -> None:
        """Does nothing: the fake engine never runs out of memory."""


class ModelChanged(MethodError):
    """As `workers.loaded_engines.ModelChanged`."""


class Measurer:
    """As `workers.measuring.Measurer`, for jobs that measure nothing."""

    def __init__(self, engine: Engine, config: JobConfig, progressed: Callable[[], None]) -> None:
        assert not config.metrics

    def metrics(self, *_: object) -> dict[str, float]:
        """No metrics."""
        return {}

    def noted(self, photograph: Any, _: object) -> Any:
        """No note."""
        return photograph


def own_file(models_dir: Path, reference: str) -> None:
    """No model of these tests has a file."""


def bundled(file: Path) -> Never:
    """Not called without a file."""
    raise AssertionError(file)


def head_of(classifier: Any) -> None:
    """The fake network has no head."""


def head_width(classifier: Any) -> None:
    """Nor a width of it."""


def sampled(model_digest: str, row: int, images: int) -> bool:
    """No image has controls."""
    return False


class Sampled:
    """As `workers.controls.Sampled`; none is made."""


class Controls:
    """As `workers.controls.Controls`, which has no image to work on."""

    def __init__(self, *_: object) -> None:
        """Nothing to keep."""

    def results(self, *_: object) -> Iterator[Any]:
        """No result."""
        return iter(())


def confirm_audit(services: Any, run: Any) -> str:
    """As `workers.audit_confirm.confirm_audit` where no photograph can be read: nothing is tested."""
    from gfi.jobs.audits.files import load_screened, settings_of
    from gfi.jobs.audits.outcome import commit_outcome, conclude
    from gfi.store import ledger, queries

    audit = queries.get_audit(services.database, str(run.claim.payload["audit"]))
    job = queries.get_job(services.database, audit.job_id)
    screened, settings = load_screened(services.bucket, audit), settings_of(audit.settings)
    outcome = conclude(services.database, job, audit, screened, None, settings, run.check)
    finished = commit_outcome(
        services.bucket,
        run,
        job,
        audit,
        outcome,
        {"audit": audit.id, "findings": len(outcome.rows), "verdicts": outcome.summary["verdicts"]},
        lambda connection: ledger.write_findings(
            connection, audit.id, run.claim.task_id, outcome.summary, outcome.rows
        ),
    )
    return "concluded" if finished else "too late"


def verify_audit(services: Any, run: Any) -> Never:
    """No audit is verified here."""
    raise AssertionError(run)


class Grid:
    """As `workers.image_grids.Grid`; none is made, because no job measures anything."""


class ImageGrids:
    """As `workers.image_grids.ImageGrids`; none is made."""


def scores(*_: object) -> Never:
    """No grid has a score."""
    raise AssertionError


def measure_transfer(services: Any, run: Any) -> str:
    """As `workers.transfer.measure_transfer`, with a network whose answer is the mean of the mask that it is shown."""
    from gfi.drift.transfer import Transfer, transfer_of
    from gfi.jobs.transfer import SharedImage, measure
    from gfi.store import queries
    from gfi.store.part_cache import PartCache

    cache = PartCache(services.database, services.bucket)

    def answer(job: str, image: SharedImage) -> float:
        result = queries.get_result(services.database, job, image.rows[job])
        explained = cache.explanation(result) if result is not None else None
        assert explained is not None
        assert explained.mask is not None
        return float(explained.mask.mean())

    def onto(second: Any, firsts: Any, shared: Any) -> list[Transfer]:
        answers = []
        for image in shared:
            run.check()
            time.sleep(PACE.step_s)
            answers.append([answer(job.id, image) for job in (second, *firsts)])
            run.progressed()
        own, *others = np.array(answers).T
        at = np.array([image.target for image in shared])
        return [transfer_of(job.id, second.id, at, p, own) for job, p in zip(firsts, others, strict=True)]

    return measure(services.database, run, onto)


def run_import(services: Any, run: Any) -> Never:
    """No masks are imported here."""
    raise AssertionError(run)


def install() -> None:
    """Replace the modules that load torch. To be called before `workers.shard` is imported."""
    stands_for = {
        "gfi.method.engine": (Engine,),
        "gfi.method.head": (head_of, head_width),
        "gfi.method.item": (Item,),
        "gfi.method.model_bundle": (bundled, own_file),
        "gfi.method.preprocess": (Prepared,),
        "workers.controls": (Controls, Sampled, sampled),
        "workers.audit_confirm": (confirm_audit,),
        "workers.audit_verify": (verify_audit,),
        "workers.transfer": (measure_transfer,),
        "workers.import_masks": (run_import,),
        "workers.image_grids": (Grid, ImageGrids, scores),
        "workers.loaded_engines": (LoadedEngines, ModelChanged),
        "workers.measuring": (Measurer,),
    }
    for name, classes in stands_for.items():
        assert name not in sys.modules, f"{name} was imported before its stand-in"
        module = ModuleType(name)
        for each in classes:
            setattr(module, each.__name__, each)
        sys.modules[name] = module
    sys.modules["workers.image_grids"].NAME = "grid_pointing"  # type: ignore[attr-defined]


COUNT = "count"
"""A kind of task that exists here alone: it counts to `to` and writes each number into table `counted`."""


def count_kind() -> TaskKind:
    """What `gfi.domain.tasks.KINDS` says of COUNT in the process that requests it and in the process that does it."""
    return TaskKind(COUNT, "network", "count", "explain")


def _count(services: Any, run: Any) -> str:
    import sqlalchemy as sa

    counted = sa.table("counted", sa.column("task"), sa.column("number"))
    last = run.claim.payload["to"]
    for number in range(run.progress.get("done", 0), last):
        time.sleep(PACE.step_s)
        run.check()

        def write(connection: Any, number: int = number) -> None:
            connection.execute(sa.insert(counted).values(task=run.claim.task_id, number=number))

        if number < last - 1:
            run.save(write, done=number + 1, total=last)
        else:
            run.finish({"counted": last}, write)
    return "counted"


def _describe(services: Any, reference: str, run: Any, models_dir: Path) -> dict[str, Any]:
    """As `workers.registration.describe`, without a process that loads torch."""
    for _ in range(10):
        run.check()
        time.sleep(PACE.step_s)
    return {"reference": reference, "digest": "0" * 64}


def take_tasks() -> None:
    """In a worker: do tasks of kind COUNT, and registrations without a network."""
    from workers import handlers, registration

    KINDS[COUNT] = count_kind()
    handlers.HANDLERS[COUNT] = _count
    registration.describe = _describe
