"""The precisions in which a network is computed, by name: `Profile.dtype` is the name.

float32    the default
float64    for comparisons
bfloat16   eight bits of mantissa in the network; masks, weights and losses stay float32
tf32       float32 in memory; on CUDA, products and convolutions round their factors to ten bits of mantissa

On CUDA each exists with the suffix `+graphs` too: the same arithmetic, with the steps of the optimiser
launched as CUDA graphs (`gfi.method.cuda_graphs`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from gfi.domain.errors import MethodError


@dataclass(frozen=True)
class Precision:
    """dtype: of the network's weights and activations. tf32: whether the matrix units may round factors to TF32.
    graphs: whether steps are CUDA graphs."""

    name: str
    dtype: torch.dtype
    tf32: bool = False
    graphs: bool = False


_PLAIN = (
    Precision("float32", torch.float32),
    Precision("float64", torch.float64),
    Precision("bfloat16", torch.bfloat16),
    Precision("tf32", torch.float32, tf32=True),
)
PRECISIONS: Mapping[str, Precision] = {
    precision.name: precision
    for precision in (
        *_PLAIN,
        *(replace(plain, name=f"{plain.name}+graphs", graphs=True) for plain in _PLAIN),
    )
}


def precision_of(wanted: str | torch.dtype, device: torch.device) -> Precision:
    """The precision with this name, or with this dtype and without TF32.

    Raises MethodError for one that does not exist or that the device cannot compute in.
    """
    name = wanted if isinstance(wanted, str) else str(wanted).removeprefix("torch.")
    if name not in PRECISIONS:
        raise MethodError(f"{wanted} is not a supported precision; use {', '.join(PRECISIONS)}")
    precision = PRECISIONS[name]
    if (precision.tf32 or precision.graphs) and device.type != "cuda":
        raise MethodError(f"precision {name} exists on CUDA devices only; on `{device}` use float32")
    if precision.dtype == torch.float64 and device.type == "mps":
        raise MethodError(f"device `{device}` does not compute in float64; use float32")
    return precision
