"""The frozen listing: every row once, read back exactly, in bounded memory."""

import hashlib
import random
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gfi.datasets import manifest
from gfi.datasets.annotations.boxes import Box
from gfi.datasets.errors import DatasetError
from gfi.datasets.listing import Listed
from gfi.datasets.manifest import Entry, Manifest
from gfi.datasets.notes import ListingNotes
from gfi.datasets.sources import fingerprint, open_source
from gfi.domain.class_index import ClassIndex


def many(count: int) -> list[Entry]:
    return [
        Entry(n, f"k/{n:06}.jpg", n * 3, f"v{n}", None if n % 3 else "cat", n % 5 or None)
        for n in range(count)
    ]


def test_entries_come_back_exactly(tmp_path):
    rows = [
        Entry(0, "a.jpg", 1, "v"),
        Entry(1, "é 'x'.jpg", 2**40, "", "cat", 281, (Box(None, 1, 2.5, 3, 4), Box("dog", 0, 0, 9, 9, True))),
        Entry(2, "b.jpg", 0, "etag", "7", None, (), {"camera": "north", "n": 3, "tags": ["é", None]}),
        Entry(
            3,
            "c.jpg",
            0,
            "",
            boxes=(Box(None, 0.1, 0, 0.9, 1, unit="fraction"), Box(None, -4, 0, 9, 9, frame=(8, 6))),
        ),
        Entry(4, "d.jpg", 0, "", boxes_error="its boxes are not JSON"),
    ]
    written = manifest.write(rows, tmp_path / "m.parquet", {"dataset": "folder:/x", "kind": "folder"})
    opened = Manifest.open(tmp_path / "m.parquet")
    assert opened.rows(0, 5) == rows
    assert list(opened) == rows
    assert (opened.count, written.count, written.unmatched) == (5, 5, 1)
    assert opened.metadata == {
        "dataset": "folder:/x",
        "kind": "folder",
        "schema_version": "2",
        "count": "5",
        "columns": '{"camera": "text", "n": "number"}',
        "listing": written.listing,
    }
    data = (tmp_path / "m.parquet").read_bytes()
    assert (written.sha256, written.bytes) == (hashlib.sha256(data).hexdigest(), len(data))


def test_a_manifest_of_the_first_version_is_still_read(tmp_path):
    """Before boxes had a unit, a frame or an error."""
    box = pa.struct(
        [
            ("label", pa.string()),
            *((side, pa.float64()) for side in ("left", "top", "right", "bottom")),
            ("difficult", pa.bool_()),
        ]
    )
    value = {"label": "cat", "left": 1, "top": 2, "right": 3, "bottom": 4, "difficult": True}
    columns = {
        "row": [0], "key": ["a.jpg"], "size": [1], "version": ["v"], "label": ["cat"], "target": [3],
        "boxes": pa.array([[value]], pa.list_(box)), "extra": ["{}"],
    }  # fmt: skip
    table = pa.table(columns).replace_schema_metadata({"schema_version": "1", "count": "1"})
    pq.write_table(table, tmp_path / "m.parquet")
    (entry,) = Manifest.open(tmp_path / "m.parquet")
    assert entry == Entry(0, "a.jpg", 1, "v", "cat", 3, (Box("cat", 1, 2, 3, 4, difficult=True),))


def test_labels_with_two_readings_are_decided_and_said(tmp_path):
    classes = ClassIndex(("0", "1", "10", "2"))  # as torchvision sorts folders
    notes = ListingNotes()
    listing = [Listed(key, 0, "", label) for key, label in (("a", "2"), ("b", "2"), ("c", "0"), ("d", "1.0"))]
    assert [entry.target for entry in manifest.entries(listing, classes, notes)] == [3, 3, 0, 1]
    assert notes.lines(4) == [
        "2 of 4 images: the label 2 is read as the class called 2, which has index 3 (for example a)",
        "1 of 4 images: a label that is a whole number with a point (1.0) is read without it (for example d)",
    ]


def test_any_stretch_of_rows_is_read_and_only_its_row_groups(tmp_path, monkeypatch):
    rows = many(25_003)
    manifest.write(rows, tmp_path / "m.parquet", {})
    assert pq.ParquetFile(tmp_path / "m.parquet").num_row_groups == 3
    opened = Manifest.open(tmp_path / "m.parquet")
    for start, stop in (
        (0, 1),
        (9_999, 10_001),
        (10_000, 10_000),
        (25_002, 25_003),
        (24_000, 99_999),
        (7, 3),
        (-5, 2),
    ):
        assert opened.rows(start, stop) == rows[max(start, 0) : stop]
    groups = []
    read = opened._read
    monkeypatch.setattr(opened, "_read", lambda wanted: groups.extend(wanted) or read(wanted))
    opened.rows(10_000, 10_256)
    assert groups == [1]


@pytest.mark.parametrize("order", ["sorted", "shuffled"])
def test_a_key_listed_twice_is_named_however_far_apart(tmp_path, order):
    rows = [Entry(n, f"{n}.jpg", 0, "") for n in range(21_000)]
    rows[17] = Entry(17, "twice.jpg", 0, "")
    rows[20_500 if order == "shuffled" else 18] = Entry(1, "twice.jpg", 0, "")
    with pytest.raises(
        DatasetError, match=r"the key 'twice\.jpg' is listed twice, as images 17 and (20500|18)"
    ):
        manifest.write(rows, tmp_path / "m.parquet", {})
    assert list(tmp_path.iterdir()) == []


def test_keys_that_only_share_a_hash_are_no_duplicates(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "hash", lambda key: 5, raising=False)
    assert manifest.write(many(50), tmp_path / "m.parquet", {}).count == 50
    with pytest.raises(DatasetError, match="listed twice"):
        manifest.write([*many(50), many(50)[7]], tmp_path / "m.parquet", {})


def test_a_listing_that_breaks_off_leaves_nothing_behind(tmp_path):
    def broken():
        yield from many(15_000)
        raise DatasetError("the medium is gone")

    for rows in (broken(), iter(())):
        with pytest.raises(DatasetError):
            manifest.write(rows, tmp_path / "m.parquet", {})
    assert list(tmp_path.iterdir()) == []


def test_labels_become_targets_and_unmatched_ones_are_counted(tmp_path):
    classes = ClassIndex(("cat", "dog"))
    listing = [
        Listed(f"{n}", 0, "", label) for n, label in enumerate(("cat", "Dog", "whale", None, "whale", "1"))
    ]
    entries = list(manifest.entries(listing, classes))
    assert [(entry.row, entry.target) for entry in entries] == [
        (0, 0),
        (1, 1),
        (2, None),
        (3, None),
        (4, None),
        (5, 1),
    ]
    assert manifest.write(entries, tmp_path / "m.parquet", {}).unmatched == 2


def test_a_subset_keeps_the_rows_numbers(tmp_path):
    rows = many(25_003)
    manifest.write(rows, tmp_path / "m.parquet", {"dataset": "x"})
    whole = Manifest.open(tmp_path / "m.parquet")
    chosen = random.Random(3).sample(range(25_003), 500)
    written = manifest.subset(whole, [*chosen, chosen[0]], tmp_path / "s.parquet", {"retry_of": "j1"})
    part = Manifest.open(tmp_path / "s.parquet")
    assert part.rows(0, 500) == [rows[row] for row in sorted(chosen)]
    assert (part.metadata["dataset"], part.metadata["retry_of"], written.count) == ("x", "j1", 500)
    again = manifest.subset(part, chosen[:3], tmp_path / "t.parquet", {})
    assert again.count == 3
    assert [entry.row for entry in Manifest.open(tmp_path / "t.parquet")] == sorted(chosen[:3])
    for rows_asked in ([25_003], [-1], []):
        with pytest.raises(DatasetError):
            manifest.subset(whole, rows_asked, tmp_path / "u.parquet", {})


def test_the_manifest_knows_its_datasets_fingerprint(plant, free, tmp_path):
    source = open_source(str(plant("a/1.jpg", "b/2.jpg")), free)
    written = manifest.write(manifest.entries(source.list()), tmp_path / "m.parquet", {})
    assert written.listing == fingerprint(source)
    plant("b/3.jpg")
    assert written.listing != fingerprint(source)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "other"])
def test_a_damaged_manifest_is_one_clear_error(tmp_path, damage):
    path = tmp_path / "m.parquet"
    manifest.write(many(10), path, {})
    if damage == "missing":
        path.unlink()
    elif damage == "other":
        pq.write_table(pa.table({"a": [1]}), path)
    else:
        path.write_bytes(b"" if damage == "empty" else path.read_bytes()[:-50])
    with pytest.raises(DatasetError, match="manifest") as caught:
        Manifest.open(path)
    assert "\n" not in str(caught.value)


def test_millions_of_one_key_end_at_the_first_rows(tmp_path):
    listed = 0

    def endless():
        nonlocal listed
        while True:
            yield Entry(listed, "same.jpg", 0, "")
            listed += 1

    with pytest.raises(DatasetError, match=r"the key 'same\.jpg' is listed twice, as images 0 and 1"):
        manifest.write(endless(), tmp_path / "manifest.parquet", {})
    assert listed <= 10_000
    assert not list(tmp_path.iterdir())


def test_the_types_of_further_columns_are_decided_once(tmp_path):
    rows = [
        Entry(0, "a.jpg", 0, "", extra={"site": "A", "age": "41", "code": "7"}),
        Entry(1, "b.jpg", 0, "", extra={"site": "B", "age": 3.5, "code": "07"}),
        Entry(2, "c.jpg", 0, ""),
    ]
    written = manifest.write(rows, tmp_path / "m.parquet", {"dataset": "x"})
    assert written.columns == {"site": "text", "age": "number", "code": "text"}
    opened = Manifest.open(tmp_path / "m.parquet")
    assert [entry.columns for entry in opened.rows(0, 3)] == [
        {"site": "A", "age": 41.0, "code": "7"},
        {"site": "B", "age": 3.5, "code": "07"},
        {},
    ]
    manifest.subset(opened, [0], tmp_path / "retry.parquet", {"retry": "1"})
    (entry,) = Manifest.open(tmp_path / "retry.parquet")
    assert entry.columns["code"] == "7"  # and not a number, although all values of the retry are


def test_an_image_with_several_labels_stands_for_each_of_them(tmp_path):
    listed = [
        Listed("a.jpg", 1, "v", labels=("dog", "cow", "cat", "Dog")),
        Listed("b.jpg", 1, "v", "cat"),
        Listed("c.jpg", 1, "v", labels=("cow", "pig")),
    ]
    rows = list(manifest.entries(listed, ClassIndex(["cat", "dog"])))
    written = manifest.write(rows, tmp_path / "m.parquet", {})
    opened = Manifest.open(tmp_path / "m.parquet")
    assert opened.rows(0, 3) == rows
    assert (opened.metadata["schema_version"], written.several, written.unmatched) == ("3", 2, 2)
    a, b, c = ([(one.label, one.target) for one in entry.by_label()] for entry in rows)
    assert (a, b, c) == ([("dog", 1), ("cat", 0)], [("cat", 0)], [(None, None)])
    fewer = manifest.write(rows[:2], tmp_path / "fewer.parquet", {})
    changed = [replace(rows[0], labels=("dog",), targets=(1,)), rows[1]]
    assert manifest.write(changed, tmp_path / "changed.parquet", {}).listing != fewer.listing
