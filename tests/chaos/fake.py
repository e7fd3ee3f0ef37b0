"""A fast engine that replaces the real one, and the faults that a test can cause in a worker.

`install()` puts replacements of the five modules that load torch (`gfi.method.engine`, `gfi.method.item`,
`gfi.method.preprocess`, `workers.loaded_engines`, `workers.measuring`) into `sys.modules` before the workers are
imported. Everything else in the worker is real: claim, lease, read-ahead, decoding, part, upload, commit.

The fake engine works in batches and steps and reports each step, like the real one. Its grid is the SHA-256 of the
photograph's pixels, so a mask that was swapped, made from other bytes or partly written is detected.

A photograph's first pixel may request a fault (`POISON`): kill the process, hang the decoder, hang the engine.
`misbehave(config)` adds faults at a chosen moment: see `AIMS`.
"""

import contextlib
import hashlib
import os
import random
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
from gfi.domain.states import ControlKind
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


AIMS = ("after claim", "in renewal", "after upload", "in commit", "after commit")
"""Moments at which `kill -9` hurts most: the shard is ours and nobody has heard of us; between the statements of a
renewal and its COMMIT; the part is in the bucket and the ledger does not know; between the statements of a commit
and its COMMIT; the commit is applied and its worker dies before it hears so."""


PLANNING = "planning"
"""A task that plans a job is claimed, and nobody has heard of us."""


AFTER_PIECE, IN_TASK_COMMIT = "after a piece", "in the commit of a task"
AFTER_CARRYING = "after a piece of carried results"
"""A task has saved a piece and the progress that says so; a task is between the statements of its commit and COMMIT."""
AFTER_LOOK, AFTER_COMPARISON = "after a look", "after a comparison"
"""A comparison has taken its number in the year and nobody has heard of it; its result is in the bucket and the ledger
does not know."""

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


def misbehave(config: dict[str, Any]) -> None:
    """Set up this worker process as a scenario requires it.

    pace: {steps, step_s} of the optimiser. aim: one of AIMS or, of a planner, PLANNING or AFTER_CARRYING, or, of a
    task, AFTER_PIECE, IN_TASK_COMMIT, AFTER_LOOK or AFTER_COMPARISON; it is true the first time (`first`: a file that
    says that it was) and from then on with `chance`. aims: several, each with its file.
    clock_s: how far this machine's clock is ahead. tasks: `take_tasks`.
    """
    if config.get("tasks"):
        take_tasks()
    for name, value in config.get("pace", {}).items():
        setattr(PACE, name, value)
    if config.get("clock_s"):
        _set_clock(config["clock_s"])
    if config.get("aim"):
        _aim(config["aim"], config["chance"], Path(config["first"]))
    for aim, first in config.get("aims", {}).items():
        _aim(aim, config["chance"], Path(first))


def _aim(aim: str, chance: float, first: Path) -> None:
    import sqlalchemy as sa

    from gfi.store import ledger
    from gfi.store.objects import Bucket
    from scheduler import planning

    dice = random.Random()  # every restarted worker needs new random numbers
    inside = threading.local()

    def perhaps() -> None:
        if not first.exists():
            first.touch()  # at least once, whatever the random number is
        elif dice.random() >= chance:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    def afterwards(function: Callable[..., Any], only: Callable[..., bool]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kw: Any) -> Any:
            answer = function(*args, **kw)
            if answer is not None and only(answer, *args):
                perhaps()
            return answer

        return wrapped

    def before_commit(function: Callable[..., Any]) -> Callable[..., Any]:
        @sa.event.listens_for(sa.Engine, "commit")
        def _(connection: sa.Connection) -> None:
            if getattr(inside, "it", False):
                perhaps()

        def wrapped(*args: Any, **kw: Any) -> Any:
            inside.it = True
            try:
                return function(*args, **kw)
            finally:
                inside.it = False

        return wrapped

    if aim == "after claim":
        ledger.claim_work = afterwards(ledger.claim_work, lambda *_: True)
    elif aim == PLANNING:
        ledger.claim_control = afterwards(
            ledger.claim_control, lambda claim, *_: claim.kind == ControlKind.PLAN
        )
    elif aim == "in renewal":
        ledger.renew_lease = before_commit(ledger.renew_lease)
    elif aim == "after upload":
        Bucket.put = afterwards(Bucket.put, lambda _, bucket, key, *rest: key.startswith("parts/"))  # type: ignore[method-assign]
    elif aim == "in commit":
        ledger.commit_shard = before_commit(ledger.commit_shard)
    elif aim == "after commit":
        ledger.commit_shard = afterwards(ledger.commit_shard, lambda *_: True)
    elif aim == AFTER_CARRYING:
        planning.PIECE = 4
        ledger.carry = afterwards(ledger.carry, lambda outcome, *_: outcome == "carried")
    elif aim == AFTER_LOOK:
        Bucket.put = afterwards(  # type: ignore[method-assign]
            Bucket.put, lambda _, bucket, key, *rest: key.startswith("gates/") and "-" not in key
        )
    elif aim == AFTER_COMPARISON:
        Bucket.put = afterwards(Bucket.put, lambda _, bucket, key, *rest: "/comparisons/" in key)  # type: ignore[method-assign]
    elif aim == AFTER_PIECE:
        ledger.save_control = afterwards(ledger.save_control, lambda *_: True)
    elif aim == IN_TASK_COMMIT:
        ledger.finish_control = before_commit(ledger.finish_control)
    else:
        raise ValueError(f"no aim {aim!r}; there are {', '.join(AIMS)}")


def _set_clock(ahead_s: float) -> None:
    """Set the clock that others see of this process: the time that signs S3 requests, and time.time."""
    import datetime

    import botocore.auth
    import botocore.compat

    right_time, right_now = time.time, botocore.compat.get_current_datetime

    def wrong_now(remove_tzinfo: bool = True) -> datetime.datetime:
        return right_now(remove_tzinfo) + datetime.timedelta(seconds=ahead_s)

    time.time = lambda: right_time() + ahead_s
    for name, module in list(sys.modules.items()):
        if name.startswith("botocore") and hasattr(module, "get_current_datetime"):
            with contextlib.suppress(AttributeError):
                module.get_current_datetime = wrong_now  # type: ignore[attr-defined]
