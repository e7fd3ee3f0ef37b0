"""A listing is read by a child process with limits; what it reads can end only that child."""

import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gfi.datasets.errors import DatasetError
from gfi.jobs import listing_reader
from gfi.jobs.listing_reader import FirstItem, read_listing
from gfi.store.errors import LimitExceeded
from gfi.store.settings import Settings

SETTINGS = Settings(dataset_roots=(), s3_secret_key="a secret", s3_access_key="a key")
PATIENCE_S = 120.0


def write_bomb(path: Path) -> None:
    """A small Parquet file whose one row is a list of 2**25 zeros: 256 MiB in memory, and more as Python numbers."""
    zeros = pa.ListArray.from_arrays(pa.array([0, 2**25]), pa.repeat(pa.scalar(0, pa.int64()), 2**25))
    pq.write_table(pa.table({"key": ["a.jpg"], "zeros": zeros}), path, compression="zstd")


def test_a_listing_is_counted_and_its_first_images_are_described(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("key,label\na.jpg,cat\nb.jpg,dog\nc.jpg,cat\n")
    begun = read_listing(str(tmp_path / "m.csv"), SETTINGS, 2, 1024, PATIENCE_S)
    assert (begun.images, begun.complete) == (3, True)
    assert begun.first == [
        FirstItem("a.jpg", 0, "missing", "cat", 0),
        FirstItem("b.jpg", 0, "missing", "dog", 0),
    ]


def test_a_file_that_expands_ends_only_the_child(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.parquet"
    write_bomb(bomb)
    assert bomb.stat().st_size < 100_000
    with pytest.raises(
        DatasetError, match=r"more memory than the 300 MiB allowed \(GFI_API_LISTING_MIB\); submit"
    ):
        read_listing(str(bomb), SETTINGS, 2, 300, PATIENCE_S)


def test_a_listing_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("key\na.jpg\n")
    with pytest.raises(DatasetError, match=r"took more than 0 s \(GFI_API_LISTING_S\)"):
        read_listing(str(tmp_path / "m.csv"), SETTINGS, 2, 1024, 0.001)


def test_an_error_of_the_listing_is_told_as_it_is(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("../slip.jpg"))
    with pytest.raises(DatasetError, match="leads out"):
        read_listing(str(tmp_path / "x.tar"), SETTINGS, 2, 1024, PATIENCE_S)


def test_more_listings_than_slots_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing_reader, "WAIT_S", 0.0)
    held = [listing_reader._slots.acquire() for _ in range(listing_reader.AT_ONCE)]
    try:
        with pytest.raises(LimitExceeded, match="try again"):
            read_listing(str(tmp_path), SETTINGS, 2, 1024, PATIENCE_S)
    finally:
        for _ in held:
            listing_reader._slots.release()


def test_the_child_gets_no_password_but_the_keys_of_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GFI_DATABASE_URL", "GFI_REDIS_URL", "GFI_WEBHOOK_SECRET", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a secret")
    assert "a secret" not in listing_reader.child_environment(SETTINGS).values()
    told = listing_reader.settings_of_datasets(SETTINGS)
    assert told["s3_secret_key"] == "a secret"
    assert not {"database_url", "redis_url"} & set(told)
    assert Settings(**json.loads(json.dumps(told))).s3_secret_key == SETTINGS.s3_secret_key
    # Without configured keys botocore finds its own.
    assert listing_reader.child_environment(Settings())["AWS_SECRET_ACCESS_KEY"] == "a secret"
