"""The other methods and the controls: the formulas, against captum or a loop, and the promises they share."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gfi.domain.errors import MethodError
from gfi.peers import METHODS, NEED_LAYER, explain, randomised, unit

OPTIONS = {
    "rise": {"masks": 40},
    "integrated-gradients": {"steps": 8},
    "occlusion": {"window": 6, "stride": 4},
}


def run(method, net, images, targets, **options):
    layer = "3" if method in NEED_LAYER else None
    return explain(method, net, images, targets, layer=layer, **OPTIONS.get(method, {}), **options)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_maps_between_0_and_1_and_repeats_itself(net, batch, method):
    images, _, targets = batch
    maps = run(method, net, images, targets)
    assert maps.shape == (4, 1, 22, 26)
    assert maps.dtype == images.dtype
    assert not maps.requires_grad
    assert maps.min() >= 0
    torch.testing.assert_close(maps.amax((1, 2, 3)), torch.ones(4, dtype=images.dtype))
    assert torch.equal(maps, run(method, net, images, targets))


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"random", "centred"}))
def test_a_map_is_of_its_own_class_and_image(net, batch, method):
    images, _, targets = batch
    maps = run(method, net, images, targets)
    other = run(method, net, images, (targets + 1) % 5)
    assert not torch.allclose(maps, other, atol=1e-3)
    torch.testing.assert_close(run(method, net, images[2:3], targets[2:3]), maps[2:3])


def test_grad_cam_equals_captum(net, batch):
    from captum.attr import LayerGradCam

    images, _, targets = batch
    # captum's hook keeps the tensor itself, so the ReLU after it must not work in place.
    net[4] = nn.ReLU()
    grid = LayerGradCam(net, net[3]).attribute(
        images.requires_grad_(), target=targets, relu_attributions=True
    )
    drawn = F.interpolate(grid, (22, 26), mode="bilinear", align_corners=False)
    torch.testing.assert_close(run("grad-cam", net, images, targets), unit(drawn.detach()))


def test_layer_cam_equals_its_formula_and_survives_an_in_place_relu(net, batch):
    images, _, targets = batch
    first, rest = net[:4], net[4:]
    for i, target in enumerate(targets):
        features = first(images[i : i + 1]).detach().requires_grad_()
        rest(features * 1.0)[0, target].backward()
        grid = torch.zeros(1, 1, *features.shape[2:], dtype=features.dtype)
        for k in range(features.shape[1]):
            grid[0, 0] += features.grad[0, k].clamp(min=0) * features.detach()[0, k]
        drawn = F.interpolate(grid.clamp(min=0), (22, 26), mode="bilinear", align_corners=False)
        fast = run("layer-cam", net, images[i : i + 1], targets[i : i + 1])
        torch.testing.assert_close(fast, drawn / drawn.max())


def test_a_rectified_layer_has_no_negative_features(net, batch):
    images, _, targets = batch
    plain = explain("layer-cam", net, images, targets, layer="3")
    rectified = explain("layer-cam", net, images, targets, layer="3:relu")
    # After the ReLU the slope is zero wherever the map is negative, so rectifying changes nothing here …
    torch.testing.assert_close(plain, rectified)
    # … but Grad-CAM averages the slope first, and there the negative part counts.
    assert not torch.equal(
        explain("grad-cam", net, images, targets, layer="3"),
        explain("grad-cam", net, images, targets, layer="3:relu"),
    )


def test_a_module_that_runs_several_times_means_its_last_call(batch):
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act, self.head = (
                nn.Conv2d(3, 4, 3, stride=2),
                nn.ReLU(inplace=True),
                nn.Conv2d(4, 5, 3),
            )

        def forward(self, x):
            return self.act(self.head(self.act(self.conv(x)))).mean((2, 3))

    torch.manual_seed(0)
    images, _, targets = batch
    net = Twice().double().eval().requires_grad_(False)
    maps = explain("grad-cam", net, images, targets, layer="act")
    torch.testing.assert_close(maps, explain("grad-cam", net, images, targets, layer="head:relu"))


def test_rise_equals_a_loop_over_its_masks(net, batch):
    images, _, targets = batch
    seen = []

    def probabilities(shown):
        seen.append(shown)
        return net(shown).softmax(1)

    ones = torch.ones_like(images[:1])
    maps = explain("rise", net, ones, targets[:1], masks=12, batch=5, probabilities=probabilities)
    masks = torch.cat(seen)[:, 0]  # an image of ones shows the masks themselves
    total = sum(net(m.expand(1, 3, -1, -1)).softmax(1)[0, 0] * m for m in masks) / masks.sum(0)
    expected = (total - total.min()) / (total.max() - total.min())
    torch.testing.assert_close(maps[0, 0], expected)
    assert len(masks) == 12
    torch.testing.assert_close(maps, explain("rise", net, ones, targets[:1], masks=12, batch=12))


def test_occlusion_finds_the_only_pixels_that_count():
    class Corner(nn.Module):
        def forward(self, x):
            mean = x[:, :, :4, :4].mean((1, 2, 3))
            return torch.stack([mean, -mean], 1)

    image = torch.ones(1, 3, 16, 16)
    options = {"window": 4, "stride": 4}
    drop = explain("occlusion", Corner(), image, torch.tensor([0]), **options)
    assert drop[0, 0, :4, :4].eq(1).all()
    assert drop[0, 0, 4:].eq(0).all()
    assert explain("occlusion", Corner(), image, torch.tensor([1]), **options).eq(0).all()


def test_controls_know_nothing_of_the_network(batch):
    images, _, targets = batch
    noise = explain("random", None, images, targets, seed=1)
    assert not torch.equal(noise[0], noise[1])
    assert not torch.equal(noise, explain("random", None, images, targets, seed=2))
    middle = explain("centred", None, images, targets)[0, 0]
    torch.testing.assert_close(middle, middle.flip(0).flip(1))
    assert divmod(int(middle.argmax()), 26) in {(10, 12), (10, 13), (11, 12), (11, 13)}


def test_a_randomised_network_keeps_its_shape_and_forgets_its_weights():
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


def test_mistakes_are_answered_with_advice(net, batch):
    images, _, targets = batch
    with pytest.raises(MethodError, match="no method is called `gradcam`; there are grad-cam"):
        explain("gradcam", net, images, targets)
    with pytest.raises(MethodError, match="needs a layer"):
        explain("grad-cam", net, images, targets)
    with pytest.raises(MethodError, match="layer `33` does not exist"):
        explain("grad-cam", net, images, targets, layer="33")
    with pytest.raises(MethodError, match="channels × h × w"):
        explain("grad-cam", net, images, targets, layer="7")
    with pytest.raises(MethodError, match="one target each"):
        explain("random", net, images, targets[:1])


def test_a_map_without_positive_evidence_is_all_zero():
    assert unit(-torch.rand(2, 1, 3, 3)).eq(0).all()
    assert unit(torch.zeros(1, 1, 2, 2)).isfinite().all()
