"""Opti-CAM: the weighted sum of a layer's channels that, as a mask, gives the highest class score.

    max over u of  y_c(x ⊙ U(n(Σ_k softmax(u)_k A^k))),   n(S) = (S − min S)/(max S − min S)

A^k is channel k of the layer, rectified where it has negative values; U up-samples bilinearly to the input (the paper
takes minimum and maximum after it; here they are taken on the layer's grid, as in Eq. 7 of guided inversion); y_c is
the class's output before the softmax. u starts at 0 and is optimised by Adam. Covered pixels have the mean colour (zero
after normalisation). Written from the equation, not from the authors' program.

References
----------
Zhang, Torres, Sicre, Avrithis, Ayache, "Opti-CAM: Optimizing saliency maps for interpretability", Computer Vision and
Image Understanding 248, 2024, arXiv 2301.07002.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gfi.method import batch_invariance, masks
from gfi.method.masks import Upsampling
from gfi.method.rows import Rows

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
"""Of Adam."""


def maps(rows: Rows, features: Tensor, tick: Callable[[], None]) -> Tensor:
    """n(S) on the layer's grid, (B, h, w), of the images in `rows`; its up-sampling is the mask.

    features: A, (B, K, h, w). tick: called after every step.
    """
    recipe, images = rows.recipe, rows.images
    upsample = Upsampling.between(features, images, align_corners=False)
    u = features.new_zeros(features.shape[:2])
    first, second = torch.zeros_like(u), torch.zeros_like(u)
    for step in range(1, recipe.opti_steps + 1):
        with torch.enable_grad():
            weights = u.detach().requires_grad_()
            mask = upsample(_scaled(weights, features)).unsqueeze(1)
            score = rows.network.scores(images * mask, rows.target, rows.foil)
            (gradient,) = torch.autograd.grad(-score.sum(), weights)
        first = BETA_1 * first + (1 - BETA_1) * gradient
        second = BETA_2 * second + (1 - BETA_2) * gradient.square()
        size = (second / (1 - BETA_2**step)).sqrt() + EPSILON
        u = u - recipe.opti_rate * (first / (1 - BETA_1**step)) / size
        tick()
    return _scaled(u, features)


def _scaled(u: Tensor, features: Tensor) -> Tensor:
    """n of the weighted sum, (B, h, w); zero where the sum is constant."""
    weights = batch_invariance.by_row(lambda row: row.softmax(0), u)
    grid = masks.combine(weights, features)
    low, high = grid.amin((1, 2), keepdim=True), grid.amax((1, 2), keepdim=True)
    return (grid - low) / torch.where(high > low, high - low, torch.ones_like(low))
