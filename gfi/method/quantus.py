"""The explain function for Quantus, which evaluates explanations by calling a function again and again.

    quantus.PixelFlipping(...)(model=net, x_batch=x, y_batch=y, explain_func=gfi.quantus_explain)

Quantus passes `model=`, numpy arrays and whatever `explain_func_kwargs` holds. The network is copied again in every
call, because randomisation tests (MPRT) change its weights between calls. Quantus itself is not imported.
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
) -> NDArray[np.floating]:
    """Masks as numpy arrays, for Quantus' `explain_func`.

    Parameters
    ----------
    model
        The classifier: images (N, C, H, W) to outputs (N, K).
    inputs
        (N, C, H, W), normalised as the model expects.
    targets
        A class per image, (N,); one for all; or None for the predicted class.
    device
        "cpu" or "cuda"; "gpu", Quantus' word, means CUDA. None: where the model's parameters are.
    kwargs
        Keywords of `GuidedFeatureInversion`: preset, layers, batch, output, preprocess.

    Returns
    -------
    ndarray
        (N, 1, H, W) in [0, 1]: float64 if inputs and model are float64, otherwise float32.

    Raises
    ------
    MethodError
        As `GuidedFeatureInversion.attribute`.

    References
    ----------
    Hedström et al., "Quantus: An Explainable AI Toolkit for Responsible Evaluation of Neural Network Explanations and
    Beyond", JMLR 24(34), 2023.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(
    ...     nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    >>> masks = quantus_explain(net, np.ones((2, 3, 32, 32), np.float32), np.array([0, 3]), preset="paper")
    >>> masks.shape, masks.dtype
    ((2, 1, 32, 32), dtype('float32'))
    """
    parameter = next(model.parameters(), None)
    if device is not None:
        place = torch.device("cuda" if device == "gpu" else device)
    else:
        place = parameter.device if parameter is not None else torch.device("cpu")
    dtype = torch.float64 if inputs.dtype == np.float64 and _is_double(model) else torch.float32
    images = torch.as_tensor(np.ascontiguousarray(inputs)).to(place, dtype)
    classes = None if targets is None else np.atleast_1d(targets)
    if classes is not None and classes.dtype.kind == "f" and not (classes % 1).any():
        classes = classes.astype(np.int64)  # whole numbers, as tables keep them
    masks = GuidedFeatureInversion(model, **kwargs).attribute(images, classes)
    return masks.cpu().numpy()


def _is_double(model: nn.Module) -> bool:
    return any(p.dtype == torch.float64 for p in model.parameters())
