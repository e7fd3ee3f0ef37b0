"""MSRA-B's layouts in miniature, with masks of objects whose scores follow by construction."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gfi.datasets.errors import DatasetError
from gfi.domain.errors import MethodError
from gfi.reproduce.salient_objects import Options, SalientObjects, object_mask, open_directory
from tests.unit.reproduce.miniature import photograph, reading

OBJECT = (80.0, 40.0, 160.0, 80.0)


def truth(file: Path, size: tuple[int, int] = (80, 160), region: tuple[float, ...] = OBJECT) -> None:
    left, top, right, bottom = map(int, region)
    pixels = np.zeros(size, np.uint8)
    pixels[top:bottom, left:right] = 255
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


@pytest.fixture(params=["", "folders"])
def msra(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Three photographs, side by side with the masks of two, or in the folders image/ and annotation/."""
    images, masks = (tmp_path / "image", tmp_path / "annotation") if request.param else (tmp_path, tmp_path)
    for name in ("0_1_1", "0_2_2", "9_9_9"):
        photograph(images / f"{name}.jpg", 160, 80)
    truth(masks / "0_1_1.png")
    truth(masks / "0_2_2.png")
    return tmp_path


def test_the_scores_are_those_of_the_construction(msra: Path) -> None:
    found = open_directory(msra, (), Options())
    assert [Path(example.key).name for example in found.listing.examples] == ["0_1_1.jpg", "0_2_2.jpg"]
    experiment = SalientObjects("net", found)
    assert [ask.options["overrides"] for ask in experiment.asks()] == [{"steps_class": 0}] * 2
    sizes = dict.fromkeys(("0_1_1", "0_2_2"), (80, 160))
    # One mask is the object's, to the pixels between two cells of the mask; the other image has none.
    report = experiment.report(reading(sizes, {"0_1_1": OBJECT, "0_2_2": None}))
    numbers = report.numbers["methods"]["paper"]
    assert numbers["recall"] == pytest.approx(0.5, abs=0.02)
    assert numbers["precision"] == pytest.approx(0.5, abs=0.02)
    assert numbers["mae"] == pytest.approx((0.0 + 0.25) / 2, abs=0.01)
    everything = report.numbers["methods"]["all"]
    assert (everything["precision"], everything["recall"], everything["mae"]) == (0.25, 1.0, 0.75)
    assert any("1 photographs have no mask" in difference for difference in report.differences)


def test_a_list_chooses_the_test_images(msra: Path) -> None:
    (msra / "test_cvpr2013.txt").write_text("0_2_2.jpg 0_2_2.png\n")
    assert [Path(e.key).stem for e in open_directory(msra, (), Options()).listing.examples] == ["0_2_2"]
    (msra / "mine.txt").write_text("9_9_9\n")
    with pytest.raises(
        DatasetError, match="1 images of the list have no photograph with a mask, for example 9_9_9"
    ):
        open_directory(msra, (), Options(msra / "mine.txt"))


def test_an_objects_mask_is_turned_with_its_photograph(tmp_path: Path) -> None:
    truth(tmp_path / "stored.png", (80, 160), (0, 0, 40, 20))
    upright = object_mask(tmp_path / "stored.png", (160, 80), orientation=6)
    assert upright[:40, 60:].all()
    assert upright.sum() == 40 * 20
    with pytest.raises(DatasetError, match="160×80 pixels, its photograph 99×99"):
        object_mask(tmp_path / "stored.png", (99, 99))


def test_what_directory_and_method_lack_is_said(tmp_path: Path, msra: Path) -> None:
    with pytest.raises(MethodError, match="tuned has no stage 1"):
        SalientObjects("net", open_directory(msra, (), Options()), ("tuned",))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DatasetError, match="holds no photographs"):
        open_directory(empty, (), Options())
    photograph(empty / "1.jpg", 8, 8)
    with pytest.raises(
        DatasetError, match=r"1 photographs and no mask of an object: NAME.png beside NAME.jpg"
    ):
        open_directory(empty, (), Options())
