"""How a photograph becomes the network's input, what it costs, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from gfi.domain import geometry
from gfi.domain.errors import MethodError
from gfi.domain.preprocess import view_box
from gfi.domain.presets import PAPER, PRESETS, RELEASED, recipe
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


def photograph(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 255, (9, 9, 3), np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def test_the_paper_resizes_and_the_released_program_crops() -> None:
    rgb = photograph(120, 200)
    shape = Preprocess((32, 32), 3, (0.0,) * 3, (1.0,) * 3)
    squashed = prepare(rgb, shape, PAPER)
    wanted = np.asarray(Image.fromarray(rgb).resize((32, 32), Image.Resampling.BILINEAR)) / 255
    np.testing.assert_allclose(squashed.image.permute(1, 2, 0), wanted, atol=1e-6)
    assert squashed.fill is None
    assert squashed.box == (0, 0, 200, 120)
    assert squashed.original_size == (120, 200)

    cropped = prepare(rgb, shape, RELEASED)
    small = Image.fromarray(rgb).resize((53, 32), Image.Resampling.BILINEAR)
    wanted = np.asarray(small.crop((10, 0, 42, 32))) / 255
    np.testing.assert_allclose(cropped.image.permute(1, 2, 0), wanted, atol=1e-6)
    left, top, right, bottom = cropped.box
    assert (top, bottom) == (0, 120)
    assert (left, right) == pytest.approx((10 * 200 / 53, 42 * 200 / 53))
    blurred = (
        Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(11)).resize((53, 32), Image.Resampling.BILINEAR)
    )
    assert cropped.fill is not None
    np.testing.assert_allclose(
        cropped.fill.permute(1, 2, 0), np.asarray(blurred.crop((10, 0, 42, 32))) / 255, atol=1e-6
    )


def test_a_model_may_prescribe_its_own_crop_on_any_input_shape() -> None:
    shape = Preprocess((32, 48), 3, crop="centre", resize=40)
    prepared = prepare(photograph(300, 100), shape, PAPER)
    assert prepared.image.shape == (3, 32, 48)
    left, top, right, bottom = prepared.box
    assert right - left == pytest.approx(100 * 48 / 60)
    assert (left + right) / 2 == pytest.approx(50, abs=1)
    assert (top + bottom) / 2 == pytest.approx(150, abs=2)


def test_a_photograph_that_decoding_shrank_keeps_its_own_coordinates_and_its_own_blur() -> None:
    """A photograph that decode() reduced by two is treated as one of twice the size: same box, nearly the same
    pictures."""
    large = photograph(400, 600)
    half = np.asarray(Image.fromarray(large).resize((300, 200), Image.Resampling.LANCZOS))
    shape = Preprocess((64, 64))
    one, two = prepare(large, shape, RELEASED), prepare(half, shape, RELEASED, scale=(2.0, 2.0))
    assert one.original_size == two.original_size == (400, 600)
    assert one.box == pytest.approx(two.box, abs=1)
    assert one.fill is not None
    assert two.fill is not None
    assert (one.fill - two.fill).abs().mean() < 0.02


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1)])
@pytest.mark.parametrize("preset", PRESETS)
def test_photographs_of_one_pixel_or_one_line_are_prepared(size: tuple[int, int], preset: str) -> None:
    prepared = prepare(np.full((*size, 3), 200, np.uint8), Preprocess((32, 32)), PRESETS[preset])
    assert prepared.image.shape == (3, 32, 32)
    assert torch.isfinite(prepared.image).all()


def test_an_array_that_is_no_photograph_is_refused() -> None:
    with pytest.raises(MethodError, match=r"is \(H, W, 3\) of uint8, not \(4, 4\) of float64"):
        prepare(np.zeros((4, 4)), Preprocess((8, 8)), PAPER)  # type: ignore[arg-type]


@pytest.mark.parametrize(("shape", "bars"), [((50, 100), (8, 0)), ((100, 50), (0, 8)), ((40, 40), (0, 0))])
def test_a_letterbox_shows_the_whole_photograph_between_bars_of_the_mean(
    shape: tuple[int, int], bars: tuple[int, int]
) -> None:
    letterbox = Preprocess((32, 32), 3, (0.2, 0.4, 0.6), (1.0,) * 3, crop="letterbox")
    rgb = np.full((*shape, 3), 255, np.uint8)
    prepared = prepare(rgb, letterbox, RELEASED)
    inside = prepared.image[0] > 0.7
    assert inside.sum() == (32 - 2 * bars[0]) * (32 - 2 * bars[1])
    assert prepared.image[:, ~inside].abs().max() < 0.003 if sum(bars) else inside.all()
    mask = inside.numpy().astype(np.float32)  # marks all of the photograph and no bar
    placed = geometry.place(mask, shape, prepared.box)
    assert placed.shape == shape
    assert placed.mean() > 0.9
    assert placed[shape[0] // 2, shape[1] // 2] == 1
    for crop in ("letterbox", "none", "centre"):
        shown = replace(letterbox, crop=crop)  # type: ignore[arg-type]
        assert view_box(shape, shown) == prepare(rgb, shown, RELEASED).box


def test_planes_of_five_channels_are_resized_and_normalised_each_for_itself() -> None:
    planes = np.linspace(0, 1, 12 * 20 * 5, dtype=np.float32).reshape(12, 20, 5)
    shape = Preprocess((12, 12), 5, (0.5,) * 5, (0.25,) * 5, crop="centre")
    prepared = prepare(planes, shape, recipe("tuned"))
    wanted = (planes[:, 4:16].transpose(2, 0, 1) - 0.5) / 0.25
    np.testing.assert_allclose(prepared.image, wanted, atol=1e-6)
    assert (prepared.box, prepared.original_size) == ((4.0, 0.0, 16.0, 12.0), (12, 20))
    with pytest.raises(MethodError, match="blur of the whole photograph"):
        prepare(planes, shape, RELEASED)
    with pytest.raises(MethodError, match=r"takes \(H, W, 5\) of float32"):
        prepare(planes[..., :3], shape, recipe("tuned"))


def test_a_letterbox_of_five_channels_has_bars_of_the_mean_of_each() -> None:
    mean = (0.1, 0.3, 0.5, 0.7, 0.9)
    shape = Preprocess((16, 16), 5, mean, (0.5,) * 5, crop="letterbox")
    planes = np.random.default_rng(0).random((8, 16, 5), np.float32)
    prepared = prepare(planes, shape, recipe("tuned"))
    assert prepared.image[:, :4].abs().max() == prepared.image[:, 12:].abs().max() == 0
    np.testing.assert_allclose(
        prepared.image[:, 4:12], (planes.transpose(2, 0, 1) - np.reshape(mean, (5, 1, 1))) / 0.5, atol=1e-6
    )
    assert (prepared.box, view_box((8, 16), shape)) == ((0.0, -4.0, 16.0, 12.0),) * 2
