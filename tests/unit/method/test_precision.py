"""Precisions by name: what is accepted where."""

import pytest
import torch

from gfi.domain.errors import MethodError
from gfi.domain.presets import recipe
from gfi.method import classifiers
from gfi.method.engine import Engine
from gfi.method.precision import PRECISIONS, precision_of
from tests.unit.method.networks import Small


@pytest.mark.parametrize("name", ["float32", "float64", "bfloat16"])
def test_a_dtype_and_its_name_are_one_precision(name: str) -> None:
    cpu = torch.device("cpu")
    assert precision_of(name, cpu) is precision_of(getattr(torch, name), cpu) is PRECISIONS[name]
    engine = Engine(classifiers.from_module(Small(), (32, 32)), recipe("paper"), batch=1, dtype=name)
    assert engine.profile.dtype == name
    assert engine.dtype == getattr(torch, name)


def test_tf32_is_a_precision_of_cuda_alone() -> None:
    assert precision_of("bfloat16+graphs", torch.device("cuda:0")).graphs
    chosen = precision_of("tf32", torch.device("cuda:0"))
    assert chosen.tf32
    assert chosen.dtype == torch.float32
    with pytest.raises(MethodError, match="tf32 exists on CUDA devices only; on `cpu` use float32"):
        precision_of("tf32", torch.device("cpu"))


def test_what_a_device_does_not_compute_is_one_line() -> None:
    with pytest.raises(MethodError, match="`mps` does not compute in float64; use float32"):
        precision_of("float64", torch.device("mps"))
    with pytest.raises(
        MethodError, match="int8 is not a supported precision; use float32, float64, bfloat16"
    ):
        precision_of("int8", torch.device("cpu"))
