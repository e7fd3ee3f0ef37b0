"""The step of FGSM, and pictures that preprocessing leaves as they are."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gfi.domain.errors import MethodError
from gfi.domain.presets import PAPER
from gfi.method.classifiers import Classifier, from_module
from gfi.reproduce.fgsm import Canvas, fgsm, normalised, predicted


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    return from_module(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 4)), (8, 8))


def test_every_pixel_moves_by_the_step_against_the_class(classifier: Classifier) -> None:
    shown = np.random.default_rng(0).integers(20, 230, (8, 8, 3)).astype(np.uint8)
    target = predicted(shown, classifier)
    same, changed = fgsm(shown, target, (0, 4), classifier)
    assert (same == shown).all()
    # Literal, for a linear network: ∂ −log f_c / ∂x = Σ_k f_k w_k − w_c.
    weights = classifier.module[1].weight
    f = classifier.module(normalised(shown, classifier)[None]).softmax(1)[0]
    gradient = (f @ weights - weights[target]).reshape(3, 8, 8).permute(1, 2, 0)
    assert (changed.astype(int) - shown == 4 * torch.sign(gradient).int().numpy()).all()


def test_a_network_of_one_sigmoid_is_moved_from_the_class_that_it_predicts() -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 1))
    one = replace(from_module(net, (8, 8), output="sigmoid"), class_names=("no", "yes"))
    two = replace(from_module(net, (8, 8), output="sigmoid"), class_names=("yes", "no"))
    shown = np.random.default_rng(0).integers(20, 230, (8, 8, 3)).astype(np.uint8)
    up = np.sign(net[1].weight.detach().numpy().reshape(3, 8, 8).transpose(1, 2, 0))
    positive = bool(net(normalised(shown, one)[None]) > 0)
    assert predicted(shown, one) == predicted(shown, two) == int(positive)
    for target, direction in ((0, up), (1, -up)):
        (changed,) = fgsm(shown, target, (4,), one)
        assert (changed.astype(int) - shown == 4 * direction).all()


def test_of_two_saturated_labels_the_first_is_predicted_as_in_a_job() -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    torch.nn.init.zeros_(net[1].weight)
    net[1].bias.data = torch.tensor([50.0, 60.0])
    both = from_module(net, (8, 8), output="sigmoid")
    assert predicted(np.zeros((8, 8, 3), np.uint8), both) == 0


@pytest.mark.parametrize(("crop", "resize", "size"), [("none", None, (8, 8)), ("centre", 10, (10, 20))])
def test_the_network_sees_the_picture_as_it_was_made(
    classifier: Classifier, crop: str, resize: int | None, size: tuple[int, int]
) -> None:
    wanted = replace(classifier, preprocess=replace(classifier.preprocess, crop=crop, resize=resize))
    photograph = np.random.default_rng(1).integers(0, 255, (24, 48, 3)).astype(np.uint8)
    canvas = Canvas(photograph, wanted, PAPER)
    assert canvas.size == size
    assert torch.equal(normalised(canvas.shown(), wanted), wanted.prepare(photograph, PAPER).image)
    picture = canvas.picture(canvas.shown() // 2)
    assert picture.shape == (*size, 3)
    assert canvas.box((0, 12, 24, 24)) == (0, size[0] / 2, size[1] / 2, size[0])


def test_bars_are_refused(classifier: Classifier) -> None:
    boxed = replace(classifier, preprocess=replace(classifier.preprocess, crop="letterbox"))
    with pytest.raises(MethodError, match='crop = "none"'):
        Canvas(np.zeros((4, 8, 3), np.uint8), boxed, PAPER)
    many = replace(
        classifier, preprocess=replace(classifier.preprocess, channels=5, mean=(0.5,) * 5, std=(0.5,) * 5)
    )
    with pytest.raises(MethodError, match="of 1 or 3 channels; Sequential takes 5"):
        Canvas(np.zeros((4, 8, 3), np.uint8), many, PAPER)
