"""What the network still keeps of an image at each depth: stage 1 alone, over several layers l0.

Stage 1 finds the part of the image that must be kept so that the features at l0 do not change, whatever the class
(Eq. 8). Run at one layer per resolution, from shallow to deep, it shows what the network has discarded by then. Each
mask comes with its inversion error, the relative squared error of the kept image's features at l0:

    e = ‖f^{l0}(Φ(x, m)) − f^{l0}(x)‖² / ‖f^{l0}(x)‖²

The mask is made from the channels of l0 itself, rectified.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from gfi.domain import geometry
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

MOST_LAYERS = 7
"""Of a ladder."""


class Depth(NamedTuple):
    """The mask of one image at one layer."""

    image: int
    """The image's position among those given."""
    layer: str
    """l0."""
    grid: NDArray[np.float32]
    """(h, w), scaled; `geometry.draw` draws it."""
    error: float
    """The inversion error e: 0 if all features are kept; 1 if the error is as large as the features."""
    status: ImageStatus
    """As in `Explanation`."""


def ladder(classifier: Classifier) -> list[str]:
    """One layer for each resolution of the network, from shallow to deep, at most MOST_LAYERS.

    Each is the last map of its resolution that a block returns; the deepest is the l0 that `paper` uses. A ViT has one
    resolution throughout: there the ladder holds normalised tokens at equal distances, up to l0.
    """
    tokens = [
        call for call in classifier.calls if call.extra and call.kind == "LayerNorm" and not call.unread
    ]
    if tokens:
        step = -(-len(tokens) // MOST_LAYERS)  # rounded up
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
    coarsest = own.grid[0] * own.grid[1] if own.grid else 0
    finer = [last[grid] for grid in sizes if grid[0] * grid[1] > coarsest]
    return [deepest, *(call.name + TOKENS * call.tokens for call in finer)][:MOST_LAYERS][::-1]


def by_layer(
    classifier: Classifier,
    prepared: Sequence[Prepared],
    layers: Sequence[str] = (),
    batch: int | None = None,
    recipe: Recipe = PAPER,
    device: str = "cpu",
) -> Iterator[Depth]:
    """Stage 1 for each layer and each image.

    Parameters
    ----------
    classifier
        The network to examine.
    prepared
        The images.
    layers
        The layers l0, as in `gfi.domain.layer_names`; without any, those of `ladder`.
    batch
        Images optimised together; None: as many as fit.
    recipe
        Its stage 1 is used.
    device
        "cpu", a CUDA device such as "cuda:0", or "mps" (never tested).

    Yields
    ------
    Depth
        All images of the first layer in order, then those of the second, and so on.

    Raises
    ------
    MethodError
        For a recipe without stage 1 and for a layer that is not a map.

    Examples
    --------
    >>> import torch
    >>> from gfi.method.classifiers import from_module
    >>> _ = torch.manual_seed(0)
    >>> net = torch.nn.Sequential(
    ...     torch.nn.Conv2d(3, 8, 3, 1, 1), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Conv2d(8, 8, 3, 1, 1),
    ...     torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 5))
    >>> image = Prepared(torch.rand(3, 32, 32), None, (32, 32), (0.0, 0.0, 32.0, 32.0))
    >>> [(depth.layer, depth.grid.shape) for depth in by_layer(from_module(net, (32, 32)), [image])]
    [('1', (32, 32)), ('4', (16, 16))]
    """
    if recipe.steps_inversion < 1:
        raise MethodError(f"preset `{recipe.name}` has no stage 1; take `paper`")
    recipe = replace(recipe, steps_class=0)
    for layer in layers or ladder(classifier):
        mask_layer = rectified(layer, classifier.calls)
        engine = Engine(classifier, recipe, Layers(layer, (mask_layer,)), device=device, batch=batch)
        items = (Item(i, image) for i, image in enumerate(prepared))
        for explanation in sorted(engine.explain_many(items), key=lambda e: e.index):
            i, grid = explanation.key, explanation.grid
            yield Depth(i, layer, grid, _error(engine, prepared[i], grid), explanation.status)


@torch.no_grad()
def _error(engine: Engine, prepared: Prepared, grid: NDArray[np.float32]) -> float:
    """The inversion error e of one image, with the mask as it is drawn."""
    network, recipe = engine.network, engine.recipe
    size = engine.classifier.preprocess.size
    mask = torch.from_numpy(geometry.draw(grid, size, recipe.align_corners))
    fill, _ = engine.fill_of(Item(0, prepared))
    image, fill, mask = (tensor.to(engine.device, network.dtype) for tensor in (prepared.image, fill, mask))
    kept = masks.blend(image[None], fill[None], mask[None, None])
    f_x, f_kept = network.representation(image[None]), network.representation(kept)
    return float((f_kept - f_x).square().sum() / f_x.square().sum())
