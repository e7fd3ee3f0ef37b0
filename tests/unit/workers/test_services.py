"""The objects that a worker process reuses for every shard."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from gfi.store.settings import Settings
from workers.services import LONGEST_REST_S, MANIFESTS, ManifestFiles, Rate, WorkerServices


def services(tmp_path: Path) -> WorkerServices:
    return WorkerServices(
        Settings(home=tmp_path, database_url="sqlite:///unused.db", redis_url="redis://unused", s3_bucket="b")
    )


def test_a_worker_without_a_card_says_which_torch_it_has(tmp_path: Path) -> None:
    assert services(tmp_path).device_facts() == {"torch": version("torch")}


def test_a_rate_follows_the_last_few_shards() -> None:
    rate = Rate()
    assert rate.per_second() is None
    rate.add(10, 5.0)
    assert rate.per_second() == 2.0
    rate.add(10, 2.5)
    assert rate.per_second() == pytest.approx(0.7 * 2.0 + 0.3 * 4.0)


def test_the_manifest_used_longest_ago_is_deleted_when_its_place_is_needed(tmp_path: Path) -> None:
    files = ManifestFiles(2)
    paths = [tmp_path / str(number) for number in range(3)]
    manifest: Any = None
    for path in paths:
        path.write_text("rows")
        files[path.name] = (path, manifest)
        assert "0" not in files or files["0"]  # 0 is used again each time
    assert [path.exists() for path in paths] == [True, False, True]


def test_manifests_and_sources_are_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, fetched = services(tmp_path), list[str]()

    def fetch(key: str, digest: str | None) -> tuple[Path, Any]:
        fetched.append(key)
        path = tmp_path / key
        path.write_text("")
        return path, f"manifest {key}"

    monkeypatch.setattr(worker, "_fetch_manifest", fetch)
    assert [worker.manifest("a"), worker.manifest("a")] == ["manifest a", "manifest a"]
    for number in range(MANIFESTS):
        worker.manifest(f"{number}")
    worker.manifest("a")
    assert fetched.count("a") == 2


def test_a_worker_that_is_refused_rests_longer_each_time_and_one_that_works_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, rests = services(tmp_path), list[float]()
    monkeypatch.setattr(worker.shutdown, "wait", rests.append)
    worker.rest(refused=False)
    for _ in range(8):
        worker.rest(refused=True)
    assert rests == [2.0, 4.0, 8.0, 16.0, 32.0, LONGEST_REST_S, LONGEST_REST_S, LONGEST_REST_S]
    worker.rest(refused=False)
    worker.rest(refused=True)
    assert rests[-1] == 2.0
