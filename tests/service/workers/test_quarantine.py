"""An image that killed its workers: recorded without being opened, in a part like any other."""

import pytest
import torch

from gfi.datasets.layouts.folder import Folder
from gfi.datasets.listing import Fetched
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.rebuild import rebuild
from tests.servers import Sqlite
from tests.service.store.ledger_actors import die
from tests.service.workers.conftest import PHOTOGRAPHS, explain, submit
from workers.services import WorkerServices
from workers.shard import explain_shard

GUILTY = 2


@pytest.mark.parametrize("top", [1, 3])
def test_what_the_engine_is_given_is_named_in_the_ledger_even_behind_an_unreadable_image(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch, top: int
) -> None:
    broken = sorted((services.settings.dataset_roots[0] / "photographs").iterdir())[1]
    broken.write_bytes(b"not a photograph")
    begin, unnamed = Engine.begin, list[set[int]]()

    def noted(self: Engine, group: list[Item], fills: list[torch.Tensor]) -> object:
        (shard,) = queries.list_shards(services.database, job)
        unnamed.append({item.key.row for item in group} - set(shard["in_flight"] or ()))
        return begin(self, group, fills)

    monkeypatch.setattr(Engine, "begin", noted)
    job = submit(services, batch=2, top=top)
    assert explain(services) == "done"
    assert len(unnamed) == -(-(PHOTOGRAPHS - 1) * top // 2)
    assert unnamed == [set()] * len(unnamed)


def test_a_quarantined_image_is_never_opened_and_its_record_outlives_the_database(
    services: WorkerServices, sqlite_files: Sqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    fetch = Folder.fetch

    def noted(self: Folder, key: str, version: str) -> Fetched:
        opened.append(key)
        return fetch(self, key, version)

    monkeypatch.setattr(Folder, "fetch", noted)
    job = submit(services)
    outcome, deaths = "", 0
    while outcome != "quarantined":
        claim = ledger.claim_shard(services.database, "worker", "explain", 60)
        assert claim is not None
        if claim.start <= GUILTY < claim.stop:
            outcome, deaths = die(services.database, claim, in_flight=[GUILTY]), deaths + 1
            assert deaths < 10
        else:
            assert explain_shard(services, claim) == "done"
    while (claim := ledger.claim_shard(services.database, "worker", "explain", 60)) is not None:
        assert explain_shard(services, claim) == ("quarantined" if claim.quarantined else "done")
    before = queries.list_results(services.database, job, limit=50)
    assert [row.row for row in before] == list(range(PHOTOGRAPHS))
    guilty = before[GUILTY]
    assert (guilty.status, guilty.error_class) == ("error", "killer")
    assert guilty.key not in opened
    assert len(opened) == PHOTOGRAPHS - 1
    ledger.finish_jobs(services.database)

    url = sqlite_files.create()
    empty = Database(url)
    try:
        (found,) = rebuild(empty, services.bucket)
        assert (found.job_id, found.missing, found.lost) == (job, 0, ())
        after = queries.list_results(empty, job, limit=50)
    finally:
        empty.dispose()
        sqlite_files.drop(url)
    kept = ("row", "key", "status", "error", "error_class", "target", "area")
    assert [[getattr(row, k) for k in kept] for row in after] == [
        [getattr(row, k) for k in kept] for row in before
    ]
