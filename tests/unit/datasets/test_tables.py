"""Manifest files: their formats and keys, and the errors of invalid rows."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.errors import DatasetError
from gfi.datasets.manifest import entries, write
from gfi.datasets.sources import open_source
from gfi.store.settings import Settings
from tests.unit.datasets.conftest import jpeg, rows_of

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
    "list in a list as label": ("jsonl", '{"key": "1.jpg", "label": [["a"]]}', r"line 1: the label"),
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


def test_columns_as_documented_are_not_spoken_of(plant, free):
    path = written(plant("a/1.jpg", "2.jpg", "3.jpg"), "jsonl")
    assert rows_of(path, free)[1] == []


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
        ("key\ngs://example/a.jpg\n", "line 2: .* photographs are files, s3:// or https://, not gs://"),
        (
            "key\nhttps://example.org/a.jpg\n",
            "line 2: .* not read from example.org; hosts of GFI_DATASET_HOSTS: none",
        ),
        ("key,label\ra.jpg,1\r", "line 1: a lone carriage return; save the file with the line ends LF$"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_in_one_line(plant, free, text, says):
    path = plant("a.jpg") / "list.csv"
    path.write_bytes(text.encode())
    with pytest.raises(DatasetError, match=says):
        rows_of(path, free)
