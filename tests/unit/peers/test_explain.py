"""What all methods have in common behind `gfi.peers.explain`."""

import pytest
import torch

from gfi.domain.errors import MethodError
from gfi.peers import METHODS, explain
from tests.unit.peers.options import run


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_maps_in_0_to_1_and_the_same_ones_again(net, batch, method):
    images, _, targets = batch
    maps = run(method, net, images, targets)
    assert maps.shape == (4, 1, 22, 26)
    assert maps.dtype == images.dtype
    assert not maps.requires_grad
    assert maps.min() >= 0
    torch.testing.assert_close(maps.amax((1, 2, 3)), torch.ones(4, dtype=images.dtype))
    assert torch.equal(maps, run(method, net, images, targets))


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"random", "centred"}))
def test_a_map_depends_on_its_class_and_not_on_other_images(net, batch, method):
    images, _, targets = batch
    maps = run(method, net, images, targets)
    other = run(method, net, images, (targets + 1) % 5)
    assert not torch.allclose(maps, other, atol=1e-3)
    torch.testing.assert_close(run(method, net, images[2:3], targets[2:3]), maps[2:3])


def test_errors_say_what_to_do(net, batch):
    images, _, targets = batch
    with pytest.raises(MethodError, match="there is no method `gradcam`; choose one of grad-cam"):
        explain("gradcam", net, images, targets)
    with pytest.raises(MethodError, match="needs a layer"):
        explain("grad-cam", net, images, targets)
    with pytest.raises(MethodError, match="layer `33` does not exist"):
        explain("grad-cam", net, images, targets, layer="33")
    with pytest.raises(MethodError, match="channels × h × w"):
        explain("grad-cam", net, images, targets, layer="7")
    with pytest.raises(MethodError, match="one target each"):
        explain("random", net, images, targets[:1])
    for wrong, said in (
        (targets.float(), "not torch.float32"),
        (targets > 0, "not torch.bool"),
        (targets - 9, "from 0, not -"),
    ):
        with pytest.raises(MethodError, match=said):
            explain("rise", net, images, wrong)
    for method, layer in (("grad-cam", "0"), ("rise", None)):
        with pytest.raises(MethodError, match="target 99 is not a class of the network"):
            explain(method, net, images, targets * 0 + 99, layer=layer)
