"""Quantus evaluates explanations by calling a function again and again; this is that function.

    quantus.PixelFlipping(...)(model=net, x_batch=x, y_batch=y, explain_func=gfi.quantus_explain)

Quantus calls it with `model=`, numpy arrays, and whatever `explain_func_kwargs` holds. The network is
read afresh on every call: randomisation tests (MPRT) change the weights in between. Quantus itself is
not imported.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gfi.method.explainer import GuidedFeatureInversion


def quantus_explain(
    model: nn.Module,
    inputs: NDArray[np.floating],
    targets: NDArray[np.integer] | int | None = None,
    device: str | None = None,
    **kwargs: Any,
) -> NDArray[np.float32]:
    """Masks (N, 1, H, W) in [0, 1] as numpy, float64 for float64 inputs and float32 otherwise.

    inputs: (N, C, H, W), normalised; targets: (N,) class indices, one for all, or None for the predicted
    class; device: where to run, default where the model's parameters are ("gpu", Quantus' word, means
    CUDA); kwargs: the keywords of `GuidedFeatureInversion` (preset, layers, batch, output, preprocess).
    """
    parameter = next(model.parameters(), None)
    here = parameter.device if parameter is not None else torch.device("cpu")
    place = torch.device("cuda" if device == "gpu" else device) if device else here
    dtype = torch.float64 if inputs.dtype == np.float64 and _is_double(model) else torch.float32
    images = torch.as_tensor(np.ascontiguousarray(inputs)).to(place, dtype)
    classes = None if targets is None else torch.as_tensor(np.atleast_1d(targets)).long()
    masks = GuidedFeatureInversion(model, **kwargs).attribute(images, classes)
    return masks.cpu().numpy()


def _is_double(model: nn.Module) -> bool:
    return any(p.dtype == torch.float64 for p in model.parameters())
