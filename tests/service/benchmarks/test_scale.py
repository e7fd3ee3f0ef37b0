"""The load of `make bench-scale`, on two shards."""

import json
from pathlib import Path

from benchmarks import scale
from gfi.store import queries
from gfi.store.database import Database


def test_a_process_commits_every_shard_and_says_how_long_each_took(
    database: Database, tmp_path: Path
) -> None:
    images = scale.SHARD + 7
    job = scale.planned(database, images)
    done = scale.work(database.url.render_as_string(hide_password=False), "w")
    assert (len(done.claims_s), len(done.commits_s)) == (2, 2)
    assert done.ended - done.began >= sum(done.claims_s) + sum(done.commits_s)
    figures = scale.Figures()
    scale.sums(database, job, images, figures)  # compares the sums with a recount
    assert sum(queries.job_sums(database, job).statuses().values()) == images
    assert {row["what"] for row in figures.rows} >= {"summary, pieces", "summary, merged"}
    figures.rows[0]["value"] = -1
    scale.save(tmp_path / "scale.json", "cpu", figures)
    later = scale.Figures()
    later.add(figures.rows[0]["what"], figures.rows[0]["rows"], 5, "s")
    scale.save(tmp_path / "scale.json", "cpu", later)
    saved = json.loads((tmp_path / "scale.json").read_text())["rows"]
    assert len(saved) == len(figures.rows)  # a figure is replaced, the others stay
    assert saved[-1]["value"] == 5
