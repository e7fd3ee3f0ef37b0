"""ROAD against a loop over its shares."""

import torch

from gfi.metrics.fills import imputation
from gfi.metrics.road import road
from tests.unit.metrics.cases import probabilities


def test_both_scores_equal_a_loop_over_nine_shares(net, batch):
    images, masks, targets = batch
    scores = road(probabilities(net), images, masks, targets)
    impute = imputation()
    for i in (0, 1):
        order = masks[i].flatten().argsort(descending=True, stable=True)
        removed, kept = [], []
        for share in range(1, 10):
            marked = torch.zeros(22 * 26, dtype=torch.bool)
            marked[order[: share * 22 * 26 // 10]] = True
            marked = marked.view(1, 1, 22, 26)
            for known, into in ((~marked, removed), (marked, kept)):
                into.append(float(net(impute(images[i : i + 1], known)).softmax(1)[0, targets[i]]))
        assert abs(float(scores.deletion[i]) - sum(removed) / 9) < 1e-9
        assert abs(float(scores.insertion[i]) - sum(kept) / 9) < 1e-9


def test_an_image_alone_scores_as_among_others_and_a_mask_that_is_not_finite_has_no_score(net, batch):
    images, masks, targets = batch
    masks[3, 0, 0, 0] = torch.inf
    together = road(probabilities(net), images, masks, targets)
    alone = road(probabilities(net), images[1:2], masks[1:2], targets[1:2])
    assert torch.equal(together.deletion[1], alone.deletion[0])
    assert torch.equal(together.insertion[1], alone.insertion[0])
    assert together.deletion[3].isnan()
    assert together.insertion[3].isnan()
