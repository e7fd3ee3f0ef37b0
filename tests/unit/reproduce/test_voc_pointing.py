"""VOC's layout in miniature, and the pointing game against a literal version of TorchRay's."""

from pathlib import Path

import numpy as np
import pytest

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.errors import DatasetError
from gfi.domain.class_index import ClassIndex
from gfi.domain.statuses import ImageStatus
from gfi.reproduce.experiment import Example, Masked
from gfi.reproduce.voc_pointing import Options, Pair, VocPointing, class_mean, open_directory, played
from tests.unit.datasets.conftest import thing
from tests.unit.reproduce.miniature import photograph, reading

CLASSES = ClassIndex(("cat", "dog"))


def literal(label: dict[str, list], name: str, point: tuple[int, int], tolerance: int) -> int:
    """TorchRay's rule, by masks of pixels. label: VOC's objects, one-based. point: (u, v). 0: skipped."""
    objects = [one for one in label["objects"] if one["name"] == name]
    if all(one["difficult"] for one in objects):
        return 0
    mask = np.zeros(label["size"], bool)
    for one in objects:
        left, top, right, bottom = one["box"]
        mask[top - 1 : bottom, left - 1 : right] = True
    v, u = np.mgrid[: mask.shape[0], : mask.shape[1]]
    accept = (v - point[1]) ** 2 + (u - point[0]) ** 2 < tolerance**2
    return 1 if (mask & accept).any() else -1


@pytest.mark.parametrize("seed", range(5))
def test_a_pair_is_judged_as_torchray_judges_it(seed: int) -> None:
    random = np.random.default_rng(seed)
    for _ in range(20):
        size = (int(random.integers(40, 90)), int(random.integers(40, 90)))
        objects = []
        for _ in range(3):
            left, right = np.sort(random.choice(np.arange(1, size[1] + 1), 2, replace=False)).tolist()
            top, bottom = np.sort(random.choice(np.arange(1, size[0] + 1), 2, replace=False)).tolist()
            one = {"name": str(random.choice(["cat", "dog"])), "difficult": bool(random.integers(2))}
            objects.append(one | {"box": (left, top, right, bottom)})
        name = objects[0]["name"]
        # VOC counts from one, with both ends inside.
        boxes = tuple(
            Box(one["name"], left - 1, top - 1, right, bottom, one["difficult"], frame=size)
            for one in objects
            for left, top, right, bottom in [one["box"]]
        )
        mask = np.zeros(size, np.float32)
        v, u = int(random.integers(size[0])), int(random.integers(size[1]))
        mask[v, u] = 1.0
        seen = (0.0, 0.0, float(size[1]), float(size[0]))
        pair = played(Masked(Example("1.jpg", name, boxes), ImageStatus.OK, mask, size, seen))
        wanted = literal({"size": size, "objects": objects}, name, (u, v), 15)
        assert pair is not None
        assert pair.difficult == (wanted == 0)
        if wanted:
            assert pair.hit_15 == (wanted == 1)
            assert pair.hit_0 == (literal({"size": size, "objects": objects}, name, (u, v), 1) == 1)


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    root = tmp_path / "VOC2007"
    for number in (1, 2, 3):
        photograph(root / f"JPEGImages/00000{number}.jpg", 160, 80)
    size = "<size><width>160</width><height>80</height></size>"
    objects = {
        1: thing("dog", 1, 1, 40, 20) + thing("cat", 81, 41, 160, 80),
        2: thing("dog", 121, 61, 160, 80, difficult=1),
        3: thing("cat", 1, 1, 160, 80),
    }
    (root / "Annotations").mkdir()
    for number, text in objects.items():
        (root / f"Annotations/00000{number}.xml").write_text(f"<annotation>{size}{text}</annotation>")
    (root / "ImageSets/Main").mkdir(parents=True)
    (root / "ImageSets/Main/test.txt").write_text("000001\n000002\n000003\n")
    return tmp_path


def test_every_label_of_every_image_is_played(voc: Path) -> None:
    listings = open_directory(voc, (), CLASSES, Options())
    assert [(one.name, [Path(e.key).stem for e in one.examples]) for one in listings] == [
        ("cat", ["000001", "000003"]),
        ("dog", ["000001", "000002"]),
    ]
    experiment = VocPointing("voc", listings, ("paper", "rise"))
    assert [(ask.method, ask.options["target"]) for ask in experiment.asks()] == [
        ("paper", "cat"),
        ("paper", "dog"),
        ("rise", "cat"),
        ("rise", "dog"),
    ]
    assert experiment.asks()[0].options["overrides"] == {"delta": 10.0}
    # Every mask marks the left upper corner: of 1 the dog, of 3 the cat; the dog of 2 is far away and difficult.
    corner = (0.0, 0.0, 40.0, 20.0)
    read = reading(
        dict.fromkeys(("000001", "000002", "000003"), (80, 160)),
        dict.fromkeys(("000001", "000002", "000003"), corner),
    )
    report = experiment.report(read)
    numbers = report.numbers["methods"]
    assert numbers["paper"]["0"] == {
        "accuracy": 0.75,
        "interval": pytest.approx([0.3878, 1.0], abs=1e-3),
        "pairs": 3,
    }
    assert numbers["paper"]["15_difficult"]["accuracy"] == 0.0
    # The middle, (40, 80), is the first pixel of the cat of 1 and inside that of 3, and far from both dogs.
    assert numbers["centre"]["0"]["accuracy"] == 0.5
    assert numbers["paper"]["15_small"]["pairs"] == 1  # the dog of 1; its cat covers a quarter
    assert report.tables[2].rows == (("cat", "2", "50.0", "50.0"), ("dog", "1", "100.0", "100.0"))


def test_an_image_without_a_mask_is_a_miss(voc: Path) -> None:
    listings = open_directory(voc, (), CLASSES, Options(images=1))
    pairs = [
        played(one) for one in reading({}, {})(next(iter(VocPointing("voc", listings, ("paper",)).asks())))
    ]
    assert [isinstance(one, Pair) and (one.hit_15, one.ok) for one in pairs] == [(False, False)]


def test_classes_count_alike_however_many_images_they_have() -> None:
    assert class_mean([True] * 9 + [False], ["person"] * 9 + ["cat"])[0] == 0.5
    assert np.isnan(class_mean([], [])[0])


def test_what_directory_and_model_lack_is_said(voc: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"VOCtest_06-Nov-2007\.tar"):
        open_directory(tmp_path / "nothing", (), CLASSES, Options())
    with pytest.raises(DatasetError, match="the model has no class 'dog'"):
        open_directory(voc, (), ClassIndex(("cat",)), Options())
    with pytest.raises(DatasetError, match="no list 'val'"):
        open_directory(voc, (), CLASSES, Options(split="val"))
