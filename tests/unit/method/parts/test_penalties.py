"""The size of the weights."""

import torch

from gfi.method.parts.penalties import l1, squares


def test_penalties_are_sums_over_one_row() -> None:
    omega = torch.tensor([[0.0, 0.5, 2.0], [1.0, -1.0, 0.0]])
    assert l1(omega).tolist() == [2.5, 2.0]
    assert squares(omega).tolist() == [4.25, 2.0]


def test_l1_does_not_push_a_weight_that_is_zero() -> None:
    omega = torch.tensor([[0.0, 0.5]], requires_grad=True)
    l1(omega).sum().backward()
    assert omega.grad is not None
    assert omega.grad.tolist() == [[0.0, 1.0]]
