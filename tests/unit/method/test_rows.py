"""What masks keep of the classes, and how far a mask stands out from its shifted copies."""

import torch

from gfi.domain.presets import recipe
from gfi.method import masks
from gfi.method.classifiers import from_module
from gfi.method.engine import Engine
from gfi.method.masks import Upsampling
from gfi.method.rows import Rows, lead, shifts


def test_copies_lie_a_third_of_the_side_apart():
    assert shifts(6, 9) == [(0, 3), (0, 6), (2, 0), (2, 3), (2, 6), (4, 0), (4, 3), (4, 6)]
    assert len({(i % 7, j % 7) for i, j in shifts(7, 7)}) == 8
    assert shifts(1, 1) == []


def test_copies_are_scored_as_masks_of_their_own_in_any_place_of_the_batch():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, 2, 1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 5),
    )
    engine = Engine(from_module(net, (24, 24)), recipe("paper"), batch=4, dtype=torch.float64)
    rows = Rows(engine.network, engine.recipe, 4)
    images, fills = torch.rand(2, 4, 3, 24, 24, dtype=torch.float64)
    rows.load(images, [fills])
    rows.load_classes(engine.network.probabilities(images), [None] * 4, [None, None, 2, None])
    grids = torch.rand(4, 6, 6, dtype=torch.float64)
    upsample = Upsampling.between(grids, images, align_corners=False)
    scores = rows.of_copies(grids, [2, 0], upsample)
    assert scores.shape == (2, 2, 8)
    for found, row in zip(scores, (2, 0), strict=True):
        assert torch.equal(found, rows.of_copies(grids, [row], upsample)[0])
        for k, shift in enumerate(shifts(6, 6)):
            mask = upsample(grids[row : row + 1].roll(shift, (1, 2))).unsqueeze(1)
            shown = masks.blend(images[row : row + 1], fills[row : row + 1], mask)
            expected = engine.network.probabilities(shown)[0]
            share = expected[rows.target[row]]
            if row == 2:
                share = share / (share + expected[2])
            torch.testing.assert_close(found[0, k], share)


def test_a_mask_among_equals_has_no_lead_and_one_that_keeps_more_has():
    kept, removed = torch.full((8,), 0.4), torch.full((8,), 0.4)
    assert lead(torch.tensor([0.4, 0.4]), torch.stack([kept, removed])) == 0
    assert lead(torch.tensor([0.5, 0.4]), torch.stack([kept, removed])) > 1e6
    spread = torch.linspace(0.1, 0.9, 8)
    assert 1.5 < lead(torch.tensor([0.99, 0.01]), torch.stack([spread, spread.flip(0)])) < 4
    assert lead(torch.tensor([1.0, 0.0]), torch.stack([spread, spread.flip(0)])).isfinite()
