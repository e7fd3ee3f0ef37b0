"""Descent on the average of normalised gradients, in steps relative to the map."""

import pytest
import torch

from gfi.domain.presets import recipe
from gfi.method.parts.map_relative_descent import MapRelativeDescent
from tests.unit.method.networks import small_inversion


def test_a_cycle_moves_the_map_as_far_as_the_rate_says_and_a_step_within_it_not_at_all() -> None:
    chosen = recipe("tuned", rate=0.1, halve_every=8, levels=[0.15, 0.5], steps_class=16)
    inversion, _, _ = small_inversion(chosen)
    before = inversion.map(inversion.omega)
    assert before.abs().amax((1, 2)).tolist() == pytest.approx([1, 1, 1])
    while not inversion.done:
        t = inversion.steps_taken[0]
        inversion.step()
        after = inversion.map(inversion.omega)
        allowed = 0.0 if t % 4 != 3 else 0.1 if t < 8 else 0.05
        assert (after - before).abs().amax((1, 2)).tolist() == pytest.approx([allowed] * 3, rel=1e-3)
        before = after


def test_every_term_of_a_cycle_counts_equally_whatever_the_scale_of_its_loss() -> None:
    chosen = recipe("tuned", levels=[0.25], steps_class=2)
    inversion, _, _ = small_inversion(chosen)
    search = inversion.step_rule
    assert isinstance(search, MapRelativeDescent)
    random = torch.Generator().manual_seed(0)
    omega = torch.zeros_like(inversion.omega)
    quiet, loud = (torch.randn(omega.shape, generator=random) for _ in range(2))
    moves = []
    for scale in (1.0, 1e6):
        count = torch.zeros(len(omega), dtype=torch.long)
        assert torch.equal(search.update(omega, quiet, count, True), omega)
        moves.append(search.update(omega, scale * loud, count + 1, True))
    torch.testing.assert_close(moves[0], moves[1])


def test_steps_redistribute_evidence_and_add_none() -> None:
    inversion, _, _ = small_inversion(recipe("tuned"))
    mean = inversion.map(inversion.omega).mean((1, 2))
    while not inversion.done:
        inversion.step()
    assert inversion.omega.abs().max() > 0
    assert (inversion.map(inversion.omega).mean((1, 2)) - mean).abs().max() < 1e-5
