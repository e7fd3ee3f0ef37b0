"""The division of a job into shards."""

import pytest

from gfi.jobs.sharding import MOST_SHARDS, shard_bounds, shard_size


def test_shards_cover_every_row_once_and_are_whole_batches() -> None:
    assert list(shard_bounds(10, 4)) == [(0, 4), (4, 8), (8, 10)]
    assert shard_size(1000, None, 60, 8) == 64
    assert shard_size(1000, 1.0, 60, 8) == 64
    assert shard_size(1000, 0.01, 60, 8) == 8
    assert shard_size(1000, 1e6, 60, 8) == 4096


@pytest.mark.parametrize("batch", [1, 8])
def test_a_job_of_ten_million_slow_images_has_uploads_its_parts_for_a_fifth_of_a_dollar(
    batch: int,
) -> None:
    size = shard_size(10_000_000, 0.01, 60, batch)
    assert size % batch == 0
    assert 39_000 < 10_000_000 / size <= MOST_SHARDS
