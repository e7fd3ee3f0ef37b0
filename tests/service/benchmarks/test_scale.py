"""The load of `make bench-scale`, on two shards."""

from benchmarks import scale
from gfi.store import queries
from gfi.store.database import Database


def test_a_process_commits_every_shard_and_says_how_long_each_took(database: Database) -> None:
    images = scale.SHARD + 7
    job = scale.planned(database, images)
    done = scale.work(database.url.render_as_string(hide_password=False), "w")
    assert (len(done.claims_s), len(done.commits_s)) == (2, 2)
    assert done.ended - done.began >= sum(done.claims_s) + sum(done.commits_s)
    figures = scale.Figures()
    scale.sums(database, job, images, figures)  # compares the sums with a recount
    assert sum(queries.job_sums(database, job).statuses().values()) == images
    assert {row["what"] for row in figures.rows} >= {"summary, pieces", "summary, merged"}
