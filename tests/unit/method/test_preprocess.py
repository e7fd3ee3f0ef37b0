"""What a photograph costs before the network sees it."""

import numpy as np
import pytest

from gfi.domain.errors import MethodError
from gfi.domain.presets import recipe
from gfi.method.preprocess import MOST_RESIZED, Preprocess, prepare

CROP = Preprocess(size=(224, 224), crop="centre")
SQUASH = Preprocess(size=(224, 224), crop="none")


@pytest.mark.parametrize("shape", [(1, 9_000_000), (9_000_000, 1), (2, 10_000)])
def test_a_photograph_of_extreme_proportions_is_refused_before_it_is_resized(shape: tuple[int, int]) -> None:
    rgb = np.zeros((*shape, 3), dtype=np.uint8)
    with pytest.raises(MethodError, match=f"{shape[1]}×{shape[0]} pixels .* less extreme proportions"):
        prepare(rgb, CROP, recipe("tuned"))
    assert prepare(rgb, SQUASH, recipe("paper")).image.shape == (3, 224, 224)


def test_a_photograph_as_long_as_is_allowed_is_cropped() -> None:
    length = MOST_RESIZED // (224 * 224)
    rgb = np.zeros((1, length, 3), dtype=np.uint8)
    prepared = prepare(rgb, CROP, recipe("tuned"))
    assert prepared.image.shape == (3, 224, 224)
    left, _, right, _ = prepared.box
    assert right - left == pytest.approx(1.0, abs=0.01)
