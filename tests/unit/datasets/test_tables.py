"""Manifest files: what is read, and the errors of invalid rows."""

import csv
import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gfi import samples
from gfi.datasets.annotations.boxes import FRACTIONS, SWAPPED, Box
from gfi.datasets.errors import DatasetError
from gfi.datasets.labels import FLOAT_LABELS
from gfi.datasets.listing import Listed
from gfi.datasets.manifest import entries, write
from gfi.datasets.notes import ListingNotes
from gfi.datasets.sources import open_source
from gfi.store.settings import Settings
from tests.unit.datasets.conftest import jpeg

ROWS = [
    {"key": "a/1.jpg", "label": "cat", "boxes": [[1, 2, 3, 4]], "camera": "north"},
    {
        "key": "2.jpg",
        "label": None,
        "boxes": [{"left": 0, "top": 0, "right": 5.5, "bottom": 6, "label": "dog", "difficult": True}],
    },
    {"key": "3.jpg", "label": 7, "camera": None},
]


def written(folder, format: str):
    path = folder / f"list.{format}"
    if format == "jsonl":
        path.write_text("\n".join(map(json.dumps, ROWS)) + "\n\n")
    elif format == "csv":
        with path.open("w", newline="", encoding="utf-8-sig") as file:  # as Excel writes it
            table = csv.DictWriter(file, ["key", "label", "boxes", "camera"])
            table.writeheader()
            table.writerows({**row, "boxes": json.dumps(row.get("boxes"))} for row in ROWS)
    else:
        pq.write_table(
            pa.table(
                {
                    "key": [row["key"] for row in ROWS],
                    "label": [str(row["label"]) if row["label"] else None for row in ROWS],
                    "boxes": [json.dumps(row.get("boxes")) for row in ROWS],
                    "camera": [row.get("camera") for row in ROWS],
                }
            ),
            path,
        )
    return path


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_all_three_formats_say_the_same(plant, free, format):
    path = written(plant("a/1.jpg", "2.jpg", "3.jpg"), format)
    source = open_source(str(path), free)
    assert source.kind == "manifest"
    one, two, three = source.list()
    assert (one.key, one.label, one.boxes, one.extra) == (
        "a/1.jpg",
        "cat",
        (Box(None, 1, 2, 3, 4),),
        {"camera": "north"},
    )
    assert (two.key, two.label, two.boxes) == ("2.jpg", None, (Box("dog", 0, 0, 5.5, 6, True),))
    assert (three.key, three.label, three.boxes, three.extra) == ("3.jpg", "7", (), {})
    assert source.fetch("a/1.jpg", one.version).data == jpeg(0)
    assert not source.fetch("a/1.jpg", one.version).changed
    assert [listed.key for listed in open_source(source.spec, free).list()] == ["a/1.jpg", "2.jpg", "3.jpg"]


def test_the_order_is_the_files(plant, free):
    folder = plant("a.jpg", "b.jpg", "c.jpg")
    (folder / "list.jsonl").write_text("".join(json.dumps({"key": f"{k}.jpg"}) + "\n" for k in "cab"))
    assert [listed.key for listed in open_source(str(folder / "list.jsonl"), free).list()] == [
        "c.jpg",
        "a.jpg",
        "b.jpg",
    ]


def test_keys_may_start_at_another_root(plant, free, tmp_path):
    plant("1.jpg", base="what? a=b&c")
    (tmp_path / "list.csv").write_text("key\n1.jpg\n")
    from urllib.parse import quote

    source = open_source(f"{tmp_path}/list.csv?root={quote(str(tmp_path / 'what? a=b&c'))}", free)
    assert source.fetch("1.jpg").data == jpeg(0)
    assert open_source(source.spec, free).fetch("1.jpg").data == jpeg(0)


def test_columns_of_other_types_are_kept_as_text(plant, free):
    path = plant("1.jpg") / "list.parquet"
    pq.write_table(
        pa.table({"key": ["1.jpg"], "day": [datetime.date(2026, 1, 2)], "n": [3], "tags": [["a", "b"]]}), path
    )
    (listed,) = open_source(str(path), free).list()
    assert listed.extra == {"day": "2026-01-02", "n": 3, "tags": ["a", "b"]}


def test_a_missing_photograph_is_listed_and_fails_alone(plant, free):
    folder = plant("1.jpg")
    (folder / "list.csv").write_text("key\ngone.jpg\n1.jpg\n")
    source = open_source(str(folder / "list.csv"), free)
    gone, here = source.list()
    assert (gone.size, gone.version) == (0, "missing")
    with pytest.raises(DatasetError, match="No such file"):
        source.fetch(gone.key, gone.version)
    assert source.fetch(here.key, here.version).data == jpeg(0)


WRONG = {
    "no key column": ("csv", "name\n1.jpg\n", r"no column `key`; its columns are name"),
    "empty file": ("csv", "", r"lists no images"),
    "key twice": (
        "csv",
        "path,image\n1.jpg,1.jpg\n",
        r"several columns .* may be the key: path, image; say `\?key=`",
    ),
    "key in two writings": (
        "csv",
        "Key,KEY\n1.jpg,1.jpg\n",
        r"several columns .* may be the key: Key, KEY",
    ),
    "no rows": ("csv", "key\n", r"lists no images"),
    "too many fields": (
        "csv",
        "key,label\n1.jpg,a\n1.jpg,a,b\n",
        r"list\.csv line 3: 3 fields under 2 columns",
    ),
    "one name twice": ("csv", "key,a,a\n1.jpg,1,2\n", r"two columns with the same name"),
    "no key": ("csv", "key,label\n,cat\n", r"list\.csv line 2: no key"),
    "open quote": ("csv", 'key\n"1.jpg\n', r"list\.csv line 2: "),
    "not utf-8": ("csv", b"key\n\xff.jpg\n", r"list\.csv line 2 is not UTF-8"),
    "not a number": ("jsonl", '{"key": "1.jpg", "boxes": [[NaN, 2, 3, 4]]}', r"line 1: not JSON: NaN"),
    "a list": ("jsonl", '["1.jpg"]', r"line 1: not an object"),
    "half a line": ("jsonl", '{"key": "1.jpg"}\n{"key": ', r"list\.jsonl line 2: not JSON"),
    "deep": ("jsonl", '{"key": "1.jpg", "x": ' + "[" * 100_000, r"line 1: not JSON"),
    "number as key": ("jsonl", '{"key": 1}', r"line 1: no key"),
    "list as label": ("jsonl", '{"key": "1.jpg", "label": ["a"]}', r"line 1: the label"),
    "half a letter": ("jsonl", '{"key": "\\ud800.jpg"}', r"line 1: .*not|line 1: .*nowhere"),
    "half a letter as label": (
        "jsonl",
        '{"key": "1.jpg", "label": "\\ud800"}',
        r"line 1: the label .* not Unicode",
    ),
    "nul": ("jsonl", '{"key": "1.jpg", "label": "a\\u0000"}', r"line 1: the label .* NUL"),
    "nul in extra": ("jsonl", '{"key": "1.jpg", "x": "a\\u0000"}', r"line 1: a column holds a NUL"),
    "endless line": ("jsonl", '{"key": "' + "x" * 2_000_000, r"line 1 is longer than"),
    "upwards": ("csv", "key\n1.jpg\n../secret.jpg\n", r"list\.csv line 3: the key '\.\./secret\.jpg'"),
    "absolute": ("csv", "key\n/etc/passwd\n", r"list\.csv line 2: /etc/passwd is outside the dataset"),
    "bucket without name": ("csv", "key\ns3:///x.jpg\n", r"list\.csv line 2: .* names no bucket"),
    "bucket without object": ("csv", "key\ns3://b\n", r"list\.csv line 2: .* names no object"),
    "not parquet": ("parquet", "PAR1 hello PAR1", r"list\.parquet is not a readable Parquet"),
    "no parquet": ("parquet", "", r"list\.parquet is not a readable Parquet"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_manifest_says_file_and_line(plant, free, name):
    format, content, said = WRONG[name]
    path = plant("1.jpg") / f"list.{format}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DatasetError, match=said) as caught:
        list(open_source(str(path), free).list())
    assert "\n" not in str(caught.value)


def test_a_parquet_row_that_is_wrong_is_numbered(plant, free):
    path = plant("1.jpg") / "list.parquet"
    pq.write_table(pa.table({"key": ["1.jpg", "", "2.jpg"]}), path)
    with pytest.raises(DatasetError, match=r"list\.parquet row 1: no key"):
        list(open_source(str(path), free).list())


def test_a_manifest_reaches_nothing_outside_the_roots(plant, tmp_path):
    secret = plant("secret.jpg", base="outside") / "secret.jpg"
    folder = plant("1.jpg")
    settings = Settings(dataset_roots=(folder,), dataset_buckets=("mine",))
    (folder / "link.jpg").symlink_to(secret)
    for key in (str(secret), "link.jpg", "../outside/secret.jpg", "s3://other/1.jpg"):
        (folder / "list.csv").write_text(f"key\n{key}\n")
        source = open_source(str(folder / "list.csv"), settings)
        with pytest.raises(DatasetError):
            list(source.list())
        with pytest.raises(DatasetError):
            source.fetch(key)
    for spec in (
        f"{folder}/list.csv?root=/",
        f"{folder}/list.csv?root={secret.parent}",
        f"{secret.parent}/list.csv",
    ):
        with pytest.raises(DatasetError, match="outside the dataset roots"):
            open_source(spec, settings)


def test_an_absolute_key_inside_the_root_is_fine(plant, free):
    folder = plant("1.jpg")
    (folder / "list.csv").write_text(f"key\n{folder}/1.jpg\n")
    (listed,) = open_source(str(folder / "list.csv"), free).list()
    assert open_source(str(folder / "list.csv"), free).fetch(listed.key, listed.version).data == jpeg(0)


def test_an_unknown_option_is_named(plant, free):
    folder = plant("1.jpg")
    (folder / "list.csv").write_text("key\n1.jpg\n")
    with pytest.raises(
        DatasetError, match="no option 'split'; it has boxes, columns, four, key, label, root, unit"
    ):
        open_source(f"{folder}/list.csv?split=test", free)
    with pytest.raises(DatasetError, match="is not a file"):
        open_source(f"manifest:{folder}", free)


BOX = Box(None, 8, 9, 24, 25)


def rows_of(path, free, options: str = "") -> tuple[list[Listed], list[str]]:
    """The listing of a manifest, and its notes."""
    notes = ListingNotes()
    listed = list(open_source(f"{path}{options}", free).list(notes))
    return listed, notes.lines(len(listed))


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


def test_columns_as_documented_are_not_spoken_of(plant, free):
    path = written(plant("a/1.jpg", "2.jpg", "3.jpg"), "jsonl")
    assert rows_of(path, free)[1] == []


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


def test_a_unit_may_be_asked_for(plant, free):
    path = plant("1.jpg") / "list.csv"
    path.write_text('key,boxes\n1.jpg,"[[10, 10, 60, 60]]"\n')
    (listed,), _ = rows_of(path, free, "?unit=percent")
    assert listed.boxes == (Box(None, 10, 10, 60, 60, unit="percent"),)
    with pytest.raises(DatasetError, match="unit is one of pixel, fraction, percent"):
        open_source(f"{path}?unit=inch", free)


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


def test_numbers_with_a_point_are_labels(plant, free):
    path = plant(*(f"{n}.jpg" for n in range(4))) / "list.parquet"
    labels, nothing = [1.0, None, float("nan"), 2.5], [float("nan")] * 4
    pq.write_table(pa.table({"key": [f"{n}.jpg" for n in range(4)], "label": labels, "n": nothing}), path)
    listed, lines = rows_of(path, free)
    assert [item.label for item in listed] == ["1", None, None, "2.5"]
    assert [item.extra for item in listed] == [{}] * 4
    assert lines == [f"1 of 4 images: {FLOAT_LABELS} (for example 0.jpg)"]


PARQUET = pa.BufferOutputStream()
pq.write_table(pa.table({"key": [f"{n}.jpg" for n in range(50)], "label": ["a"] * 50}), PARQUET)


@given(
    format=st.sampled_from(["csv", "jsonl", "parquet"]),
    data=st.binary(max_size=200),
    place=st.floats(0, 1),
    of_original=st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_random_manifests_never_escape(tmp_path_factory, format, data, place, of_original):
    path = tmp_path_factory.getbasetemp() / f"fuzz.{format}"
    original = {
        "csv": b'key,boxes\na.jpg,"[[1,2,3,4]]"\n',
        "jsonl": b'{"key": "a.jpg", "boxes": [[1, 2, 3, 4]]}\n',
    }
    content = bytearray(original.get(format) or PARQUET.getvalue().to_pybytes())
    at = int(place * len(content))
    content[at : at + len(data)] = data
    path.write_bytes(bytes(content) if of_original else data)
    try:
        for _ in zip(range(1000), open_source(str(path), Settings()).list(), strict=False):
            pass
    except DatasetError as error:
        if "\n" in str(error):
            pytest.fail(str(error))
    finally:
        path.unlink()


def test_the_samples_have_their_boxes(free):
    listed = list(open_source(str(samples.manifest()), free).list())
    assert len(listed) >= 10
    folder = open_source(str(samples.path()), free)
    assert [f"photographs/{item.key}" for item in folder.list()] == [item.key for item in listed]
    assert all(item.boxes for item in listed)


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


@pytest.mark.parametrize("text", ["key;label;boxes\n1.jpg;cat;[[1,2,3,4]]\n", "key\tlabel\n1.jpg\tcat\n"])
def test_another_separator_is_named(plant, free, text):
    path = plant("1.jpg") / "list.csv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=r"separated by .* write it with commas"):
        rows_of(path, free)


def test_utf_16_is_named(plant, free):
    path = plant("1.jpg") / "list.csv"
    path.write_text("key,label\n1.jpg,cat\n", encoding="utf-16")
    with pytest.raises(DatasetError, match="is it UTF-16"):
        rows_of(path, free)


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


def test_a_name_twice_in_an_object_is_refused(plant, free):
    """The second was taken without a word."""
    path = plant("1.jpg") / "list.jsonl"
    path.write_text('{"key": "1.jpg", "label": "cat", "label": "dog"}\n')
    with pytest.raises(DatasetError, match="line 1: not JSON: 'label' twice in one object"):
        rows_of(path, free)


def test_spellings_of_a_path_are_one_image(plant, free):
    """./a.jpg and a.jpg had a result each, and every mean counted the photograph twice."""
    path = plant("a.jpg", "b/c.jpg") / "list.csv"
    path.write_text("key\n./a.jpg\nb//./c.jpg\n")
    rows, _ = rows_of(path, free)
    assert [row.key for row in rows] == ["a.jpg", "b/c.jpg"]
    assert open_source(str(path), free).fetch("./a.jpg").data == jpeg(0)  # a job of before
    path.write_text("key\n./a.jpg\nb/c.jpg\na.jpg\n")
    with pytest.raises(DatasetError, match=r"the key 'a\.jpg' is listed twice, as images 0 and 2"):
        write(entries(open_source(str(path), free).list()), path.with_suffix(".parquet"), {})
    path.write_text("key\n./b/../../a.jpg\n")
    with pytest.raises(DatasetError, match="does not name a file below"):
        rows_of(path, free)


def test_spellings_of_an_object_lose_their_dot_alone(free, tmp_path):
    (tmp_path / "list.csv").write_text("key\n././a.jpg\nb//c.jpg\ns3://photographs/./d.jpg\n")
    rows, _ = rows_of(tmp_path / "list.csv", free, "?root=s3://photographs/birds")
    assert [row.key for row in rows] == ["a.jpg", "b//c.jpg", "s3://photographs/./d.jpg"]


def test_files_that_are_not_there_are_counted(plant, free):
    """A manifest of which no photograph existed was previewed without a word."""
    path = plant("a.jpg") / "list.csv"
    path.write_text("key\na.jpg\ngone.jpg\na.jpg \n")
    assert rows_of(path, free)[1] == ["2 of 3 images: no such file (for example 'gone.jpg')"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("key\nhttps://example.org/a.jpg\n", "line 2: .* photographs are files or s3://, not https://"),
        ("key,label\ra.jpg,1\r", "line 1: a lone carriage return; save the file with the line ends LF$"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_in_one_line(plant, free, text, says):
    path = plant("a.jpg") / "list.csv"
    path.write_bytes(text.encode())
    with pytest.raises(DatasetError, match=says):
        rows_of(path, free)
