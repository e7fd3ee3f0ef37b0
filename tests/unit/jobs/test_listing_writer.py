"""A job's listing is written by a child process with a memory limit; what it reads can end only that child."""

from pathlib import Path

import psutil
import pytest

from gfi.datasets.errors import DatasetError
from gfi.datasets.listing import Listed
from gfi.datasets.manifest import Manifest
from gfi.jobs import listing_writer
from gfi.jobs.listing_writer import Classes, Listing, Most, sampled, write_listing
from gfi.store.errors import LimitExceeded, Transient
from gfi.store.settings import Settings
from tests.unit.jobs.test_listing_reader import write_bomb

CLASSES = Classes(["cat", "dog"], [], 2)
MANY = Most(1000, "too many")


def listed(
    dataset: Path, into: Path, mib: int = 1024, most: Most = MANY, sample: int | None = None
) -> Listing:
    settings = Settings(listing_mib=mib)
    return write_listing(
        str(dataset), settings, into, classes=CLASSES, most=most, check=lambda: None, sample=sample
    )


def test_the_child_writes_the_manifest_that_this_process_would(tmp_path: Path) -> None:
    dataset = tmp_path / "m.csv"
    dataset.write_text("key,label,site\na.jpg,cat,north\nb.jpg,cow,south\n")
    inside, outside = (listed(dataset, tmp_path / f"{mib}.parquet", mib) for mib in (0, 1024))
    assert inside == outside
    assert (outside.written.count, outside.written.unmatched) == (2, 1)
    samples = [listed(dataset, tmp_path / f"one-{mib}.parquet", mib, sample=1) for mib in (0, 1024)]
    assert samples[0] == samples[1]
    assert samples[0].written.count == 1
    assert list(Manifest.open(tmp_path / "0.parquet")) == list(Manifest.open(tmp_path / "1024.parquet"))


def test_a_sample_is_the_same_in_every_job_and_hardly_changes_with_the_dataset() -> None:
    def keys(numbers: range) -> list[str]:
        listed = (Listed(f"{n:03d}.jpg", 1, "v") for n in numbers)
        return [one.key for one in sampled(listed, 20, lambda: None)]

    first = keys(range(200))
    assert (len(first), first) == (20, sorted(first))  # the order of the listing
    assert set(keys(range(199, -1, -1))) == set(first)
    assert len(set(keys(range(205))) & set(first)) >= 15
    assert keys(range(7)) == [f"{n:03d}.jpg" for n in range(7)]


def test_a_listing_that_expands_is_an_error_of_one_line(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.parquet"
    write_bomb(bomb)
    with pytest.raises(
        DatasetError, match=r"more memory than the 300 MiB allowed \(GFI_LISTING_MIB\)"
    ) as told:
        listed(bomb, tmp_path / "manifest.parquet", 300)
    assert "\n" not in str(told.value)


def test_errors_keep_their_kind(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="missing does not exist"):
        listed(tmp_path / "missing", tmp_path / "manifest.parquet")
    (tmp_path / "m.csv").write_text("key\n" + "".join(f"{n}.jpg\n" for n in range(5)))
    with pytest.raises(LimitExceeded, match="four at most"):
        listed(tmp_path / "m.csv", tmp_path / "manifest.parquet", most=Most(4, "four at most"))
    with pytest.raises(Transient, match="cannot be written"):
        listed(tmp_path / "m.csv", tmp_path / "no folder" / "manifest.parquet")


def test_a_check_that_raises_ends_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing_writer, "CHECK_S", 0.01)
    (tmp_path / "m.csv").write_text("key\na.jpg\n")

    before = set(psutil.Process().children())

    def stop() -> None:
        raise LimitExceeded("stop")

    with pytest.raises(LimitExceeded, match="stop"):
        write_listing(
            str(tmp_path / "m.csv"), Settings(), tmp_path / "m.parquet", classes=None, most=MANY, check=stop
        )
    assert set(psutil.Process().children()) == before


def test_a_child_that_is_killed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing_writer, "CHECK_S", 0.01)
    (tmp_path / "m.csv").write_text("key\na.jpg\n")

    before = set(psutil.Process().children())

    def kill() -> None:
        for child in set(psutil.Process().children()) - before:
            child.kill()

    with pytest.raises(Transient, match="listed it was killed"):
        write_listing(
            str(tmp_path / "m.csv"), Settings(), tmp_path / "m.parquet", classes=None, most=MANY, check=kill
        )
