"""An image has one mask, bit by bit, whatever its slot, its neighbours, the stream or the function called."""

import numpy as np
import pytest
import torch
from PIL import Image

from gfi import GuidedFeatureInversion, samples
from gfi.domain import geometry
from gfi.domain.explanation import Explanation
from gfi.domain.presets import PRESETS, recipe
from gfi.method import batch_invariance, classifiers, masks
from gfi.method.classifiers import Classifier
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.method.preprocess import Prepared
from tests.unit.method.networks import Small, sample_at, smooth_images

SIZE = 96


@pytest.fixture(scope="module")
def sample() -> Classifier:
    return sample_at(SIZE)


@pytest.fixture(scope="module")
def photographs() -> list[np.ndarray]:
    files = sorted(samples.path().glob("*.jpg"))
    return [np.asarray(Image.open(file).convert("RGB")) for file in files]


def assert_same_bits(one: Explanation, other: Explanation) -> None:
    assert one.grid.tobytes() == other.grid.tobytes()
    for field in ("target", "prediction", "probability", "kept", "removed", "area", "loss", "status"):
        assert getattr(one, field) == getattr(other, field), field


@pytest.mark.parametrize("preset", PRESETS)
def test_on_the_sample_classifier_an_image_is_bit_equal_alone_first_last_and_among_others(
    preset: str, sample: Classifier, photographs: list[np.ndarray]
) -> None:
    chosen = recipe(preset, steps_inversion=1, steps_class=2, levels=[0.25])
    prepared = [sample.prepare(rgb, chosen) for rgb in photographs]
    engine = Engine(sample, chosen, batch=8)
    it, others = prepared[0], prepared[1:]

    def explain(*images: Prepared) -> list[Explanation]:
        return list(engine.explain_many(Item(i, image) for i, image in enumerate(images)))

    alone = explain(it)[0]
    among = explain(it, *others[:6], it)
    assert_same_bits(alone, among[0])
    assert_same_bits(alone, among[7])
    assert_same_bits(alone, explain(others[9], others[8], others[7], it)[3])

    explainer = GuidedFeatureInversion(sample, preset=chosen, batch=8)
    baselines = None if it.fill is None else it.fill[None]
    mask = explainer.attribute(it.image[None], target=alone.target, baselines=baselines)
    drawn = geometry.draw(alone.grid, sample.preprocess.size, chosen.align_corners)
    assert mask.shape == (1, 1, SIZE, SIZE)
    assert mask[0, 0].numpy().tobytes() == drawn.tobytes()


def test_a_long_run_of_the_paper_on_the_sample_classifier_is_bit_equal_alone_and_with_a_neighbour(
    sample: Classifier, photographs: list[np.ndarray]
) -> None:
    chosen = recipe("paper", steps_class=15)
    cat, coffee = (sample.prepare(photographs[i], chosen) for i in (2, 4))
    engine = Engine(sample, chosen, batch=2)
    both = list(engine.explain_many([Item(0, coffee), Item(1, cat)]))
    (alone,) = engine.explain_many([Item(1, cat)])
    assert_same_bits(both[1], alone)
    assert alone.iterations == 25
    assert alone.status in ("ok", "target_lost")  # 15 steps of a recipe that is weak on this network
    mask = geometry.draw(alone.grid, (SIZE, SIZE), False)
    assert mask.min() >= 0
    assert mask.max() <= 1


def test_two_threads_are_one_profile_too(sample: Classifier, photographs: list[np.ndarray]) -> None:
    """The bits may differ from those of one thread, but are the same in every slot and every time."""
    chosen = recipe("paper", steps_inversion=1, steps_class=2)
    a, b, c = (Item(i, sample.prepare(photographs[i], chosen)) for i in (1, 2, 4))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        engine = Engine(sample, chosen, batch=4)
        first, *_, last = engine.explain_many([a, b, c, c, b, c, b, a])
        (alone,) = engine.explain_many([a])
    finally:
        torch.set_num_threads(before)
    assert_same_bits(first, last)
    assert_same_bits(first, alone)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("batch", [2, 4, 12])
def test_odd_channels_odd_classes_and_odd_sizes_are_bit_equal_too(preset: str, batch: int) -> None:
    """Rows whose memory does not begin at a cache line unless they are padded."""
    classifier = classifiers.from_module(Small(classes=7, width=11), (37, 45))
    engine = Engine(classifier, recipe(preset, steps_inversion=4, steps_class=8), batch=batch)
    images = smooth_images(batch, 48)[:, :, :37, :45].float()

    def item(i: int) -> Item:
        return Item(i, Prepared(images[i], None, (37, 45), (0, 0, 45, 37)))

    together = list(engine.explain_many(item(i) for i in range(batch)))
    for i in range(batch):
        (alone,) = engine.explain_many([item(i)])
        assert_same_bits(together[i], alone)


def test_attribute_makes_no_difference_between_one_image_and_a_batch() -> None:
    explainer = GuidedFeatureInversion(Small(), batch=4)
    images = smooth_images(6, 48).float()
    together = explainer.attribute(images, target=[0, 1, 2, 3, 4, 0])
    for i in range(6):
        alone = explainer.attribute(images[i : i + 1], target=torch.tensor([i % 5]))
        assert torch.equal(alone[0], together[i])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("k", "h", "w"), [(10, 7, 7), (512, 7, 7), (21, 19, 23), (67, 6, 6)])
def test_products_and_their_gradients_have_the_same_bits_in_every_row(
    k: int, h: int, w: int, threads: int
) -> None:
    """MKL's did not on AMD processors: with 7×7 cells of float32 only every 16th row begins at a cache line."""
    random = torch.Generator().manual_seed(0)
    features = torch.randn(1, k, h, w, generator=random).repeat(5, 1, 1, 1)
    omega = torch.randn(1, k, generator=random).repeat(5, 1).requires_grad_()
    far = torch.randn(1, 37, 45, generator=random)
    upsample = masks.Upsampling.between(features, far[None], align_corners=False)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        grid = masks.combine(omega, features)
        drawn = upsample(grid)
        (gradient,) = torch.autograd.grad((drawn * far).sum(), omega)
    finally:
        torch.set_num_threads(before)
    for tensor in (grid, drawn, gradient):
        assert all(torch.equal(tensor[0], row) for row in tensor[1:])
    torch.testing.assert_close(grid, torch.einsum("bk,bkhw->bhw", omega, features), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("inside", "outside"), [(11, 5), (1280, 1000), (65, 7), (512, 10)])
def test_linear_layers_have_the_same_bits_in_every_row(inside: int, outside: int, threads: int) -> None:
    linear = torch.nn.Linear(inside, outside).requires_grad_(False)
    net = torch.nn.Sequential(linear)
    x = torch.randn(1, inside, generator=torch.Generator().manual_seed(0))
    wanted, slope = linear(x), torch.randn(1, outside, generator=torch.Generator().manual_seed(1))
    batch_invariance.make_batch_invariant(net)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for count in (1, 2, 4, 6, 8, 24):
            many = x.repeat(count, 1).requires_grad_()
            y = net(many)
            (gradient,) = torch.autograd.grad(y, many, slope.repeat(count, 1))
            assert all(torch.equal(tensor[0], row) for tensor in (y, gradient) for row in tensor[1:])
            torch.testing.assert_close(y[:1], wanted, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(net(many[0]), wanted[0], rtol=1e-4, atol=1e-4)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("part", batch_invariance.EXPONENTIALS)
@pytest.mark.parametrize("shape", [(104, 1, 1), (3, 150, 151)])
def test_exponentials_have_the_same_bits_in_every_row(
    part: type[torch.nn.Module], shape: tuple[int, ...]
) -> None:
    """RegNetY's gates are 104 numbers per image; with two images the last sixteen were rounded differently."""
    net = torch.nn.Sequential(part())
    x = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    wanted = net(x)
    batch_invariance.make_batch_invariant(net)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for count in (2, 3, 6):
            many = x.repeat(count, 1, 1, 1).requires_grad_()
            y = net(many)
            (gradient,) = torch.autograd.grad(y.square().sum(), many)
            assert all(torch.equal(tensor[0], row) for tensor in (y, gradient) for row in tensor[1:])
            torch.testing.assert_close(y[:1], wanted)
    finally:
        torch.set_num_threads(before)
