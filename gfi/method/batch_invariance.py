"""Makes every row of a batch have the same bits in every slot, on the CPU.

The mask of an image must not depend on its slot in the batch, and the optimiser amplifies a rounding error of 1e-7 to
about 0.01 in the final mask. Each row is computed independently, but kernels round a row differently depending on its
*position*. Three cases were found:

- BLAS products, if the memory of a row does not begin at a cache line (MKL on AMD processors: 7×7 cells of float32),
- BLAS and oneDNN, if rows are left over from whole blocks: the last 2 of 6,
- vectorised exponentials, in the last few elements of a tensor or of one thread's share of it.

The remedies are padding with zeros (`matrix_product`), batches of whole blocks (`whole_batch`) and separate rows
(`by_row`); `make_batch_invariant` applies them to the modules of a network.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

CACHE_LINE = 16
"""Elements of a cache line: 64 bytes of float32."""
BLOCK = 8
"""Rows that BLAS and oneDNN compute together."""
GRAIN = 32768
"""Elements below which torch uses one thread."""
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
    """The largest of 1, 2, 4, 8, 12, 16, … that is at most `batch` (≥ 1), so that no rows are left over.

    >>> [whole_batch(batch) for batch in (1, 3, 7, 70)]
    [1, 2, 4, 68]
    """
    return batch // 4 * 4 if batch >= 4 else min(batch, 2)


def matrix_product(left: Tensor, right: Tensor) -> Tensor:
    """left · right for every row, (B, m, k) and (B, k, n) → (B, m, n); the same bits in every slot, also of gradients.

    bmm, not matmul: matmul folds the batch into the rows of one product, whose blocks may round a row differently by
    its position. Both factors are padded with zeros, so that every row begins at a cache line.
    """
    n = right.shape[2]
    return torch.bmm(padded(left, 2), padded(padded(right, 1), 2))[:, :, :n]


def padded(tensor: Tensor, axis: int, multiple: int = CACHE_LINE) -> Tensor:
    """`tensor` with zeros appended along `axis` up to the next multiple; unchanged if it has one already."""
    missing = -tensor.shape[axis] % multiple
    return functional.pad(tensor, (0, 0) * (tensor.ndim - 1 - axis) + (0, missing)) if missing else tensor


def by_row(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """An elementwise `function`, applied to each row separately; on a GPU, whose kernels compute every element alike,
    to all rows together."""
    if rows.device.type != "cpu":
        return function(rows)
    return torch.stack([function(row) for row in rows])


def make_batch_invariant(module: nn.Module) -> None:
    """Change the linear layers and exponentials in `module`, in place, so that every row has the same bits in any slot.

    Operations that a network calls as functions, not as modules, cannot be changed.
    """
    for part in module.modules():
        if type(part) is nn.Linear:  # a subclass may compute something else
            BatchInvariantLinear.convert(part)
        elif type(part) in EXPONENTIALS:
            part.forward = functools.partial(_row_by_row, functools.partial(type(part).forward, part))
            if hasattr(part, "inplace"):
                part.inplace = False  # type: ignore[assignment]


class BatchInvariantLinear(nn.Linear):
    """A linear layer that pads its input, its output and its rows (tokens, if an image has many) with zeros."""

    padded_weight: Tensor | None
    padded_bias: Tensor | None

    @classmethod
    def convert(cls, linear: nn.Linear) -> None:
        """Convert `linear` in place; its own weights stay, for code that reads them without calling the layer."""
        linear.__class__ = cls
        weight = padded(padded(linear.weight, 0), 1)
        bias = None if linear.bias is None else padded(linear.bias, 0)
        missing = weight is not linear.weight
        linear.register_buffer("padded_weight", weight if missing else None, persistent=False)
        linear.register_buffer("padded_bias", bias if missing else None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in_features) → (…, out_features)."""
        if x.ndim == 1:
            return self.forward(x[None])[0]
        count = x.shape[-2]
        x = padded(padded(x, x.ndim - 1), x.ndim - 2, BLOCK)
        if self.padded_weight is None:
            y = functional.linear(x, self.weight, self.bias)
        else:
            y = functional.linear(x, self.padded_weight, self.padded_bias)
        return y[..., :count, : self.out_features].contiguous()  # networks call `view` on the output


def _row_by_row(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`function` of `x`; row by row only if the slot could change the result."""
    return by_row(function, x) if _has_tail(x) else function(x)


def _has_tail(x: Tensor) -> bool:
    """Whether some thread's share of `x` is not a whole number of vectors, so that its last elements round
    differently."""
    threads = max(1, min(torch.get_num_threads(), -(-x.numel() // GRAIN)))
    return x.numel() % (64 * threads) != 0
