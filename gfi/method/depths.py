"""What each depth of a network still keeps of an image: stage 1 alone, over a ladder of layers l0.

Stage 1 asks which part of the image must stay so that the features at l0 stay what they are, whatever the class
(Eq. 8). Run at one layer a resolution, from shallow to deep, it shows what the network has let go by then. Beside
each mask stands its inversion error, the share of the features at l0 that the kept image does not give back:

    e = ‖f^{l0}(Φ(x, m)) − f^{l0}(x)‖² / ‖f^{l0}(x)‖²

The mask is made from the channels of l0 itself, rectified.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from gfi.domain import interpolation
from gfi.domain.errors import MethodError
from gfi.domain.layer_names import TOKENS, Layers
from gfi.domain.presets import PAPER
from gfi.domain.recipes import Recipe
from gfi.domain.statuses import ImageStatus
from gfi.method import masks
from gfi.method.classifiers import Classifier
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.method.layers import ACTIVATION, POOLING, PRODUCER, Call, rectified
from gfi.method.preprocess import Prepared

DEEPEST = 7  # layers of a ladder at most


class Depth(NamedTuple):
    """One image at one depth."""

    image: int
    """Its number among those given."""
    layer: str
    grid: NDArray[np.float32]
    """(h, w), scaled; `interpolation.draw` draws it."""
    error: float
    """e above: 0 where all is kept, 1 where as much is missing as there was."""
    status: ImageStatus


def ladder(classifier: Classifier) -> list[str]:
    """The last map of each resolution that is finer than the one after it, from shallow to deep, at most DEEPEST.

    Among the maps of one resolution the last that a block hands on; the deepest is the classifier's own l0. A ViT has
    one resolution throughout: there every so many of its normalised tokens, up to l0.
    """
    tokens = [
        call for call in classifier.calls if call.extra and call.kind == "LayerNorm" and not call.unread
    ]
    if tokens:
        step = -(-len(tokens) // DEEPEST)
        return [call.name + TOKENS for call in tokens[::-1][::step][::-1]]
    last: dict[tuple[int, int], Call] = {}
    final = {call.name: i for i, call in enumerate(classifier.calls)}
    for i, call in enumerate(classifier.calls):
        known = ACTIVATION.search(call.kind) or PRODUCER.search(call.kind) or not call.leaf
        if not call.spatial or call.grid is None or call.extra or POOLING.search(call.kind) or not known:
            continue
        if final[call.name] == i:
            last[call.grid] = call
    deepest = classifier.layer_choice(PAPER).layers.inverted
    sizes = sorted(last, key=lambda grid: grid[0] * grid[1])
    own = next(call for call in reversed(classifier.calls) if call.name == deepest.removesuffix(TOKENS))
    coarser = own.grid[0] * own.grid[1] if own.grid else 0
    found = [
        last[grid].name + TOKENS * last[grid].tokens
        for grid in sizes
        if grid[0] * grid[1] > coarser
    ]  # fmt: skip
    return [deepest, *found][:DEEPEST][::-1]


def by_layer(
    classifier: Classifier, prepared: Sequence[Prepared], layers: Sequence[str] = (), batch: int | None = None,
    recipe: Recipe = PAPER, device: str = "cpu",
) -> Iterator[Depth]:  # fmt: skip
    """Stage 1 of `recipe` for each layer (default: `ladder`) and each image; depth by depth, images in order.

    Raises MethodError for a layer that is no map.
    """
    if recipe.steps_inversion < 1:
        raise MethodError(f"preset `{recipe.name}` has no stage 1; take `paper`")
    recipe = replace(recipe, steps_class=0)
    for layer in layers or ladder(classifier):
        weighed = rectified(layer, classifier.calls)
        engine = Engine(classifier, recipe, Layers(layer, (weighed,)), device=device, batch=batch)
        items = (Item(i, image) for i, image in enumerate(prepared))
        for found in sorted(engine.explain_many(items), key=lambda e: e.index):
            yield Depth(
                found.index,
                layer,
                found.grid,
                _error(engine, prepared[found.index], found.grid),
                found.status,
            )


@torch.no_grad()
def _error(engine: Engine, prepared: Prepared, grid: NDArray[np.float32]) -> float:
    """e of one image, on the mask as it is drawn."""
    network, recipe = engine.network, engine.recipe
    size = engine.classifier.preprocess.size
    mask = torch.from_numpy(interpolation.draw(grid, size, recipe.align_corners))
    fill, _ = engine.fill_of(Item(0, prepared))
    image, fill, mask = (each.to(engine.device, network.dtype) for each in (prepared.image, fill, mask))
    kept = masks.blend(image[None], fill[None], mask[None, None])
    wanted, found = network.representation(image[None]), network.representation(kept)
    return float((found - wanted).square().sum() / wanted.square().sum())
