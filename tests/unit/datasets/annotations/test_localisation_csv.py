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
    assert found["val_1"] == (Box("n01440764", 85, 1, 500, 273), Box("n01440764", 0, 0, 10, 10))
    assert found["val_2"] == (Box("n02", 1, 2, 4, 5),)
    path.write_text("ImageId,PredictionString\nval_1,n01440764 85 1 499\n")
    with pytest.raises(DatasetError, match="line 2"):
        read_localisation(path)
