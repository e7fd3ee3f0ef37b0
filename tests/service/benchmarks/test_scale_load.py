"""The load of `make bench-scale`, with few workers."""

import time

from benchmarks import scale, scale_load
from gfi.store import queries
from gfi.store.database import Database


def test_each_worker_commits_in_its_turn_and_claims_another_shard(database: Database) -> None:
    job = scale.planned(database, 12 * scale.SHARD)
    url = database.url.render_as_string(hide_password=False)
    now = time.time()
    done = scale_load.serve(url, "w", now, 0.1, [0.0, 0.02, 0.04, 0.06])
    assert (len(done.claims_s), len(done.commits_s)) == (4, 4)
    assert queries.job_progress(database, job).by_status["ok"] > 3 * scale.SHARD
