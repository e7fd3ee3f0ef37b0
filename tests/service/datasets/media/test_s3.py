"""Photographs in a real S3 server."""

import itertools
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.config import Config
from pydantic import SecretStr

from gfi import samples
from gfi.cli.servers import Server, free_port
from gfi.datasets import manifest
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.media.s3 import Objects
from gfi.datasets.notes import ListingNotes
from gfi.datasets.sources import fingerprint, open_source
from gfi.store.settings import Settings
from tests.servers import S3_ACCESS_KEY, S3_SECRET_KEY

_numbers = itertools.count(1)


def settings_for(s3: Server, **more) -> Settings:
    values = {
        "dataset_s3_endpoint": s3.url,
        "dataset_s3_access_key": S3_ACCESS_KEY,
        "dataset_s3_secret_key": SecretStr(S3_SECRET_KEY),
        # Results are in another store, whose settings must not be used for reading.
        "s3_endpoint": "http://127.0.0.1:9",
        "s3_access_key": "other",
        "s3_secret_key": SecretStr("other"),
        "s3_addressing": "path",
    }
    return Settings(**{**values, **more})


@pytest.fixture
def settings(s3: Server) -> Settings:
    return settings_for(s3)


@pytest.fixture
def put(s3: Server) -> Iterator[Callable[[dict[str, bytes]], str]]:
    """put({key: bytes}) into a fresh bucket; returns its name."""
    client = boto3.client(
        "s3",
        endpoint_url=s3.url,
        region_name="us-east-1",
        aws_access_key_id=S3_ACCESS_KEY,
        aws_secret_access_key=S3_SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}),
    )
    name = f"photos-{next(_numbers)}"
    client.create_bucket(Bucket=name)

    def write(objects: dict[str, bytes]) -> str:
        with ThreadPoolExecutor(8) as threads:
            for _ in threads.map(
                lambda item: client.put_object(Bucket=name, Key=item[0], Body=item[1]), objects.items()
            ):
                pass
        return name

    write.client = client  # type: ignore[attr-defined]
    yield write
    client.close()


def test_a_prefix_is_listed_in_order_and_read(put, settings):
    names = ["1.jpg", "a b+c%20é.jpg", "deep/er/2.PNG", "é.jpg"]
    bucket = put(
        {f"set/{name}": name.encode() for name in names}
        | {
            "set/notes.txt": b"",
            "set/.hidden.jpg": b"",
            "set/.x/3.jpg": b"",
            "settle/4.jpg": b"",
            "0.jpg": b"",
        }
    )
    source = open_source(f"s3://{bucket}/set", settings)
    listed = list(source.list())
    assert [item.key for item in listed] == names
    assert [item.label for item in listed] == [None] * 4
    for item in listed:
        fetched = source.fetch(item.key, item.version)
        assert (fetched.data, fetched.version, item.size) == (
            item.key.encode(),
            item.version,
            len(item.key.encode()),
        )
        assert not fetched.changed
    assert source.kind == "s3"
    assert [item.key for item in open_source(source.spec, settings).list()] == names
    assert fingerprint(source) == fingerprint(open_source(f"s3://{bucket}/set/", settings))


def test_more_than_one_page_is_listed(put, settings):
    bucket = put({f"{number:04}.jpg": b"x" for number in range(1_003)})
    assert sum(1 for _ in open_source(f"s3://{bucket}", settings).list()) == 1_003


def test_what_is_left_out_of_a_bucket_is_counted(put, settings):
    names = ("1.jpg", "2.jp2", "a/3.txt", "a/4", "a/.5.jpg", "b/", "6.JFIF", ".DS_Store")
    bucket = put(dict.fromkeys(names, b"x"))
    notes = ListingNotes()
    assert [item.key for item in open_source(f"s3://{bucket}", settings).list(notes)] == ["1.jpg", "6.JFIF"]
    assert notes.skipped == {"JPEG 2000": 1, ".txt": 1, "without a suffix": 1, "hidden": 1}
    source = open_source(f"s3://{bucket}?suffixes=none,txt", settings)
    assert [item.key for item in source.list()] == ["a/3.txt", "a/4"]
    assert [item.key for item in open_source(source.spec, settings).list()] == ["a/3.txt", "a/4"]


def test_split_folders_of_a_bucket_are_no_classes(put, settings):
    bucket = put({"set/train/cat/1.jpg": b"1", "set/val/dog/2.jpg": b"2"})
    notes = ListingNotes()
    source = open_source(f"s3://{bucket}/set", settings)
    assert [item.label for item in source.list(notes)] == ["cat", "dog"]
    assert any("train, val are split folders" in line for line in notes.lines(2))
    val = open_source(f"s3://{bucket}/set?split=val", settings)
    assert [(item.key, item.label) for item in val.list()] == [("val/dog/2.jpg", "dog")]
    assert open_source(val.spec, settings).fetch("val/dog/2.jpg").data == b"2"
    with pytest.raises(DatasetError, match="no split folder 'test'; it has train, val"):
        open_source(f"s3://{bucket}/set?split=test", settings)


def test_a_detection_dataset_in_a_bucket_is_refused_with_the_reason(put, settings):
    bucket = put({"images/1.jpg": b"1", "labels/1.txt": b"0 0 0 1 1"})
    with pytest.raises(DatasetError, match=r"COCO and YOLO datasets have.*folder:s3://"):
        open_source(f"s3://{bucket}", settings)
    assert [item.label for item in open_source(f"folder:s3://{bucket}", settings).list()] == [None]


def test_class_folders_are_recognised_and_a_prefix_overrules(put, settings):
    bucket = put({"n01440764/1.jpg": b"1", "n02123045/x/2.jpg": b"2"})
    for spec, labels in (
        (f"s3://{bucket}", ["n01440764", "n02123045"]),
        (f"folder:s3://{bucket}", [None, None]),
        (f"classes:s3://{bucket}/", ["n01440764", "n02123045"]),
    ):
        source = open_source(spec, settings)
        assert [item.label for item in source.list()] == labels
        assert [item.label for item in open_source(source.spec, settings).list()] == labels


def test_an_object_replaced_after_listing_says_so(put, settings):
    bucket = put({"1.jpg": b"before"})
    source = open_source(f"s3://{bucket}", settings)
    (item,) = source.list()
    put({"1.jpg": b"after"})
    fetched = source.fetch(item.key, item.version)
    assert (fetched.data, fetched.changed) == (b"after", True)
    assert fetched.version != item.version
    assert source.fetch(item.key, fetched.version).changed is False
    put.client.delete_object(Bucket=bucket, Key="1.jpg")
    with pytest.raises(DatasetError, match="there is no such object") as caught:
        source.fetch(item.key, item.version)
    assert not isinstance(caught.value, Unavailable)


def test_a_manifest_may_name_objects_and_lie_in_the_bucket(put, settings, tmp_path):
    photo = (samples.path() / "cat.jpg").read_bytes()
    bucket = put({"day/cat.jpg": photo})
    rows = [{"key": "cat.jpg", "label": "n02124075", "boxes": [[0, 0, 401, 300]]}]
    put({"day/list.jsonl": json.dumps(rows[0]).encode()})
    source = open_source(f"s3://{bucket}/day/list.jsonl", settings)
    (item,) = source.list()
    assert (item.label, len(item.boxes)) == ("n02124075", 1)
    assert source.fetch("cat.jpg").data == photo
    assert open_source(source.spec, settings).fetch("cat.jpg").data == photo

    etag = source.fetch("cat.jpg").version
    (tmp_path / "list.csv").write_text(f"key,version\ns3://{bucket}/day/cat.jpg,{etag}\n")
    local = open_source(str(tmp_path / "list.csv"), settings)
    (item,) = local.list()
    assert (item.version, item.extra) == (etag, {})
    assert local.fetch(item.key, item.version).data == photo
    put({"day/cat.jpg": b"other"})
    assert local.fetch(item.key, item.version).changed
    written = manifest.write(manifest.entries(local.list()), tmp_path / "m.parquet", {"kind": local.kind})
    assert written.count == 1


def test_an_empty_prefix_says_what_was_looked_for(put, settings):
    bucket = put({"notes.txt": b""})
    with pytest.raises(DatasetError, match=r"no images in s3://.*; looked for \.jpg"):
        list(open_source(f"s3://{bucket}/nothing", settings).list())


def test_only_configured_buckets_are_read(put, s3, tmp_path):
    bucket = put({"1.jpg": b"1", "list.csv": b"key\n1.jpg\n"})
    fenced = settings_for(s3, dataset_buckets=("mine",))
    (tmp_path / "list.csv").write_text(f"key\ns3://{bucket}/1.jpg\n")
    for spec in (f"s3://{bucket}", f"folder:s3://{bucket}/x", f"s3://{bucket}/list.csv"):
        with pytest.raises(DatasetError, match="not among the dataset buckets"):
            list(open_source(spec, fenced).list())
    outside = open_source(str(tmp_path / "list.csv"), fenced)
    with pytest.raises(DatasetError, match="not among the dataset buckets"):
        list(outside.list())
    with pytest.raises(DatasetError, match="not among the dataset buckets"):
        outside.fetch(f"s3://{bucket}/1.jpg")
    assert (
        len(list(open_source(f"s3://{bucket}", settings_for(s3, dataset_buckets=(bucket,))).list())) == 2 - 1
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"dataset_s3_secret_key": SecretStr("wrong")}, "GFI_DATASET_S3_SECRET_KEY|access denied"),
        ({"dataset_s3_access_key": "nobody"}, "GFI_DATASET_S3_ACCESS_KEY"),
    ],
)
def test_wrong_credentials_are_one_clear_line_without_the_secret(put, s3, wrong, said):
    bucket = put({"1.jpg": b"1"})
    with pytest.raises(DatasetError, match=said) as caught:
        open_source(f"s3://{bucket}", settings_for(s3, **wrong))
    assert S3_SECRET_KEY not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bucket_that_is_not_there_is_named(settings):
    for spec in ("s3://no-such-bucket/x", "s3://Not_A Bucket/x", "s3://"):
        with pytest.raises(DatasetError) as caught:
            list(open_source(spec, settings).list())
        assert not isinstance(caught.value, Unavailable)
        assert "\n" not in str(caught.value)


def test_a_server_that_is_away_is_not_the_datasets_fault(s3):
    away = settings_for(s3, dataset_s3_endpoint=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable, match="now"):
        Objects("s3://any/x", away, labelled=False).fetch("1.jpg")
