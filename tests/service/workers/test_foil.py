"""Why A rather than B, for a whole job."""

import numpy as np

from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.store import parts, queries
from tests.service.workers.conftest import PHOTOGRAPHS, explain, submit
from workers.photographs import photograph_reader
from workers.services import WorkerServices


def test_a_job_asks_every_image_why_its_class_rather_than_another(services: WorkerServices) -> None:
    job = submit(services, rather_than=2)
    assert explain(services) == "done"
    rows = queries.list_results(services.database, job, limit=50)
    assert [row["row"] for row in rows] == list(range(PHOTOGRAPHS))
    asked = [row for row in rows if row["prediction"] != 2]
    assert asked
    for row in rows:
        # What is predicted as B cannot be told from B.
        assert (row["status"] == "constant") == (row["prediction"] == 2)

    # The masks are those that the engine gives for this question, and for no other.
    record = queries.get_job(services.database, job)
    engine: Engine = services.engines.get(record.config, record.profile)
    manifest = services.manifest(record.manifest_key, record.manifest_digest)
    read = photograph_reader(services.source(record.config.dataset.spec), engine, overlays=False)
    for row in asked[:2]:
        (entry,) = manifest.rows(row["row"], row["row"] + 1)
        prepared = read(entry).prepared
        assert prepared is not None
        (with_foil,) = engine.explain_many([Item(0, prepared, None, 2)])
        (without,) = engine.explain_many([Item(0, prepared, None)])
        found = queries.get_result(services.database, job, row["row"])
        stored = parts.read(services.bucket.get(found["part_key"]), found["part_sha256"]).row(
            found["part_row"]
        )
        assert stored.grid is not None
        assert np.array_equal(stored.grid, with_foil.grid)
        assert not np.array_equal(stored.grid, without.grid)
        assert found["probability"] == with_foil.probability
