"""Recipes, interpolation, fills and preprocessing; and that the torch-free part is torch-free."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter

from gfi.domain import interpolation
from gfi.domain.errors import MethodError
from gfi.domain.presets import PAPER, PRESETS, RELEASED, recipe
from gfi.domain.recipes import Recipe
from gfi.method.fills import IMAGENET_MEAN, blur, make_fill, mean_colour
from gfi.method.parts.adam import Adam
from gfi.method.preprocess import Preprocess, prepare
from tests.unit.method import literal


def test_importing_gfi_recipes_and_interpolation_loads_no_torch() -> None:
    code = (
        "import sys, gfi, gfi.domain.presets, gfi.domain.interpolation, gfi.domain.layer_names, gfi.domain.imagenet; "
        "gfi.domain.presets.PAPER; gfi.domain.interpolation.matrix(2, 3, True); "
        "sys.exit(any(m.split('.')[0] in ('torch', 'torchvision', 'timm') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_presets_say_what_the_paper_and_the_released_program_say() -> None:
    assert (PAPER.steps_inversion, PAPER.steps_class, PAPER.gamma, PAPER.delta, PAPER.penalty) == (
        10,
        70,
        10,
        1,
        "l1",
    )
    assert (RELEASED.steps_inversion, RELEASED.steps_class) == (11, 69)
    assert (RELEASED.gamma, RELEASED.delta, RELEASED.penalty) == (5, 2, "squares")
    assert PAPER.steps == RELEASED.steps == 80


def test_a_recipe_survives_json_and_its_digest_covers_every_field() -> None:
    for preset in PRESETS.values():
        assert Recipe.from_json(preset.to_json()) == preset
    assert recipe("paper", gamma=10).digest() == PAPER.digest()
    changes = {
        int: lambda v: v + 2,
        float: lambda v: v * 1.5 + 0.01,
        bool: lambda v: not v,
        str: lambda v: {
            "l1": "squares",
            "grid": "image",
            "blur": "mean",
            "input": "photograph",
            "squash": "crop",
            "even": "grad-cam",
            "adam": "relative",
            "probability": "contrast",
            "none": "mean",
        }[v],
        list: lambda v: [each / 2 for each in v],
    }
    digests = {PAPER.digest()}
    for field, value in PAPER.to_json().items():
        changed = "other" if field == "name" else changes[type(value)](value)
        digests.add(Recipe.from_json({**PAPER.to_json(), field: changed}).digest())
    assert len(digests) == len(PAPER.to_json()) + 1


@pytest.mark.parametrize(
    ("name", "overrides", "line"),
    [
        ("papper", {}, "no preset is called `papper`; the presets are paper, released"),
        ("paper", {"stepsinversion": 3}, "has no field `stepsinversion`; did you mean `steps_inversion`"),
        ("paper", {"gamma": "ten"}, "`gamma` is of type float, not 'ten'"),
        ("paper", {"steps_class": 1.5}, "`steps_class` is of type int"),
        ("paper", {"penalty": "l2"}, "`penalty` is one of l1, squares, not 'l2'"),
        ("paper", {"gamma": float("nan")}, "`gamma` is a finite number of at least 0"),
        ("paper", {"steps_class": -1}, "`steps_class` is a finite number of at least 0"),
        ("paper", {"blur_kernel": 66}, "`blur_kernel` is odd, not 66"),
    ],
)
def test_a_wrong_recipe_is_one_line(name: str, overrides: dict, line: str) -> None:
    with pytest.raises(MethodError, match=line):
        recipe(name, **overrides)


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize(
    ("grid", "size"), [((7, 7), (224, 224)), ((14, 9), (37, 61)), ((1, 5), (8, 5)), ((6, 6), (3, 1))]
)
def test_drawing_a_grid_is_bilinear_interpolation(grid: tuple, size: tuple, corners: bool) -> None:
    m = torch.rand(1, 1, *grid, dtype=torch.float64)
    wanted = F.interpolate(m, size, mode="bilinear", align_corners=corners)[0, 0]
    rows = interpolation.matrix(grid[0], size[0], corners)
    columns = interpolation.matrix(grid[1], size[1], corners)
    np.testing.assert_allclose(rows @ m[0, 0].numpy() @ columns.T, wanted, atol=1e-12)
    drawn = interpolation.draw(m[0, 0].float().numpy(), size, corners)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn, wanted, atol=1e-6)


def test_the_blur_is_a_gaussian_convolution_with_reflected_borders() -> None:
    x = torch.randn(2, 3, 48, 70, dtype=torch.float64)
    for image in x:
        np.testing.assert_allclose(blur(image), literal.blurred(image[None])[0], atol=1e-12)
    flat = torch.full((1, 5, 200), 0.7)
    np.testing.assert_allclose(blur(flat), flat, atol=1e-6)  # an image smaller than the kernel


def test_mean_colour_and_noise_are_in_the_networks_own_units() -> None:
    imagenet = Preprocess((8, 8))
    image = torch.randn(3, 8, 8)
    assert not make_fill(image, imagenet, recipe("paper", fill="mean")).any()
    other = Preprocess((8, 8), 3, (0.5,) * 3, (0.5,) * 3)
    np.testing.assert_allclose(mean_colour(other), (np.array(IMAGENET_MEAN) - 0.5) / 0.5)
    assert mean_colour(Preprocess((8, 8), 1, (0.5,), (0.5,))).shape == (1,)
    noisy = recipe("paper", fill="noise")
    assert torch.equal(make_fill(image, imagenet, noisy), make_fill(image * 2, imagenet, noisy))


def test_adam_is_torchs_adam_and_each_row_has_its_own_step() -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(25, 2, 6, generator=generator, dtype=torch.float64)
    omega = torch.full((2, 6), 0.1, dtype=torch.float64)
    adam = Adam(PAPER, omega, omega, omega)
    twin = torch.full((6,), 0.1, dtype=torch.float64, requires_grad=True)
    wanted = torch.optim.Adam([twin], lr=0.01)
    for t, gradient in enumerate(gradients):
        # The second row began seven steps ago: the first does not notice.
        omega = adam.update(omega, gradient, torch.tensor([t, t + 7]), halving=True)
        wanted.param_groups[0]["lr"] = 0.01 * 0.5 ** (t // 10)
        twin.grad = gradient[0].clone()
        wanted.step()
        np.testing.assert_allclose(omega[0], twin.detach(), atol=1e-14)


def photograph(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 255, (9, 9, 3), np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def test_the_paper_squashes_and_the_released_program_crops() -> None:
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
    """What decode() shrank by two is the photograph at twice the size: same box, nearly the same pictures."""
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


def test_what_is_no_photograph_is_refused() -> None:
    with pytest.raises(MethodError, match=r"is \(H, W, 3\) of uint8, not \(4, 4\) of float64"):
        prepare(np.zeros((4, 4)), Preprocess((8, 8)), PAPER)  # type: ignore[arg-type]
