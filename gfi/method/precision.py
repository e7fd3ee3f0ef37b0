"""The precisions in which a network is computed, by name: `Profile.dtype` is the name.

float32    the default
float64    for comparisons
bfloat16   eight bits of mantissa in the network; masks, weights and losses stay float32
tf32       float32 in memory; on CUDA, products and convolutions round their factors to ten bits of mantissa
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from gfi.domain.errors import MethodError


@dataclass(frozen=True)
class Precision:
    """dtype: of the network's weights and activations. tf32: whether the matrix units may round factors to TF32."""

    name: str
    dtype: torch.dtype
    tf32: bool = False


PRECISIONS: Mapping[str, Precision] = {
    precision.name: precision
    for precision in (
        Precision("float32", torch.float32),
        Precision("float64", torch.float64),
        Precision("bfloat16", torch.bfloat16),
        Precision("tf32", torch.float32, tf32=True),
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
    if precision.tf32 and device.type != "cuda":
        raise MethodError(f"precision tf32 exists on CUDA devices only; on `{device}` use float32")
    if precision.dtype == torch.float64 and device.type == "mps":
        raise MethodError(f"device `{device}` does not compute in float64; use float32")
    return precision
