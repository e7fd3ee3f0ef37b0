"""The table of boxes of ImageNet's localisation challenge."""

from pathlib import Path

import pytest

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.annotations.localisation_csv import read_localisation
from gfi.datasets.errors import DatasetError


def test_the_localisation_table_of_imagenet(tmp_path: Path):
    path = tmp_path / "LOC_val_solution.csv"
    path.write_text(
        "ImageId,PredictionString\nval_1,n01440764 85 1 499 272 n01440764 0 0 9 9 \nval_2,n02 1 2 3 4\n"
    )
    found = read_localisation(path)
    assert found["val_1"].label == "n01440764"
    assert found["val_1"].boxes.boxes == (Box("n01440764", 85, 1, 500, 273), Box("n01440764", 0, 0, 10, 10))
    assert found["val_2"].boxes.boxes == (Box("n02", 1, 2, 4, 5),)


def test_a_wrong_row_costs_its_own_image_the_boxes(tmp_path: Path):
    path = tmp_path / "LOC_val_solution.csv"
    path.write_text(
        "ImageId,PredictionString\nval_1,n01440764 85 1 499\nval_2\nval_3,n02 a 2 3 4\nval_4,n02 nan 2 3 4\n"
        "val_5,n03 1 2 3 4\n"
    )
    found = read_localisation(path)
    for number in (1, 2, 3, 4):
        boxes = found[f"val_{number}"].boxes
        assert boxes.boxes == ()
        assert f"line {number + 1}: not `id,wordnet" in (boxes.error or "")
    assert found["val_1"].label == "n01440764"
    assert found["val_5"].boxes.boxes == (Box("n03", 1, 2, 4, 5),)


def test_a_table_that_cannot_be_read_is_an_error(tmp_path: Path):
    (tmp_path / "table.csv").write_bytes(b"ImageId\n\xff")
    for name in ("table.csv", "missing.csv"):
        with pytest.raises(DatasetError, match="cannot read"):
            read_localisation(tmp_path / name)
