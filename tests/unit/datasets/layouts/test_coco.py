"""COCO datasets, with files that pycocotools reads too."""

import json
from pathlib import Path

import pytest
from pycocotools.coco import COCO

from gfi.datasets.errors import DatasetError
from gfi.datasets.notes import ListingNotes
from gfi.datasets.sources import open_source

CONTENT = {
    "images": [
        {"id": 7, "file_name": "a.jpg", "width": 8, "height": 6},
        {"id": 9, "file_name": "b.jpg", "width": 8, "height": 6},
        {"id": 11, "file_name": "c.jpg", "width": 8, "height": 6},
        {"id": 12, "file_name": "gone.jpg", "width": 8, "height": 6},
    ],
    "categories": [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 18, "bbox": [1.5, 2, 3, 4], "area": 12, "iscrowd": 0,
         "segmentation": [[1.5, 2, 4.5, 2, 4.5, 6]]},
        {"id": 2, "image_id": 7, "category_id": 18, "bbox": [0, 0, 2, 2], "area": 4, "iscrowd": 1,
         "segmentation": {"size": [6, 8], "counts": [0, 2, 46]}},
        {"id": 3, "image_id": 9, "category_id": 17, "segmentation": [[1, 1, 3, 1, 3, 5]], "area": 4, "iscrowd": 0},
        {"id": 4, "image_id": 9, "category_id": 18, "bbox": [0, 0, 8, 6], "area": 48, "iscrowd": 0},
        {"id": 5, "image_id": 9, "category_id": 18, "bbox": [3, 3, 0, 2], "area": 0, "iscrowd": 0},
        {"id": 6, "image_id": 11, "category_id": 18, "bbox": "left", "area": 0, "iscrowd": 0},
    ],
}  # fmt: skip


def write(file: Path, content: object = CONTENT) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def test_boxes_and_labels_are_those_that_pycocotools_reads(plant, free, capsys):
    folder = plant("val2017/a.jpg", "val2017/b.jpg", "val2017/c.jpg")
    file = folder / "annotations" / "instances_val2017.json"
    write(file)
    write(folder / "annotations" / "captions_val2017.json", {})
    notes = ListingNotes()
    source = open_source(str(folder), free)
    a, b, c = source.list(notes)
    assert source.spec == f"coco:{folder}"
    assert (a.key, a.label, b.label, c.label) == ("val2017/a.jpg", "dog", None, None)
    assert source.fetch(a.key, a.version).changed is False
    theirs = COCO(str(file)).loadAnns([1, 2])
    assert [[box.left, box.top, box.right - box.left, box.bottom - box.top] for box in a.boxes] == [
        one["bbox"] for one in theirs
    ]
    assert [(box.label, box.difficult, box.frame) for box in a.boxes] == [
        ("dog", False, (6, 8)),
        ("dog", True, (6, 8)),
    ]
    assert [(box.label, box.sides) for box in b.boxes] == [("cat", (1, 1, 3, 5)), ("dog", (0, 0, 8, 6))]
    assert c.boxes_error == "the `bbox` of annotation 6 is not four numbers"
    assert notes.skipped == {"named in the annotations and not there": 1}


def test_a_split_is_a_word_of_the_annotation_file(plant, free):
    folder = plant("train/a.jpg", "valid/b.jpg")
    for split, name in (("train", "a.jpg"), ("valid", "b.jpg")):
        write(folder / split / "_annotations.coco.json", CONTENT | {"images": [{"id": 7, "file_name": name}]})
    assert [one.key for one in open_source(f"{folder}?split=valid", free).list()] == ["valid/b.jpg"]
    with pytest.raises(
        DatasetError, match=r"has 2 annotation files; say \?split= .*valid/_annotations.coco.json"
    ):
        open_source(str(folder), free)
    with pytest.raises(DatasetError, match="has 0 annotation files of the split 'test'"):
        open_source(f"{folder}?split=test", free)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "has no list `images`"),
        (json.dumps(CONTENT | {"images": [{"id": 1}]}), "image 1 has no `file_name`"),
        (
            json.dumps(CONTENT | {"images": [{"id": [1], "file_name": "a.jpg"}]}),
            r"the `id` \[1\] is not a number",
        ),
        (
            json.dumps(CONTENT | {"annotations": [{"image_id": {}}]}),
            "the `image_id` {} is not a number or a text",
        ),
        (
            json.dumps(CONTENT | {"images": [{"id": 1, "file_name": "x.jpg"}]}),
            "names x.jpg, which is in none of the",
        ),
        (
            json.dumps(CONTENT | {"images": [{"id": 1, "file_name": "../../x.jpg"}]}),
            "is in none of the folders",
        ),
    ],
)
def test_a_file_that_is_not_coco_is_one_line(plant, free, content, said):
    folder = plant("images/a.jpg")
    (folder / "annotations").mkdir()
    (folder / "annotations" / "all.json").write_text(content)
    with pytest.raises(DatasetError, match=said):
        list(open_source(f"coco:{folder}", free).list())
