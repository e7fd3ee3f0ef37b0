"""An image that killed its workers: recorded without being opened, in a part like any other."""

import pytest

from datasets.folder import Folder
from datasets.listing import Fetched
from store import ledger, queries
from store.database import Database
from store.rebuild import rebuild
from tests.servers import Sqlite
from tests.service.store.acting import die
from tests.service.workers.conftest import PHOTOGRAPHS, submit
from workers.services import Services
from workers.shard import explain_shard

GUILTY = 2


def test_a_convicted_image_is_never_opened_and_its_record_outlives_the_database(
    services: Services, sqlite_files: Sqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    fetch = Folder.fetch

    def noted(self: Folder, key: str, version: str) -> Fetched:
        opened.append(key)
        return fetch(self, key, version)

    monkeypatch.setattr(Folder, "fetch", noted)
    job = submit(services)
    outcome, deaths = "", 0
    while outcome != "convicted":
        claim = ledger.claim_shard(services.database, "worker", "explain", 60)
        assert claim is not None
        if claim.start <= GUILTY < claim.stop:
            outcome, deaths = die(services.database, claim, in_flight=[GUILTY]), deaths + 1
            assert deaths < 10
        else:
            assert explain_shard(services, claim) == "done"
    while (claim := ledger.claim_shard(services.database, "worker", "explain", 60)) is not None:
        assert explain_shard(services, claim) == ("convicted" if claim.convicted else "done")
    before = queries.list_results(services.database, job, limit=50)
    assert [row["row"] for row in before] == list(range(PHOTOGRAPHS))
    guilty = before[GUILTY]
    assert (guilty["status"], guilty["error_class"]) == ("error", "killer")
    assert guilty["key"] not in opened
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
    assert [[row[k] for k in kept] for row in after] == [[row[k] for k in kept] for row in before]
