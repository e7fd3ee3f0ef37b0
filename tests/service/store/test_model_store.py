"""Files of models in a real S3 server, and their copies on a machine."""

import hashlib
import os
from pathlib import Path

import pytest

from gfi.store import model_store
from gfi.store.errors import NotFound, StoreError
from gfi.store.model_store import MOST_FILES, PREFIX, ModelCache, ModelFile, put_files, put_head, read_files
from gfi.store.objects import Bucket
from tests.service.store.test_objects import bucket

__all__ = ["bucket"]  # a fixture

KiB = 2**10


def model(folder: Path, weights: bytes) -> list[str]:
    (folder / "parts").mkdir(parents=True)
    (folder / "birds.toml").write_text("architecture = 'x'")
    (folder / "best.pth").write_bytes(weights)
    (folder / "parts" / "net.py").write_text("def build(): ...")
    return ["birds.toml", "best.pth", "parts/net.py"]


def test_a_model_arrives_as_it_was_stored_and_a_damaged_copy_is_replaced(
    bucket: Bucket, tmp_path: Path
) -> None:
    files = put_files(bucket, tmp_path / "a", model(tmp_path / "a", b"weights"))
    assert [bucket.get(file.key) for file in files][1] == b"weights"
    cache = ModelCache(tmp_path / "cache", bucket, 2**20)
    with cache.opened("birds", files) as folder:
        assert (folder / "birds" / "parts" / "net.py").read_text() == "def build(): ..."
        (folder / "birds" / "best.pth").write_bytes(b"damaged")
    with cache.opened("birds", files) as again:
        assert again == folder
        assert (again / "birds" / "best.pth").read_bytes() == b"weights"


def test_the_model_used_longest_ago_makes_place(bucket: Bucket, tmp_path: Path) -> None:
    versions = [
        put_files(bucket, tmp_path / name, model(tmp_path / name, name.encode() * 60 * KiB)) for name in "abc"
    ]
    cache = ModelCache(tmp_path / "cache", bucket, 150 * KiB)
    places = []
    for age, files in enumerate(versions[:2]):
        with cache.opened("birds", files) as folder:
            places.append(folder)
        os.utime(folder, (age, age))
    with cache.opened("birds", versions[2]) as third:
        assert places[0].exists()  # nothing is removed while a model is read
    assert [place.exists() for place in (*places, third)] == [False, True, True]
    locks = {lock.name for lock in (tmp_path / "cache").glob("*.lock")}
    assert locks == {".lock", f"{places[1].name}.lock", f"{third.name}.lock"}


def test_an_object_that_is_gone_is_said_with_what_to_do(bucket: Bucket, tmp_path: Path) -> None:
    files = put_files(bucket, tmp_path / "a", model(tmp_path / "a", os.urandom(8)))
    bucket.delete_many([files[1].key])
    cache = ModelCache(tmp_path / "cache", bucket, 2**20)
    gone = r"best\.pth of model birds is not in the bucket .* register the model again"
    with pytest.raises(NotFound, match=gone), cache.opened("birds", files):
        pass
    assert not [
        path for path in (tmp_path / "cache").rglob("*") if path.is_file() and not path.name.endswith("lock")
    ]


def test_an_object_that_was_changed_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    files = put_files(bucket, tmp_path / "a", model(tmp_path / "a", os.urandom(8)))
    bucket.put(files[1].key, b"other weights")
    cache = ModelCache(tmp_path / "cache", bucket, 2**20)
    with pytest.raises(StoreError, match="arrived damaged"), cache.opened("birds", files):
        pass


@pytest.mark.parametrize("name", ["../birds.toml", "/etc/passwd", "", "a/../../b", "a\\..\\b"])
def test_a_name_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(StoreError, match="leads out of its folder"):
        read_files([ModelFile(name, "0" * 64, 1).to_json()])


def test_limits_and_digests_are_checked(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreError, match=f"may have {MOST_FILES} files"):
        put_files(bucket, tmp_path, ["a"] * (MOST_FILES + 1))
    with pytest.raises(StoreError, match="has no SHA-256"):
        read_files([{"name": "a", "sha256": "../../etc", "bytes": 1}])
    names = model(tmp_path / "a", os.urandom(8))
    monkeypatch.setattr(model_store, "LARGEST_MODEL", 30)
    with pytest.raises(StoreError, match=r"GiB together; a model may have 20"):
        put_files(bucket, tmp_path / "a", names)
    stored = hashlib.sha256((tmp_path / "a" / names[0]).read_bytes()).hexdigest()
    bucket.delete_many([PREFIX + stored])
    with pytest.raises(StoreError):
        put_files(bucket, tmp_path / "a", names)
    assert bucket.head(PREFIX + stored) is None  # nothing is stored of a model that is refused
    assert PREFIX == "models/sha256/"


@pytest.mark.parametrize("named", ["../../jobs/j/job.json", "ab" * 32, None])
def test_a_head_is_stored_under_the_name_of_its_bytes_alone(
    bucket: Bucket, tmp_path: Path, named: str | None
) -> None:
    """The record is made by a process that runs the code of a model file, which could name any object."""
    (file := tmp_path / "head.npz").write_bytes(b"weights")
    for path in (file, tmp_path / "missing.npz"):
        with pytest.raises(StoreError, match="not the file that its record names"):
            put_head(bucket, path, {"layer": "fc", "sha256": named or hashlib.sha256(b"w").hexdigest()})
    assert list(bucket.list("")) == []
    put_head(bucket, file, {"layer": "fc", "sha256": hashlib.sha256(b"weights").hexdigest()})
    assert [entry.key for entry in bucket.list("")] == [PREFIX + hashlib.sha256(b"weights").hexdigest()]
