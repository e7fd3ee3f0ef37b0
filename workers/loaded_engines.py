"""The networks that this process has loaded, each in an engine with one execution profile."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
import torch
from cachetools import LRUCache

from gfi.domain.errors import MethodError
from gfi.domain.job import JobConfig, ModelRef
from gfi.method.batch_invariance import whole_batch
from gfi.method.classifiers import Classifier, load
from gfi.method.engine import Engine
from gfi.peers import controls
from gfi.peers.peer_engine import make_engine
from gfi.store.errors import NotFound

log = structlog.get_logger(__name__)

KEPT = 2
"""Two networks fit into memory together almost anywhere, so that two jobs that alternate load each only once."""


FolderOf = Callable[[ModelRef], AbstractContextManager[Path | None]]
"""The folder from which to load the version that a job names; None: from the models folder."""


@contextlib.contextmanager
def _unknown(model: ModelRef) -> Iterator[Path | None]:
    yield None


class ModelChanged(MethodError):
    """The model with this name is not the one with which the job was submitted, or can no longer be loaded."""


class LoadedEngines:
    """Engines by job configuration.

    models_dir: where the operator's model files are. threads: None leaves torch's own number. dtype: a name in
    `gfi.method.precision.PRECISIONS`, for jobs that have no profile yet. folder_of: where the files of a version are.
    """

    def __init__(
        self,
        models_dir: Path,
        device: str,
        threads: int | None,
        dtype: str = "float32",
        folder_of: FolderOf = _unknown,
    ) -> None:
        self._models_dir = models_dir
        self._folder_of = folder_of
        self._device = device
        self._threads = threads
        self._dtype = dtype
        # By version: two of one digest may differ in what people are shown.
        self._classifiers: LRUCache[ModelRef, Classifier] = LRUCache(KEPT)
        self._engines: LRUCache[tuple[Any, ...], Engine] = LRUCache(KEPT + 1)  # and one with random weights
        # A batch that did not fit once would not fit again: (model, layers) → the largest that did.
        self._largest_batch: dict[tuple[str, str], int] = {}

    def get(self, config: JobConfig, profile: dict[str, Any] | None = None) -> Engine:
        """The engine for a job's configuration and its frozen execution profile, if there is one.

        Raises ModelChanged if this worker's weights are not those with which the job was submitted.
        """
        recipe, layers, model, digest = config.recipe, config.layers, config.model, config.model.digest
        batch = (profile or {}).get("batch") or config.batch
        largest = self._largest_batch.get((digest, str(layers)))
        if largest is not None:
            batch = min(batch, largest) if batch else largest
        batch = batch and whole_batch(batch)
        threads = (profile or {}).get("threads") or self._threads
        dtype = (profile or {}).get("dtype") or self._dtype
        key = (model, recipe.digest(), str(layers), batch, threads, dtype)
        engine = self._engines.get(key)
        if engine is None:
            classifier = self._classifier(model)
            log.info(
                "engine built", model=classifier.reference, batch=batch, threads=threads, device=self._device
            )
            if threads is not None:
                torch.set_num_threads(threads)
            engine = make_engine(classifier, recipe, layers, device=self._device, batch=batch, dtype=dtype)
            self._engines[key] = engine
        return engine

    def randomised(self, config: JobConfig, engine: Engine) -> Engine:
        """The engine of a job's recipe for its network with random weights, in the profile of `engine`: a control."""
        key = (
            "randomised",
            config.model.digest,
            config.recipe.digest(),
            str(config.layers),
            engine.batch,
            engine.precision.name,
        )
        known = self._engines.get(key)
        if known is None:
            module = controls.randomised(engine.classifier.module)
            classifier = replace(engine.classifier, module=module, recorded=None)
            known = make_engine(
                classifier,
                config.recipe,
                config.layers,
                device=self._device,
                batch=engine.batch,
                dtype=engine.precision.name,
            )
            self._engines[key] = known
        return known

    def shrink(self, config: JobConfig, batch: int) -> None:
        """Limit this model to `batch` images at once from now on: more did not fit the device."""
        self._largest_batch[config.model.digest, str(config.layers)] = batch
        self._engines.clear()

    def _classifier(self, model: ModelRef) -> Classifier:
        reference, digest = model.reference, model.digest
        classifier = self._classifiers.get(model)
        if classifier is not None:
            return classifier
        try:
            with self._folder_of(model) as folder:
                classifier = load(reference, folder or self._models_dir)
        except NotFound as error:
            raise ModelChanged(str(error)) from error
        except MethodError as error:
            raise ModelChanged(f"model {reference} cannot be loaded by this worker: {error}") from error
        known = classifier.known_as(digest)
        if known is None:
            raise ModelChanged(
                f"model {reference} is not the one this job was submitted with (digest {classifier.digest[:12]}…, "
                f"the job's {digest[:12]}…): register it again with `gfi models add {reference}` and submit the job"
                " again"
            )
        self._classifiers[model] = known
        return known
