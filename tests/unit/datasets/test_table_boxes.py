"""Boxes in manifest files: in one column or four, their units, repairs and errors."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gfi import samples
from gfi.datasets.annotations.boxes import FRACTIONS, SWAPPED, Box
from gfi.datasets.errors import DatasetError
from gfi.datasets.sources import open_source
from tests.unit.datasets.conftest import BOX, rows_of


def test_four_numbers_under_another_name_may_be_a_size_and_are_asked_for(plant, free):
    path = plant("1.jpg") / "list.jsonl"
    path.write_text('{"key": "1.jpg", "bbox": [8, 9, 24, 25]}')
    (listed,), lines = rows_of(path, free)
    assert listed.boxes == ()
    assert "`?four=ltrb` or `?four=xywh`" in listed.boxes_error
    assert any("1.jpg" in line and "four=xywh" in line for line in lines)
    for options, box in (
        ("?boxes=bbox", BOX),
        ("?four=ltrb", BOX),
        ("?four=xywh", Box(None, 8, 9, 32, 34)),
    ):
        (listed,), _ = rows_of(path, free, options)
        assert listed.boxes == (box,)


def test_a_unit_may_be_asked_for(plant, free):
    path = plant("1.jpg") / "list.csv"
    path.write_text('key,boxes\n1.jpg,"[[10, 10, 60, 60]]"\n')
    (listed,), _ = rows_of(path, free, "?unit=percent")
    assert listed.boxes == (Box(None, 10, 10, 60, 60, unit="percent"),)
    with pytest.raises(DatasetError, match="unit is one of pixel, fraction, percent"):
        open_source(f"{path}?unit=inch", free)


@pytest.mark.parametrize(
    ("row", "options", "unit", "frame"),
    [
        ({"region": [[10, 10], [90, 10], [90, 90]]}, "?unit=percent", "percent", None),
        ({"region": [[10, 10], [90, 10], [90, 90]], "width": 400, "height": 300}, "", "pixel", (300, 400)),
        (
            {"region": {"size": [2, 2], "counts": [1, 3]}, "width": 400, "height": 300},
            "?unit=percent",
            "fraction",
            None,
        ),
    ],
)
def test_a_region_has_the_unit_and_the_frame_of_its_row(plant, free, row, options, unit, frame):
    path = plant("1.jpg") / "list.jsonl"
    path.write_text(json.dumps({"key": "1.jpg", **row}))
    (listed,), _ = rows_of(path, free, options)
    assert [(box.unit, box.frame) for box in listed.boxes] == [(unit, frame)]


WRONG_BOXES = {
    "not json": ("[[1", "boxes are not JSON"),
    "nan": ("[[NaN, 1, 2, 3]]", "boxes are not JSON"),
    "a number": ("3", "boxes are not a list"),
    "three sides": ("[[1, 2, 3]]", "a box is [left, top"),
    "upside down": ("[[5, 2, 3, 4]]", "?four=xywh"),
    "no area": ("[[5, 2, 5, 4]]", "has no area"),
    "unknown side": ('[{"x": 1}]', "a box has no 'x'"),
    "deep": ("[" * 100_000, "boxes are not JSON"),
}


@pytest.mark.parametrize("name", WRONG_BOXES)
@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_wrong_boxes_cost_their_row_the_boxes_and_no_other(plant, free, name, format):
    text, said = WRONG_BOXES[name]
    path = plant("1.jpg", "2.jpg") / f"list.{format}"
    rows = {"key": ["1.jpg", "2.jpg"], "boxes": [text, "[[8, 9, 24, 25]]"]}
    if format == "csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([rows, *zip(*rows.values(), strict=True)])
    else:
        pq.write_table(pa.table(rows), path)
    (one, two), lines = rows_of(path, free)
    assert one.boxes == ()
    assert said in one.boxes_error
    assert (two.boxes, two.boxes_error) == ((BOX,), None)
    (line,) = lines
    assert line.startswith("1 of 2 images: their boxes cannot be used")
    assert "(for example 1.jpg: " in line


def test_repaired_boxes_are_counted(plant, free):
    folder = plant("1.jpg", "2.jpg", "3.jpg")
    boxes = ([[0.1, 0.1, 0.5, 0.5]], [[0, 0.25, 1, 1]], [{"left": 5, "top": 1, "right": 2, "bottom": 4}])
    lines = [json.dumps({"key": f"{n}.jpg", "boxes": value}) for n, value in enumerate(boxes, 1)]
    (folder / "list.jsonl").write_text("\n".join(lines))
    listed, said = rows_of(folder / "list.jsonl", free)
    assert [item.boxes[0].unit for item in listed] == ["fraction", "fraction", "pixel"]
    assert said == [
        f"2 of 3 images: {FRACTIONS} (for example 1.jpg)",
        f"1 of 3 images: {SWAPPED} (for example 3.jpg)",
    ]


def test_the_samples_have_their_boxes(free):
    listed = list(open_source(str(samples.manifest()), free).list())
    assert len(listed) >= 10
    folder = open_source(str(samples.path()), free)
    assert [f"photographs/{item.key}" for item in folder.list()] == [item.key for item in listed]
    assert all(item.boxes for item in listed)


@pytest.mark.parametrize(
    ("columns", "row", "frame"),
    [
        ("width,height,xmin,ymin,xmax,ymax", "200,160,10,20,30,40", (160, 200)),
        ("image_width,image_height,xmin,ymin,xmax,ymax", "200,160,10,20,30,40", (160, 200)),
        ("width,height,boxes", '200,160,"[[10, 20, 30, 40]]"', (160, 200)),
        ("width,height,xmin,ymin,xmax,ymax", "20,20,10,20,30,40", None),  # the box's own size
        ("width,height,xmin,ymin,xmax,ymax", "20,40,0,0,20,40", None),
        ("width,height,xmin,ymin,xmax,ymax", "200,160,.1,.2,.3,.4", None),
    ],
)
def test_boxes_of_a_picture_whose_size_is_in_columns(plant, free, columns, row, frame):
    path = plant("1.jpg") / "list.csv"
    path.write_text(f"key,{columns}\n1.jpg,{row}\n")
    (listed,), _ = rows_of(path, free)
    assert [box.frame for box in listed.boxes] == [frame]


def test_a_gap_in_columns_of_numbers_is_no_box(plant, free):
    path = plant("1.jpg", "2.jpg") / "list.parquet"
    sides = {
        name: [side, float("nan")]
        for name, side in zip(("xmin", "ymin", "xmax", "ymax"), BOX.sides, strict=True)
    }
    pq.write_table(pa.table({"key": ["1.jpg", "2.jpg"], **sides}), path)
    (one, two), _ = rows_of(path, free)
    assert (one.boxes, two.boxes, two.boxes_error) == ((BOX,), (), None)
