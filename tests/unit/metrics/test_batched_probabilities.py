"""Scores do not depend on the batch: its size, an image's neighbours, its precision."""

import pytest
import torch

from gfi.metrics import fills
from gfi.metrics.area import area
from gfi.metrics.average_drop import average_drop
from gfi.metrics.deletion import deletion
from gfi.metrics.insertion import insertion
from tests.unit.metrics.cases import probabilities


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


def test_a_mask_that_is_not_finite_has_no_score_and_changes_no_other(net, batch):
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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda targets: targets.float(), "whole numbers from 0, not torch.float32"),
        (lambda targets: targets > 0, "whole numbers from 0, not torch.bool"),
        (lambda targets: targets - 1 - targets.max(), "the numbers of classes from 0, not -"),
        (lambda targets: targets + 999, "is not a class; classes are 0 to"),
        (lambda targets: targets.numpy(), "targets are a tensor, not a ndarray; use torch.as_tensor"),
    ],
)
def test_targets_that_are_no_classes_are_refused(net, batch, change, said):
    images, masks, targets = batch
    with pytest.raises(ValueError, match=said):
        deletion(probabilities(net), images, masks, change(targets))


@pytest.mark.parametrize("kind", [torch.uint8, torch.bool, torch.int64])
def test_masks_of_zeros_and_ones_count_as_masks_in_any_type(net, batch, kind):
    images, masks, targets = batch
    marked = (masks > masks.mean()).float()
    for metric in (
        lambda m: deletion(probabilities(net), images, m, targets.to(torch.uint8)).area,
        lambda m: average_drop(probabilities(net), images, m, targets).drop,
        lambda m: torch.from_numpy(area(m.numpy()).area),
    ):
        assert torch.equal(metric(marked.to(kind)), metric(marked))
