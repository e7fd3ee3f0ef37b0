"""Masks of a finished job as an experiment reads them, from real parts."""

from pathlib import Path

import numpy as np

from gfi.cli.servers import Server
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from gfi.reproduce.experiment import Example, Listing
from gfi.reproduce.masks import masks_of
from gfi.store.database import Database
from gfi.store.objects import Bucket
from tests.servers import Sqlite
from tests.service.jobs.finished import finished_job
from tests.service.store.test_objects import settings_for


def test_every_image_of_the_listing_comes_once_whatever_its_status(sqlite_files: Sqlite, s3: Server) -> None:
    database = Database(sqlite_files.create())
    bucket = Bucket.from_settings(settings_for(s3.url, s3_bucket="reproduce-tests"))
    bucket.ensure()
    grid = np.zeros((7, 7), np.float32)
    grid[0, 6] = 1.0
    seen = {"original_size": (40, 100), "box": (30.0, 0.0, 70.0, 40.0), "prediction": 3}
    results = [
        Result(0, "b.jpg", ImageStatus.TARGET_LOST, grid=grid, **seen),
        Result(0, "a.jpg", ImageStatus.ERROR, error="not a JPEG"),
        Result(0, "elsewhere.jpg", ImageStatus.OK, grid=grid, **seen),
    ]
    job = finished_job(database, bucket, results)
    listing = Listing("val", Path("/data"), tuple(Example(f"{name}.jpg", None) for name in "abc"))
    read = {one.example.key: one for one in masks_of(database, bucket, job, listing)}
    assert list(read) == ["b.jpg", "a.jpg", "c.jpg"]
    assert [one.status for one in read.values()] == [
        ImageStatus.TARGET_LOST,
        ImageStatus.ERROR,
        ImageStatus.ERROR,
    ]
    found = read["b.jpg"]
    assert (found.size, found.seen, found.prediction) == ((40, 100), (30.0, 0.0, 70.0, 40.0), 3)
    assert found.mask is not None
    assert found.mask.shape == (56, 56)
    assert np.unravel_index(found.mask.argmax(), found.mask.shape)[0] < 8 <= 48 <= found.mask.argmax() % 56
    assert read["a.jpg"].mask is read["c.jpg"].mask is None
