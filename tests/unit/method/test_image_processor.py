"""The input of a Hugging Face classifier is the tensor that its image processor makes, or the folder is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers import AutoImageProcessor

from gfi import samples
from gfi.domain.errors import MethodError
from gfi.domain.preprocess import Preprocess, view_box
from gfi.domain.presets import PAPER, TUNED
from gfi.method import image_processor
from gfi.method.image_processor import SAID, documented_input
from gfi.method.preprocess import prepare

PHOTOGRAPH = np.asarray(Image.open(sorted(samples.path().glob("*.jpg"))[0]).convert("RGB"))
PHOTOGRAPHS = [PHOTOGRAPH, PHOTOGRAPH[:201, :77], PHOTOGRAPH[:45, :46], PHOTOGRAPH[:20, :203]]


def folder(path: Path, model_type: str, values: dict[str, Any], **config: object) -> Path:
    (path / "config.json").write_text(json.dumps({"model_type": model_type, **config}))
    (path / "preprocessor_config.json").write_text(json.dumps(values))
    return path


def theirs(path: Path, photograph: np.ndarray) -> np.ndarray:
    processor = AutoImageProcessor.from_pretrained(path, backend="pil", local_files_only=True)
    return np.asarray(processor(Image.fromarray(photograph), return_tensors="np")["pixel_values"][0])


EDGE = {"shortest_edge": 64}
CROPPED = {"size": EDGE, "do_center_crop": True, "crop_size": {"height": 48, "width": 48}}


@pytest.mark.parametrize(
    ("model_type", "values", "size", "crop", "resize"),
    [
        ("vit", {"size": 48}, (48, 48), "none", None),
        ("vit", {"size": {"height": 40, "width": 56}, "resample": 3}, (40, 56), "none", None),
        ("vit", {"size": 48, "do_normalize": False}, (48, 48), "none", None),
        ("vit", {"size": 48, "rescale_factor": 1 / 127.5, "image_mean": [1, 1, 1]}, (48, 48), "none", None),
        ("vit", {"size": 48, "do_rescale": False, "image_mean": [99, 98, 97]}, (48, 48), "none", None),
        ("deit", {"size": 64, "crop_size": 48}, (48, 48), "centre", (64, 64)),
        ("deit", {"size": 48, "crop_size": 48, "resample": 1}, (48, 48), "none", None),
        ("deit", {"size": 64, "do_center_crop": False}, (64, 64), "none", None),
        ("beit", {"size": 51, "do_center_crop": True, "crop_size": 48}, (48, 48), "centre", (51, 51)),
        ("bit", CROPPED, (48, 48), "centre", 64),
        ("bit", CROPPED | {"crop_size": {"height": 31, "width": 50}}, (31, 50), "centre", 64),
        ("clip", CROPPED | {"size": 48}, (48, 48), "centre", 48),
        ("mobilenet_v2", CROPPED, (48, 48), "centre", 64),
        ("convnext", {"size": EDGE, "crop_pct": 0.875}, (64, 64), "centre", 73),
        ("convnext", {"size": 61}, (61, 61), "centre", 69),
        ("convnext", {"size": 400}, (400, 400), "none", None),
        ("levit", {"size": 56, "crop_size": 56}, (56, 56), "centre", 64),
        ("poolformer", {"size": 48, "crop_pct": 0.9, "crop_size": 48}, (48, 48), "centre", 53),
        ("efficientnet", {"size": 48}, (48, 48), "none", None),
        ("efficientnet", {"size": 48, "include_top": False, "rescale_offset": True}, (48, 48), "none", None),
    ],
)
def test_each_processor_is_followed_to_the_tensor(
    tmp_path: Path,
    model_type: str,
    values: dict[str, Any],
    size: tuple[int, int],
    crop: str,
    resize: int | tuple[int, int] | None,
) -> None:
    kind = {"bit": "Bit", "vit": "ViT"}.get(model_type)
    named = {"image_processor_type": f"{kind}ImageProcessor"} if kind else {}
    made = documented_input(folder(tmp_path, model_type, values | named))
    assert (made.size, made.crop, made.resize) == (size, crop, resize)
    for photograph in PHOTOGRAPHS:
        for preset in (PAPER, TUNED):  # what the processor says is not left to the preset
            prepared = prepare(photograph, made, preset)
            np.testing.assert_allclose(prepared.image, theirs(tmp_path, photograph), atol=2e-5, rtol=1e-5)
            assert view_box(photograph.shape[:2], made) == pytest.approx(prepared.box)
    assert Preprocess.of_model({"preprocess": json.loads(json.dumps(made.to_json()))}) == made


def test_a_grey_network_is_followed_too(tmp_path: Path) -> None:
    values = {"size": 48, "image_mean": [0.2], "image_std": [0.3], "do_normalize": True}
    made = documented_input(folder(tmp_path, "vit", values, num_channels=1))
    grey = np.asarray(Image.fromarray(PHOTOGRAPH).convert("L"))
    ours = prepare(np.dstack([grey] * 3), made, TUNED).image
    np.testing.assert_allclose(ours, theirs(tmp_path, grey), atol=2e-5)


@pytest.mark.parametrize(
    ("model_type", "values", "says"),
    [
        ("vit", {"do_resize": False}, "without do_resize, photographs keep their size"),
        ("vit", {"resample": 5}, "resample 5 is none of nearest, lanczos, bilinear, bicubic"),
        ("vit", {"image_mean": [0.5]}, "do not give a number for each of 3 channels"),
        ("vit", {"do_pad": True, "pad_size": {"height": 256, "width": 256}}, "prepares photographs as no"),
        ("mobilevit", {}, "BGR are not supported"),
        ("bit", {"do_center_crop": False}, "shortest_edge without do_center_crop gives inputs of many sizes"),
        ("bit", {"crop_size": 230}, r"the crop \(230, 230\) is larger than what it is cut from"),
        (
            "convnext",
            {"size": 64, "crop_size": 41, "do_center_crop": True, "crop_pct": 0.7},
            "prepares photogr",
        ),
        ("perceiver", {}, "is larger than what it is cut from"),
        (
            "perceiver",
            {"size": 224, "crop_size": 200},
            "PerceiverImageProcessorPil prepares photographs as no",
        ),
        ("imagegpt", {}, r"takes no photographs \(Clusters must be provided"),
        ("textnet", {}, "shortest_edge without do_center_crop"),
        ("siglip2", {}, "is not height and width"),
        ("nothing", {}, "transformers does not read it"),
        (
            "vit",
            {"auto_map": {"AutoImageProcessor": "own.P"}, "image_processor_type": "P"},
            "does not read it",
        ),
    ],
)
def test_what_no_model_file_expresses_is_refused_in_one_line(
    tmp_path: Path, model_type: str, values: dict[str, Any], says: str
) -> None:
    named = {"bit": {"image_processor_type": "BitImageProcessor"}}.get(model_type, {})
    saved = folder(tmp_path, model_type, named | values)
    with pytest.raises(MethodError, match=says) as caught:
        documented_input(saved, ["mean", "std"])
    assert "\n" not in str(caught.value)
    assert "preprocessor_config.json" in str(caught.value)
    if "BGR" not in says:
        assert "say size, crop, interpolation, mean and std under [input]" in str(caught.value)
    assert documented_input(saved, SAID).size == (224, 224)


def test_a_processor_that_does_something_else_is_refused_whatever_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later version of transformers may give a known name to another crop."""
    saved = folder(tmp_path, "deit", {"size": 64, "crop_size": 48})
    monkeypatch.setattr(image_processor, "_LEVIT", 1.0)
    assert documented_input(saved).resize == (64, 64)
    levit = folder(tmp_path, "levit", {"size": 56, "crop_size": 56})
    with pytest.raises(MethodError, match="LevitImageProcessorPil prepares photographs as no"):
        documented_input(levit)


def test_a_folder_without_a_processor_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit", "image_size": 32, "num_channels": 5}')
    with pytest.raises(
        MethodError, match=r"no preprocessor_config\.json, so mean and standard deviation"
    ) as caught:
        documented_input(tmp_path)
    assert "\n" not in str(caught.value)
    said = documented_input(tmp_path, ["mean", "std"])
    assert (said.size, said.channels) == ((32, 32), 5)
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with pytest.raises(MethodError, match="is for photographs, and the network takes 5 channels"):
        documented_input(tmp_path, ["mean", "std"])


@pytest.mark.parametrize(("model_type", "values"), [("vit", {"resample": 3}), ("clip", {})])
def test_the_processor_for_torchvision_rounds_pixels_in_another_way(
    tmp_path: Path, model_type: str, values: dict[str, Any]
) -> None:
    """The figure of docs/models.md."""
    made = documented_input(folder(tmp_path, model_type, values))
    processor = AutoImageProcessor.from_pretrained(tmp_path, local_files_only=True)
    theirs = processor(Image.fromarray(PHOTOGRAPH), return_tensors="np")["pixel_values"][0]
    ours = prepare(PHOTOGRAPH, made, TUNED).image.numpy()
    difference = np.abs(theirs - ours) * np.reshape(made.std, (-1, 1, 1)) * 255
    assert 0.5 < difference.max() < 2.01
