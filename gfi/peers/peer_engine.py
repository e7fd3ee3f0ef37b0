"""Explains a stream of prepared images with a peer of guided feature inversion, as `Engine` does with ours.

    engine = make_engine(classifier, peer_recipe("rise"))
    for explanation in engine.explain_many(items):
        ...

Every pass of the network is over one fixed batch, padded if images are missing, in which each row is an image. So a
mask is bit-equal in any slot and with any neighbours, as with `gfi.method.engine`; no step waits for the data.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from gfi.domain.explanation import Explanation
from gfi.domain.layer_names import Layers
from gfi.domain.methods import OWN
from gfi.domain.presets import PAPER
from gfi.domain.recipes import Recipe
from gfi.method.classifiers import Classifier
from gfi.method.engine import Advancing, Engine
from gfi.method.inversion import Outcome, StopReason
from gfi.method.item import Item
from gfi.method.masks import Upsampling
from gfi.method.memory import fitting_batch
from gfi.method.parts.normalisations import Rectified
from gfi.method.pool import explanation, leads_of
from gfi.method.rows import Rows
from gfi.peers.grad_cam import maps as grad_cam_maps
from gfi.peers.integrated_gradients import maps as integrated_gradients_maps
from gfi.peers.occlusion import maps as occlusion_maps
from gfi.peers.opti_cam import maps as opti_cam_maps
from gfi.peers.rise import maps as rise_maps

PeerMaps = Callable[[Rows, Tensor, Callable[[], None]], Tensor]
"""The maps (B, h, w) of the images in the rows, before they are rectified and divided by their maximum. The second
argument are the features of the mask's layer, (B, K, h, w); the third is called after every pass."""

MAPS: Mapping[str, PeerMaps] = {
    "grad-cam": grad_cam_maps,
    "integrated-gradients": integrated_gradients_maps,
    "occlusion": occlusion_maps,
    "rise": rise_maps,
    "opti-cam": opti_cam_maps,
}


def make_engine(
    classifier: Classifier,
    recipe: Recipe,
    layers: Layers | None = None,
    device: str | torch.device = "cpu",
    batch: int | None = None,
    dtype: str | torch.dtype = torch.float32,
) -> Engine:
    """The engine of a recipe's method. Parameters and errors are those of `Engine`."""
    kind = Engine if recipe.method == OWN else PeerEngine
    return kind(classifier, recipe, layers, device, batch, dtype)


class PeerEngine(Engine):
    """An engine whose masks are those of `Recipe.method`. Parameters and errors are those of `Engine`."""

    def _pool(self, stream: Iterator[Item], tick: Callable[[tuple[Any, ...]], None]) -> Advancing:
        return _Batches(self, stream, tick)

    def _measured_batch(self, shape: tuple[int, int, int]) -> int:
        # A step of `paper` is a pass with gradient over twice the batch: no peer needs more.
        return fitting_batch(self.network, PAPER, shape, self.device)


class _Batches:
    """The images of a stream, one batch after the other. tick: called after every pass with the keys in the batch."""

    def __init__(
        self, engine: PeerEngine, stream: Iterator[Item], tick: Callable[[tuple[Any, ...]], None]
    ) -> None:
        self._engine = engine
        self._stream = stream
        self._tick = tick
        self._maps = MAPS[engine.recipe.method]

    def advance(self) -> list[Explanation] | None:
        """The explanations of the next batch, and None once no image is left."""
        group = list(itertools.islice(self._stream, self._engine.batch))
        if not group:
            return None
        with self._engine.exact():
            return self._explain(group)

    def _explain(self, group: list[Item]) -> list[Explanation]:
        engine = self._engine
        keys = tuple(item.key for item in group)
        passes = 0

        def tick() -> None:
            nonlocal passes
            passes += 1
            self._tick(keys)

        for item in group:
            engine.check(item)
        fills = [engine.fill_of(item) for item in group]
        padding: list[int | None] = [None] * (engine.batch - len(group))
        rows = Rows(engine.network, engine.recipe, engine.batch)
        images = engine.padded([item.prepared.image for item in group])
        rows.load(images, [engine.padded([fill for fill, _ in fills])])
        examined = engine.network.examine(rows.images)
        targets = [item.target for item in group] + padding
        rows.load_classes(examined.probabilities, targets, [item.foil for item in group] + padding)
        grid = self._maps(rows, examined.mask_features, tick)
        upsample = Upsampling.between(grid, images, align_corners=False)
        outcome = _outcome(rows, grid, upsample, passes)
        numbers = range(len(group))
        leads = leads_of(rows, outcome, numbers, upsample)
        return [explanation(group[i], fills[i][1], i, outcome, leads.get(i)) for i in numbers]


@torch.no_grad()
def _outcome(rows: Rows, grid: Tensor, upsample: Upsampling, passes: int) -> Outcome:
    """The result of every row from the maps (B, h, w)."""
    finite = torch.isfinite(grid).flatten(1).all(1) & torch.isfinite(rows.probability)
    mask = Rectified()(grid, upsample)
    has_mask = mask.valid & finite & (rows.target != rows.foil)
    shown = torch.where(has_mask.view(-1, 1, 1, 1), mask.image, torch.zeros_like(mask.image))
    kept, removed = rows.kept_and_removed(shown, rows.fills[0])
    reason = torch.where(finite, int(StopReason.CONSTANT), int(StopReason.NONFINITE))
    outcome = Outcome(
        omega=grid.new_zeros(rows.batch, 0),
        grid=torch.where(has_mask.view(-1, 1, 1), mask.grid, torch.zeros_like(mask.grid)).float(),
        area=shown.mean((1, 2, 3)),
        iterations=torch.full((rows.batch,), passes),
        stop_reason=torch.where(has_mask, int(StopReason.FINISHED), reason),
        has_mask=has_mask,
        target=rows.target,
        prediction=rows.prediction,
        probability=rows.probability,
        kept=kept,
        removed=removed,
        loss=torch.zeros_like(kept),
    )
    return Outcome(*(tensor.cpu() for tensor in outcome))
