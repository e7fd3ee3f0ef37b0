"""Tar shards: read without unpacking, and only plain members."""

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gfi.datasets.annotations.boxes import Box
from gfi.datasets.errors import DatasetError
from gfi.datasets.notes import ListingNotes
from gfi.datasets.sources import open_source
from gfi.datasets.tar_samples import CAPTION, LEFT_OVER, UNREADABLE
from gfi.store.settings import Settings
from tests.unit.datasets.conftest import jpeg


def shard(path: Path, members: dict[str, bytes], format: int = tarfile.GNU_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def shards(tmp_path) -> Path:
    shard(
        tmp_path / "set/train-000000.tar",
        {
            "0001.jpg": jpeg(1),
            "0001.cls": b"281\n",
            "0002.cls": b"7",
            "0002.left.png": jpeg(2),
            "0002.right.png": jpeg(3),
            "readme.txt": b"hello",
            "._0001.jpg": b"macOS",
        },
    )
    shard(
        tmp_path / "set/train-000001.tar",
        {
            "x/0003.jpg": jpeg(4),
            "x/0003.json": b'{"label": "cat", "boxes": [[1, 2, 3, 4]], "camera": 5}',
            "x/0004.jpg": jpeg(5),
        },
        format=tarfile.PAX_FORMAT,
    )
    return tmp_path / "set"


def test_samples_carry_their_labels_and_boxes(shards, free):
    source = open_source(str(shards), free)
    assert source.kind == "tar"
    assert [(item.key, item.label) for item in source.list()] == [
        ("train-000000.tar/0001.jpg", "281"),
        ("train-000000.tar/0002.left.png", "7"),
        ("train-000000.tar/0002.right.png", "7"),
        ("train-000001.tar/x/0003.jpg", "cat"),
        ("train-000001.tar/x/0004.jpg", None),
    ]
    item = list(source.list())[3]
    assert (item.boxes, item.extra) == ((Box(None, 1, 2, 3, 4),), {"camera": 5})


def test_every_member_is_read_at_its_offset_with_or_without_a_version(shards, free):
    source = open_source(str(shards), free)
    for number, item in enumerate(source.list(), 1):
        assert source.fetch(item.key, item.version).data == jpeg(number)
        found = source.fetch(item.key)
        assert (found.data, found.version, item.size) == (jpeg(number), item.version, len(jpeg(number)))
        assert not source.fetch(item.key, item.version).changed


@pytest.mark.parametrize(
    "pattern", ["train-{000000..000001}.tar", "train-*.tar", "{train,train}-00000[01].tar"]
)
def test_patterns_name_shards(shards, free, pattern):
    source = open_source(f"{shards}/{pattern}", free)
    assert {item.key.partition("/")[0] for item in source.list()} == {"train-000000.tar", "train-000001.tar"}
    assert open_source(source.spec, free).fetch("train-000001.tar/x/0004.jpg").data == jpeg(5)


def test_one_shard_is_a_dataset(shards, free):
    source = open_source(str(shards / "train-000001.tar"), free)
    assert [item.key for item in source.list()] == [
        "train-000001.tar/x/0003.jpg",
        "train-000001.tar/x/0004.jpg",
    ]
    assert open_source(source.spec, free).fetch("train-000001.tar/x/0003.jpg").data == jpeg(4)


def test_a_missing_shard_is_named(shards, free):
    for spec in (f"{shards}/train-{{000000..000002}}.tar", f"{shards}/nowhere-*.tar"):
        with pytest.raises(DatasetError, match=r"no shard .*(000002|nowhere)"):
            list(open_source(spec, free).list())
    with pytest.raises(DatasetError, match="does not exist"):
        open_source(f"{shards}/nowhere.tar", free)
    for odd in ("{,x}", "**x.tar", "../*.tar"):
        with pytest.raises(DatasetError):
            list(open_source(f"tar:{shards}/{odd}", free).list())
    with pytest.raises(DatasetError, match=r"too far|more than"):
        list(open_source(f"{shards}/{{0..999999}}-{{0..999999}}.tar", free).list())


def test_a_rewritten_shard_says_changed(shards, free):
    source = open_source(str(shards), free)
    item = next(iter(source.list()))
    shard(shards / "train-000000.tar", {"zero.jpg": jpeg(99), "0001.jpg": jpeg(77)})
    fetched = source.fetch(item.key, item.version)
    assert fetched.data == jpeg(77)
    assert fetched.changed
    shard(shards / "train-000000.tar", {"other.jpg": jpeg(99)})
    with pytest.raises(DatasetError, match=r"holds no '0001\.jpg'"):
        source.fetch(item.key, item.version)


@pytest.mark.parametrize("name", ["../1.jpg", "/etc/1.jpg", "a/../../1.jpg"])
def test_a_slip_is_refused(tmp_path, free, name):
    path = shard(tmp_path / "x.tar", {"0.jpg": jpeg(), name: jpeg()})
    with pytest.raises(DatasetError, match="leads out of it; refused"):
        list(open_source(str(path), free).list())
    with pytest.raises(DatasetError):
        open_source(str(path), free).fetch(f"x.tar/{name}")
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.tar"]


def test_links_and_devices_in_a_shard_are_no_photographs(tmp_path, free):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind in (
            ("link.jpg", tarfile.SYMTYPE),
            ("hard.jpg", tarfile.LNKTYPE),
            ("dev.jpg", tarfile.CHRTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    with pytest.raises(DatasetError, match="no images"):
        list(open_source(str(path), free).list())
    with pytest.raises(DatasetError, match="holds no"):
        open_source(str(path), free).fetch("x.tar/link.jpg")


@pytest.mark.parametrize(
    "key", ["x.tar", "y.tar/1.jpg", "../x.tar/1.jpg", "x.tar/", "x.tar/../1.jpg", "1.jpg", ""]
)
def test_a_key_that_names_no_member_is_an_error(tmp_path, free, key):
    path = shard(tmp_path / "x.tar", {"1.jpg": jpeg()})
    with pytest.raises(DatasetError):
        open_source(str(path), free).fetch(key)


def test_a_version_cannot_read_outside_its_shard(tmp_path, free):
    path = shard(tmp_path / "x.tar", {"1.jpg": jpeg()})
    source = open_source(str(path), free)
    version = next(iter(source.list())).version.partition("@")[0]
    for place in ("99999999+10", "0+99999999999999", "512+99999999"):
        with pytest.raises(DatasetError):
            source.fetch("x.tar/1.jpg", f"{version}@{place}")


def test_a_compressed_or_damaged_shard_says_so(tmp_path, free):
    plain = shard(tmp_path / "plain.tar", {f"{n}.jpg": jpeg(n) for n in range(5)}).read_bytes()
    with tarfile.open(tmp_path / "gz.tar", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("1.jpg"))
    with pytest.raises(DatasetError, match="is compressed; unpack it"):
        list(open_source(str(tmp_path / "gz.tar"), free).list())
    (tmp_path / "rubbish.tar").write_bytes(b"hello" * 500)
    with pytest.raises(DatasetError, match="not a readable tar"):
        list(open_source(str(tmp_path / "rubbish.tar"), free).list())
    (tmp_path / "cut.tar").write_bytes(plain[:2000])
    with pytest.raises(DatasetError, match=r"not a readable tar|damaged"):
        list(open_source(str(tmp_path / "cut.tar"), free).list())


def test_a_damaged_header_in_mid_file_loses_no_image_in_silence(tmp_path, free):
    path = shard(tmp_path / "x.tar", {f"{n}.jpg": jpeg(n) for n in range(5)})
    data = bytearray(path.read_bytes())
    at = data.index(b"2.jpg")
    data[at : at + 5] = b"\xff\xff\xff\xff\xff"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match="damaged at byte"):
        list(open_source(str(path), free).list())


def test_a_header_that_claims_gigabytes_is_not_believed(tmp_path, free):
    info = tarfile.TarInfo("long")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**33
    path = tmp_path / "x.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT))
    with path.open("r+b") as file:
        file.truncate(2**33 + 4096)  # sparse: the bytes are there
    with pytest.raises(DatasetError, match="not a readable tar"):
        list(open_source(str(path), free).list())


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b'{"boxes": 3}', b'{"boxes": [[4, 3, 2, 1]]}', b"\xff", b"[" * 100_000]
)
def test_a_wrong_annotation_costs_its_image_the_boxes_and_no_other(tmp_path, free, data):
    good = b'{"label": "dog", "boxes": [[1, 2, 3, 4]]}'
    members = {"1.jpg": jpeg(), "1.json": data, "1.cls": b"cat", "2.jpg": jpeg(), "2.json": good}
    one, two = open_source(str(shard(tmp_path / "x.tar", members)), free).list()
    assert (one.label, one.boxes) == ("cat", ())
    assert "x.tar/1.json" in one.boxes_error
    assert (two.label, two.boxes) == ("dog", (Box(None, 1, 2, 3, 4),))


def listed(path: Path, free: Settings, options: str = "") -> tuple[dict[str, str | None], dict[str, int]]:
    """{member: label} of a shard, and what is left out."""
    notes = ListingNotes()
    items = list(open_source(f"{path}{options}", free).list(notes))
    return {item.key.partition("/")[2]: item.label for item in items}, notes.skipped


@pytest.mark.parametrize("order", ["together", "grouped by kind", "reversed"])
def test_members_of_a_sample_need_not_stand_together(tmp_path, free, order):
    names = ["a.jpg", "a.cls", "b.jpg", "b.cls", "c/a.jpg", "c/a.cls"]
    if order == "grouped by kind":
        names.sort(key=lambda name: name.endswith("cls"))
    if order == "reversed":
        names.reverse()
    labels = {"a": b"3", "b": b"4", "c/a": b"5"}
    members = {name: labels[name[:-4]] if name.endswith("cls") else jpeg(1) for name in names}
    found, skipped = listed(shard(tmp_path / "x.tar", members), free)
    assert found == {"a.jpg": "3", "b.jpg": "4", "c/a.jpg": "5"}
    assert skipped == {}


@pytest.mark.parametrize("order", [("a.txt", "a.cls"), ("a.cls", "a.txt")])
def test_a_class_beats_a_caption(tmp_path, free, order):
    texts = {"a.txt": b"a photograph of a cat", "a.cls": b"3"}
    members = {"a.jpg": jpeg(1), **{name: texts[name] for name in order}}
    assert listed(shard(tmp_path / "x.tar", members), free)[0] == {"a.jpg": "3"}


def test_a_long_text_is_a_caption_and_no_label(tmp_path, free):
    members = {
        "a.jpg": jpeg(1),
        "a.txt": b"x" * 2_000_000,
        "a.cls": b"3",
        "b.jpg": jpeg(2),
        "b.txt": b"a very long caption " * 50,
        "c.jpg": jpeg(3),
        "c.txt": b"two\nlines",
        "d.jpg": jpeg(4),
        "d.txt": b"\xff",
        "e.jpg": jpeg(5),
        "e.txt": "\ufeffdog\n".encode(),
        "f.jpg": jpeg(6),
        "f.txt": b"d\0g",
        "g.jpg": jpeg(7),
        "g.txt": ("\U0001f600" * 190).encode(),
    }
    notes = ListingNotes()
    items = list(open_source(str(shard(tmp_path / "x.tar", members)), free).list(notes))
    assert [item.label for item in items] == ["3", None, None, None, "dog", None, None]
    assert notes.lines(7) == [
        f"3 of 7 images: {CAPTION} (for example x.tar/b.jpg)",
        f"2 of 7 images: {UNREADABLE} (for example x.tar/f.jpg: the label 'd\\x00g'… holds a NUL or is longer than 512"
        " bytes)",
    ]


def test_members_whose_names_no_key_can_have_are_left_out_alone(tmp_path, free):
    members = {
        "b\udcff.jpg": jpeg(1),
        "b\udcff.cls": b"3",
        f"{'k' * 3000}.jpg": jpeg(2),
        "c.jpg": jpeg(3),
        "c.cls": b"5",
    }
    found, skipped = listed(shard(tmp_path / "x.tar", members), free)
    assert found == {"c.jpg": "5"}
    assert skipped == {"name that is not UTF-8": 2, "name that is too long": 1}


def test_keys_may_hold_dots(tmp_path, free):
    members = {
        "img_0.5_1.jpg": jpeg(1),
        "img_0.5_1.cls": b"3",
        "img_0.5_2.jpg": jpeg(2),
        "img_0.5_2.cls": b"4",
        "v1.2/x.jpg": jpeg(3),
        "v1.2/x.cls": b"5",
    }
    found, skipped = listed(shard(tmp_path / "x.tar", members), free)
    assert found == {"img_0.5_1.jpg": "3", "img_0.5_2.jpg": "4", "v1.2/x.jpg": "5"}
    assert skipped == {}


def test_an_image_beside_the_photograph_is_no_second_one(tmp_path, free):
    members = {
        "a.jpg": jpeg(1),
        "a.seg.png": jpeg(2),
        "a.left.jpg": jpeg(3),
        "a.cls": b"3",
        "b.rgb.jpg": jpeg(4),
        "b.depth.png": jpeg(5),
    }
    path = shard(tmp_path / "x.tar", members)
    found, skipped = listed(path, free)
    assert found == {"a.jpg": "3", "b.rgb.jpg": None}
    assert list(skipped.values()) == [3]
    everything, skipped = listed(path, free, "?images=all")
    assert set(everything) == {"a.jpg", "a.seg.png", "a.left.jpg", "b.rgb.jpg", "b.depth.png"}
    assert everything["a.seg.png"] == "3"
    assert skipped == {}
    with pytest.raises(DatasetError, match="images is `all`"):
        open_source(f"{path}?images=some", free)


def test_what_is_no_photograph_of_a_shard_is_counted(tmp_path, free):
    members = {
        "a.jpg": jpeg(1),
        "b.jp2": b"x",
        "c.npy": b"x",
        "d.cls": b"3",
        "._a.jpg": b"x",
        ".DS_Store": b"x",
    }
    found, skipped = listed(shard(tmp_path / "x.tar", members), free)
    assert found == {"a.jpg": None}
    assert skipped == {"JPEG 2000": 1, "NumPy (read with ?suffixes=.npy)": 1, LEFT_OVER: 1, "hidden": 1}


ORIGINAL = io.BytesIO()
with tarfile.open(fileobj=ORIGINAL, mode="w", format=tarfile.PAX_FORMAT) as _tar:
    for _name in ("1.jpg", "é" * 120 + ".jpg", "2.json"):
        _info = tarfile.TarInfo(_name)
        _info.size = 2
        _tar.addfile(_info, io.BytesIO(b"{}"))


@given(
    edits=st.lists(st.tuples(st.integers(0, 6000), st.binary(min_size=1, max_size=12)), max_size=6),
    cut=st.integers(0, 10240),
)
@settings(max_examples=120, deadline=None)
def test_damaged_shards_never_escape(tmp_path_factory, edits, cut):
    path = tmp_path_factory.getbasetemp() / "fuzz.tar"
    data = bytearray(ORIGINAL.getvalue())
    for at, patch in edits:
        data[at : at + len(patch)] = patch
    path.write_bytes(data[:cut] if cut % 2 else data)
    source = open_source(str(path), Settings())
    try:
        for item in source.list():
            source.fetch(item.key, item.version)
    except DatasetError as error:
        if "\n" in str(error):
            pytest.fail(str(error))
