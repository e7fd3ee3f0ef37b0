"""Controls do not depend on the network or on its training."""

import torch
from torch import nn

from gfi.peers import explain, randomised


def test_controls_do_not_depend_on_the_network(batch):
    images, _, targets = batch
    noise = explain("random", None, images, targets, seed=1)
    assert not torch.equal(noise[0], noise[1])
    assert not torch.equal(noise, explain("random", None, images, targets, seed=2))
    middle = explain("centred", None, images, targets)[0, 0]
    torch.testing.assert_close(middle, middle.flip(0).flip(1))
    assert divmod(int(middle.argmax()), 26) in {(10, 12), (10, 13), (11, 12), (11, 13)}


def test_a_randomised_network_keeps_its_shape_but_not_its_weights():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5))
    net[1].running_mean += 3
    before = {name: value.clone() for name, value in net.state_dict().items()}
    blank = randomised(net, seed=4)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    assert not torch.allclose(blank[0].weight, net[0].weight)
    assert blank[1].weight.eq(1).all()
    assert blank[1].running_mean.eq(0).all()
    assert not blank.training
    again = randomised(net, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(blank.parameters(), again.parameters(), strict=True))
    assert not torch.equal(blank[0].weight, randomised(net, seed=5)[0].weight)
    assert 0.1 < float(blank(torch.randn(64, 3, 8, 8)).detach().std()) < 10
