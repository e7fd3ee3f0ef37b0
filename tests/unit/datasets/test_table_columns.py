"""Columns of manifest files: their names, their types and their sizes."""

import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gfi.datasets.errors import DatasetError
from gfi.datasets.labels import FLOAT_LABELS
from gfi.datasets.sources import open_source
from gfi.store.settings import Settings
from tests.unit.datasets.conftest import BOX, rows_of


def test_columns_of_other_types_are_kept_as_text(plant, free):
    path = plant("1.jpg") / "list.parquet"
    pq.write_table(
        pa.table({"key": ["1.jpg"], "day": [datetime.date(2026, 1, 2)], "n": [3], "tags": [["a", "b"]]}), path
    )
    (listed,) = open_source(str(path), free).list()
    assert listed.extra == {"day": "2026-01-02", "n": 3, "tags": ["a", "b"]}


def test_an_unknown_option_is_named(plant, free):
    folder = plant("1.jpg")
    (folder / "list.csv").write_text("key\n1.jpg\n")
    with pytest.raises(
        DatasetError, match="no option 'split'; it has boxes, columns, four, key, label, region, root, unit"
    ):
        open_source(f"{folder}/list.csv?split=test", free)
    with pytest.raises(DatasetError, match="is not a file"):
        open_source(f"manifest:{folder}", free)


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        (
            "Key,Label, boxes",
            '1.jpg,cat,"[[8, 9, 24, 25]]"',
            ["'Key' is read as `key`", "'Label'"],
        ),
        ("filepath,class,boxes", '1.jpg,cat,"[[8, 9, 24, 25]]"', ["'filepath' is read as `key`", "'class'"]),
        (
            "FileName,category,bbox",
            '1.jpg,cat,"[{""left"": 8, ""top"": 9, ""right"": 24, ""bottom"": 25}]"',
            ["'FileName' is read as `key`", "'category'", "'bbox' is read as `boxes`"],
        ),
        (
            "image,label,left,top,right,bottom",
            "1.jpg,cat,8,9,24,25",
            ["left, top, right, bottom are read as a box"],
        ),
        ("image,label,XMin,YMin,XMax,YMax", "1.jpg,cat,24,25,8,9", ["XMin, YMin, XMax, YMax", "wrong order"]),
    ],
)
def test_a_near_miss_of_a_column_is_read_and_said(plant, free, header, row, said):
    path = plant("1.jpg") / "list.csv"
    path.write_text(f"{header}\n{row}\n")
    (listed,), lines = rows_of(path, free)
    assert (listed.key, listed.label, listed.boxes, listed.extra) == ("1.jpg", "cat", (BOX,), {})
    for text in said:
        assert any(text in line for line in lines), lines


def test_columns_may_be_asked_for(plant, free):
    path = plant("1.jpg", "2.jpg") / "list.csv"
    path.write_text("path,image,class,category\n1.jpg,2.jpg,cat,animal\n")
    source = open_source(f"{path}?key=image&label=Category", free)
    for spec in (source.spec, f"{path}?key=image&label=Category"):
        (listed,) = open_source(spec, free).list()
        assert (listed.key, listed.label) == ("2.jpg", "animal")
        assert listed.extra == {"path": "1.jpg", "class": "cat"}
    (listed,), lines = rows_of(path, free, "?key=path")
    assert listed.label is None
    assert any("may be the label: class, category; say `?label=`" in line for line in lines)
    with pytest.raises(DatasetError, match="no column 'colour' for the label; its columns are path"):
        list(open_source(f"{path}?key=path&label=colour", free).list())


def test_numbers_with_a_point_are_labels(plant, free):
    path = plant(*(f"{n}.jpg" for n in range(4))) / "list.parquet"
    labels, nothing = [1.0, None, float("nan"), 2.5], [float("nan")] * 4
    pq.write_table(pa.table({"key": [f"{n}.jpg" for n in range(4)], "label": labels, "n": nothing}), path)
    listed, lines = rows_of(path, free)
    assert [item.label for item in listed] == ["1", None, None, "2.5"]
    assert [item.extra for item in listed] == [{}] * 4
    assert lines == [f"1 of 4 images: {FLOAT_LABELS} (for example 0.jpg)"]


def test_columns_can_be_chosen(plant, free):
    folder = plant("1.jpg")
    (folder / "list.csv").write_text("key,site,age,path2\n1.jpg,A,40,x\n")
    (listed,) = open_source(f"{folder}/list.csv?columns=site,age", free).list()
    assert listed.extra == {"site": "A", "age": "40"}
    with pytest.raises(DatasetError, match="no column 'sit'"):
        list(open_source(f"{folder}/list.csv?columns=sit", free).list())


def one_text_for_all(folder, length: int, rows: int):
    """A small Parquet whose rows repeat one long text."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["x" * length])
    pq.write_table(
        pa.table({"key": [f"{n}.jpg" for n in range(rows)], "note": texts}), folder / "list.parquet"
    )
    return open_source(str(folder / "list.parquet"), Settings(home=folder))


def nested(folder, values) -> list[str]:
    """The keys of a Parquet whose rows have these nested values."""
    keys = [f"{n}.jpg" for n in range(len(values))]
    pq.write_table(pa.table({"key": keys, "nested": values}), folder / "nested.parquet")
    return [
        listed.key for listed in open_source(str(folder / "nested.parquet"), Settings(home=folder)).list()
    ]


@pytest.mark.parametrize(
    "cell",
    [[0.5] * 60_000, ["x" * 2000] * 600, [{"a": ["y" * 1_100_000]}], [[1] * 300] * 200],
    ids=["numbers", "one text again and again", "a text inside", "lists of lists"],
)
def test_one_nested_value_of_a_parquet_that_is_too_large_is_named(tmp_path, cell) -> None:
    with pytest.raises(DatasetError, match=r"column 'nested' has a value of [\d,]+ bytes in the rows from 0"):
        nested(tmp_path, pa.array([[], cell, []]))


def test_nested_values_of_a_parquet_may_be_large_together(tmp_path) -> None:
    assert len(nested(tmp_path, pa.array([[0.5] * 4096] * 90))) == 90
    assert len(nested(tmp_path, pa.array([{"a": "x" * 100_000, "b": None}] * 90))) == 90


def test_a_text_that_all_rows_of_a_parquet_repeat_is_in_memory_once(tmp_path) -> None:
    source = one_text_for_all(tmp_path, 80_000, 5_000)  # 400 MB as plain columns
    listing = source.list()
    assert len(next(listing).extra["note"]) == 80_000
    assert pa.total_allocated_bytes() < 100 * 2**20
    assert sum(1 for _ in listing) == 4_999


def test_a_value_of_a_parquet_may_have_the_length_of_a_line(tmp_path) -> None:
    with pytest.raises(DatasetError, match="column 'note' has a value of 2,000,000 bytes"):
        list(one_text_for_all(tmp_path, 2_000_000, 3).list())


@pytest.mark.parametrize(
    "text",
    [
        "\n\nkey,label\n1.jpg,cat\n",
        "key,label\n\n1.jpg,cat\n   \n,\n",
        "key,label,,\n1.jpg,cat,,\n",
        ",key,label\n0,1.jpg,cat\n",
        'key, label\n1.jpg, "cat"\n',
    ],
)
def test_what_spreadsheets_leave_in_a_table_is_no_row_and_no_column(plant, free, text):
    path = plant("1.jpg") / "list.csv"
    path.write_text(text)
    (listed,), lines = rows_of(path, free)
    assert (listed.key, listed.label, listed.extra, lines) == ("1.jpg", "cat", {}, [])
