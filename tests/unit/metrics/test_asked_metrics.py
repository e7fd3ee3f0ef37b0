"""The metrics that ask the network: equal to their literal versions, whatever the batch."""

import numpy as np
import pytest
import torch

from gfi.metrics import fills
from gfi.metrics.average_drop import average_drop
from gfi.metrics.curves import ranks
from gfi.metrics.deletion import deletion
from gfi.metrics.grid_pointing import choose, compose, grid_pointing
from gfi.metrics.insertion import insertion
from tests.unit.metrics import literal


def probabilities(net):
    return lambda images: net(images).softmax(1)


def one(net, target):
    return lambda image: float(net(torch.as_tensor(image)[None]).softmax(1)[0, target])


def test_pixels_go_in_mask_order_and_ties_in_raster_order():
    mask = torch.tensor([[0.5, 0.9, 0.5], [0.9, 0.1, 0.5]])
    assert ranks(mask[None, None])[0, 0].tolist() == [[2, 0, 3], [1, 5, 4]]


@pytest.mark.parametrize("fast", [deletion, insertion])
def test_deletion_and_insertion_equal_the_literal_versions(net, batch, fast):
    images, masks, targets = batch
    base = fills.mean_colour(images) if fast is deletion else fills.blurred(images)
    curve = fast(probabilities(net), images, masks, targets)
    assert curve.points.shape == (4, 29)
    for i in range(4):
        slow = literal.curve(
            one(net, targets[i]), images[i].numpy(), masks[i, 0].numpy(), base[i].numpy(), fast is deletion
        )
        np.testing.assert_allclose(curve.points[i], slow, atol=1e-12)
        assert float(curve.area[i]) == pytest.approx(literal.area_under(slow), abs=1e-12)


def test_a_curve_begins_and_ends_with_the_whole_image_and_the_fill(net, batch):
    images, masks, targets = batch
    ask = probabilities(net)
    whole = ask(images).gather(1, targets[:, None])[:, 0]
    blank = ask(torch.zeros_like(images)).gather(1, targets[:, None])[:, 0]
    curve = deletion(ask, images, masks, targets)
    torch.testing.assert_close(curve.points[:, 0], whole)
    torch.testing.assert_close(curve.points[:, -1], blank)


@pytest.mark.parametrize("size", [(28, 28), (5, 7), (1, 1), (23, 9)])
def test_sizes_that_28_does_not_divide_still_take_28_steps(size):
    images = torch.rand(2, 1, *size, dtype=torch.float64)

    def share(shown):  # the "probability" is the share of pixels still there
        kept = (shown != 0).double().mean((1, 2, 3))
        return torch.stack([kept, 1 - kept], 1)

    curve = deletion(share, images, torch.rand(2, 1, *size), torch.tensor([0, 0]))
    pixels = size[0] * size[1]
    expected = [1 - (k * pixels // 28) / pixels for k in range(29)]
    np.testing.assert_allclose(curve.points, [expected] * 2)


def test_the_network_never_sees_more_than_a_batch_nor_another_shape(net, batch):
    images, masks, targets = batch
    seen = []

    def ask(shown):
        seen.append(len(shown))
        return net(shown).softmax(1)

    few = insertion(ask, images, masks, targets, batch=8)
    assert set(seen) == {8}
    torch.testing.assert_close(few.area, insertion(probabilities(net), images, masks, targets).area)


def test_a_score_is_bit_equal_alone_and_among_neighbours(net, batch):
    images, masks, targets = (t.float() if t.is_floating_point() else t for t in batch)
    ask = probabilities(net.float())
    together = deletion(ask, images, masks, targets).points
    alone = torch.cat(
        [deletion(ask, *(t[i : i + 1] for t in (images, masks, targets))).points for i in range(4)]
    )
    assert torch.equal(together, alone)


def test_a_mask_that_is_not_finite_scores_nothing_and_spoils_no_neighbour(net, batch):
    images, masks, targets = batch
    clean = deletion(probabilities(net), images, masks, targets).area
    masks = masks.clone()
    masks[1, 0, 3, 3] = torch.nan
    area = deletion(probabilities(net), images, masks, targets).area
    assert area.isnan().tolist() == [False, True, False, False]
    torch.testing.assert_close(area[[0, 2, 3]], clean[[0, 2, 3]])
    drop = average_drop(probabilities(net), images, masks, targets)
    assert drop.drop.isnan().tolist() == [False, True, False, False]
    assert not drop.increase[1]


def test_half_precision_gives_nearly_the_same_scores(net, batch):
    images, masks, targets = batch
    exact = deletion(probabilities(net), images, masks, targets, fills.imputation()).area
    half = net.to(torch.bfloat16)
    coarse = deletion(probabilities(half), images.bfloat16(), masks, targets, fills.imputation()).area
    assert coarse.dtype == torch.float64
    torch.testing.assert_close(coarse, exact, atol=0.01, rtol=0)


def test_no_images_are_no_scores(net):
    none = torch.empty(0, 3, 8, 8, dtype=torch.float64)
    args = probabilities(net), none, none[:, :1], torch.empty(0, dtype=torch.long)
    assert deletion(*args).area.shape == insertion(*args).area.shape == average_drop(*args).drop.shape == (0,)


def test_wrong_shapes_are_refused(net, batch):
    images, masks, targets = batch
    with pytest.raises(ValueError, match="masks are"):
        deletion(probabilities(net), images, masks[:, 0], targets)
    with pytest.raises(ValueError, match="targets"):
        deletion(probabilities(net), images, masks, targets[:2])


def test_linear_imputation_equals_a_dense_solve():
    draw = torch.Generator().manual_seed(3)
    images = torch.randn(3, 2, 9, 11, generator=draw, dtype=torch.float64)
    known = torch.rand(3, 1, 9, 11, generator=draw) < torch.tensor([0.8, 0.3, 0.05]).view(3, 1, 1, 1)
    fast = fills.linear(images, known, tolerance=1e-10)
    for i in range(3):
        np.testing.assert_allclose(
            fast[i], literal.imputed(images[i].numpy(), known[i, 0].numpy()), atol=1e-8
        )


def test_imputation_keeps_what_is_known_and_knows_nothing_of_what_is_not():
    images = torch.randn(2, 3, 12, 12)
    known = torch.rand(2, 1, 12, 12) < 0.5
    other = torch.where(known, images, torch.randn(2, 3, 12, 12))
    impute = fills.imputation()
    filled = impute(images, known)
    assert torch.equal(torch.where(known, filled, images), images)
    torch.testing.assert_close(filled, impute(other, known))
    nothing, everything = torch.zeros_like(known), torch.ones_like(known)
    assert torch.equal(fills.linear(images, nothing), torch.zeros_like(images))
    assert torch.equal(impute(images, everything), images)


def test_deletion_with_imputation_hides_the_deleted_pixels_from_the_network(net, batch):
    images, masks, targets = batch
    curve = deletion(probabilities(net), images, masks, targets, fill=fills.imputation(tolerance=1e-10))
    marked = ranks(masks)[0, 0] < 14 * 22 * 26 // 28
    by_hand = literal.imputed(images[0].numpy(), ~marked.numpy()) + np.where(
        marked, 0.05 * fills.white_noise(images)[0].numpy(), 0
    )
    assert float(curve.points[0, 14]) == pytest.approx(one(net, 0)(by_hand), abs=1e-8)


def test_average_drop_equals_the_literal_version(net, batch):
    images, masks, targets = batch
    fast = average_drop(probabilities(net), images, masks, targets, batch=3)
    for i in range(4):
        drop, increase = literal.average_drop(one(net, targets[i]), images[i].numpy(), masks[i, 0].numpy())
        assert float(fast.drop[i]) == pytest.approx(drop, abs=1e-12)
        assert bool(fast.increase[i]) == increase


def test_a_full_mask_has_no_drop(net, batch):
    images, _, targets = batch
    assert (
        average_drop(probabilities(net), images, torch.ones(4, 1, 22, 26), targets).drop.tolist() == [0.0] * 4
    )


@pytest.mark.parametrize(("n", "size"), [(2, (12, 14)), (3, (16, 20)), (2, (7, 9))])
def test_grid_pointing_equals_the_literal_version(n, size):
    maps = torch.rand(n * n, 1, *size, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    score = grid_pointing(maps, n, torch.arange(n * n))
    for cell in range(n * n):
        share, hit = literal.grid_pointing(maps[cell, 0].numpy(), n, cell)
        assert float(score.share[cell]) == pytest.approx(share, abs=1e-12)
        assert bool(score.hit[cell]) == hit


def test_a_map_in_its_cell_wins_and_a_pedestal_changes_nothing():
    maps = torch.zeros(2, 1, 8, 8)
    maps[0, 0, 1, 6] = 1  # upper right: cell 1
    maps[1] = maps[0] / 2 + 0.5
    score = grid_pointing(maps, 2, torch.tensor([1, 1]))
    assert score.share.tolist() == [1.0, 1.0]
    assert score.hit.tolist() == [True, True]


def test_a_constant_map_finds_nothing_in_any_cell():
    score = grid_pointing(torch.full((4, 1, 6, 6), 0.7), 2, torch.arange(4))
    assert score.share.tolist() == [0.0] * 4
    assert not score.hit.any()


def test_a_grid_holds_its_images_in_raster_order():
    images = torch.arange(4.0).view(1, 4, 1, 1, 1).expand(1, 4, 3, 2, 2)
    assert compose(images, 2)[0, 0, ::2, ::2].tolist() == [[0, 1], [2, 3]]
    assert compose(images, 2, (2, 2)).shape == (1, 3, 2, 2)


def test_grids_are_of_distinct_confident_classes_and_repeat_themselves():
    predicted, confidence = [0, 0, 1, 2, 3, 4, 4], [0.95, 0.2, 0.99, 0.91, 0.93, 0.97, 0.94]
    grids = choose(predicted, confidence, 2, 20, seed=7)
    assert grids == choose(predicted, confidence, 2, 20, seed=7)
    for grid in grids:
        assert len({predicted[i] for i in grid}) == 4
        assert 1 not in grid
    with pytest.raises(ValueError, match="9 classes"):
        choose(predicted, confidence, 3, 1)
