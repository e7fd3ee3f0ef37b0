"""Every row of a batch has the same bits, whatever its slot: what kernels need for that on the CPU.

An image's mask must not depend on where in the batch it stood, and the recipes make 0.01 of a rounding. Each row is
computed from itself alone; but kernels round a row by its *place*, in three ways that were met:

- BLAS products, where a row's memory does not begin at a cache line (MKL on AMD processors: 7×7 cells of float32),
- BLAS and oneDNN, where rows are left over from whole blocks: of 6 the last 2,
- vectorised exponentials, in the last few elements of a tensor or of a thread's share of it.

The remedies cost a few zeros: `product`, `whole_batch`, `by_row`; `even` brings them to a network's own modules.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

CACHE_LINE = 16
"""Elements; in float32 64 bytes."""
BLOCK = 8
"""Rows."""
GRAIN = 32768
"""Elements below which torch computes on one thread."""
EXPONENTIALS = (
    nn.Sigmoid,
    nn.SiLU,
    nn.GELU,
    nn.Tanh,
    nn.Mish,
    nn.Softplus,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.LogSigmoid,
)


def whole_batch(batch: int) -> int:
    """The largest of 1, 2, 4, 8, 12, 16 … that is not above `batch`, which is at least 1: no rows are left over."""
    return batch // 4 * 4 if batch >= 4 else min(batch, 2)


def product(left: Tensor, right: Tensor) -> Tensor:
    """left · right of every row, (B, m, k) and (B, k, n) → (B, m, n); its gradients too have the same bits in
    every slot.

    bmm, not matmul: matmul folds the batch into the rows of one product, whose blocks may then round a row
    differently by its place. And filled up with zeros, so that every row begins at a cache line.
    """
    n = right.shape[2]
    return torch.bmm(filled_up(left, 2), filled_up(filled_up(right, 1), 2))[:, :, :n]


def filled_up(tensor: Tensor, axis: int, multiple: int = CACHE_LINE) -> Tensor:
    """`tensor` with zeros at the end of `axis`, up to the next multiple; itself where nothing is missing."""
    missing = -tensor.shape[axis] % multiple
    return functional.pad(tensor, (0, 0) * (tensor.ndim - 1 - axis) + (0, missing)) if missing else tensor


def by_row(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """`function`, which is elementwise, of each row by itself."""
    return torch.stack([function(row) for row in rows])


def make_batch_invariant(module: nn.Module) -> None:
    """Make the linear layers and the exponentials among `module`'s modules compute every row alike, in place.

    What is written as a function, not as a module, is out of reach.
    """
    for part in module.modules():
        if type(part) is nn.Linear:  # what derives from it may compute otherwise
            BatchInvariantLinear.become(part)
        elif type(part) in EXPONENTIALS:
            part.forward = functools.partial(_row_by_row, functools.partial(type(part).forward, part))
            if hasattr(part, "inplace"):
                part.inplace = False  # type: ignore[assignment]


class BatchInvariantLinear(nn.Linear):
    """A linear layer whose input, output and rows - of one image, where it has many - are filled up with zeros."""

    even_weight: Tensor | None
    even_bias: Tensor | None

    @classmethod
    def become(cls, linear: nn.Linear) -> None:
        """`linear` is one from now on; its own weights stay, for who reads them without calling it."""
        linear.__class__ = cls
        weight = filled_up(filled_up(linear.weight, 0), 1)
        bias = None if linear.bias is None else filled_up(linear.bias, 0)
        missing = weight is not linear.weight
        linear.register_buffer("even_weight", weight if missing else None, persistent=False)
        linear.register_buffer("even_bias", bias if missing else None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in_features) → (…, out_features)."""
        if x.ndim == 1:
            return self.forward(x[None])[0]
        count = x.shape[-2]
        x = filled_up(filled_up(x, x.ndim - 1), x.ndim - 2, BLOCK)
        if self.even_weight is None:
            y = functional.linear(x, self.weight, self.bias)
        else:
            y = functional.linear(x, self.even_weight, self.even_bias)
        return y[..., :count, : self.out_features].contiguous()  # as who calls `view` on it expects


def _row_by_row(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return by_row(function, x) if x.device.type == "cpu" and _has_tail(x) else function(x)


def _has_tail(x: Tensor) -> bool:
    """Some thread's share of `x` is no whole number of vectors, so that its last elements round otherwise."""
    threads = max(1, min(torch.get_num_threads(), -(-x.numel() // GRAIN)))
    return x.numel() % (64 * threads) != 0
