"""One image, one mask: whatever the slot, the neighbours, the stream or the way in."""

import numpy as np
import pytest
import torch
from PIL import Image

import samples
from gfi import GuidedFeatureInversion, classifiers, interpolation
from gfi.classifiers import Classifier, load
from gfi.engine import Engine, Explanation, Item
from gfi.preprocess import Prepared
from gfi.recipes import PRESETS, recipe
from tests.unit.gfi.networks import Small, smooth_images


@pytest.fixture(scope="module")
def sample() -> Classifier:
    return load("efficientnet-lite0")


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
    chosen = recipe(preset, steps_inversion=1, steps_class=2)
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
    drawn = interpolation.draw(alone.grid, sample.preprocess.size, chosen.align_corners)
    assert mask.shape == (1, 1, 224, 224)
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
    assert alone.status == "ok"
    mask = interpolation.draw(alone.grid, (224, 224), False)
    assert mask.min() >= 0
    assert mask.max() <= 1


def test_two_threads_are_one_profile_too(sample: Classifier, photographs: list[np.ndarray]) -> None:
    """Other bits than one thread's, perhaps; but the same in every slot and every time."""
    chosen = recipe("paper", steps_inversion=2, steps_class=4)
    a, b, c = (Item(i, sample.prepare(photographs[i], chosen)) for i in (1, 2, 4))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        engine = Engine(sample, chosen, batch=3)
        first, *_, last = engine.explain_many([a, b, c, c, b, a])
        (alone,) = engine.explain_many([a])
    finally:
        torch.set_num_threads(before)
    assert_same_bits(first, last)
    assert_same_bits(first, alone)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("batch", [2, 3, 5, 7])
def test_odd_batches_odd_channels_and_odd_sizes_are_bit_equal_too(preset: str, batch: int) -> None:
    """Rows whose memory is not aligned, products whose blocks do not divide the batch."""
    classifier = classifiers.of(Small(classes=7, width=11), (37, 45))
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
