"""What is read of a part, and what is left out."""

from dataclasses import replace

import numpy as np
import pytest

from gfi.audit.grids import resized
from gfi.audit.part_columns import explained, joined, part_columns
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from gfi.store import parts
from tests.unit.store.test_parts import HEADER


def part(results: list[Result]) -> parts.Part:
    written = parts.write(HEADER, results)
    return parts.read(written.data, written.sha256)


def result(row: int, status: ImageStatus = ImageStatus.OK, rank: int = 0, side: int = 8) -> Result:
    grid = np.random.default_rng(row).random((side, side + 1)).astype(np.float32)
    return Result(row, f"{row}.jpg", status, target_rank=rank, target=row % 3, grid=grid)


def test_grids_of_different_sizes_come_in_the_order_of_the_file() -> None:
    rows = [result(0), result(1, side=20), result(2)]
    read = part_columns(part(rows))
    assert read.keys == ("0.jpg", "1.jpg", "2.jpg")
    assert read.classes.tolist() == [0, 1, 2]
    for i, one in enumerate(rows):
        assert one.grid is not None
        assert np.allclose(read.grids[i], resized(one.grid[None], 14)[0], atol=1e-6)


def test_images_without_a_mask_that_says_something_are_left_out_and_counted() -> None:
    rows = [result(0), result(1, ImageStatus.CONSTANT), result(2, ImageStatus.TARGET_LOST), result(2, rank=1)]
    rows.append(Result(4, "4.jpg", ImageStatus.ERROR))
    read = part_columns(part(rows))
    assert read.rows.tolist() == [0, 2]
    assert read.left_out == 2


def test_each_label_counts_and_has_what_was_measured_of_its_photograph() -> None:
    header = replace(HEADER, features=parts.features_header("fc", 8, "projected"))
    first = replace(result(5), pixels={"brightness": 0.25}, features=np.full(256, 2, np.float16))
    written = parts.write(header, [result(4), first, replace(result(5, rank=1), target=7), result(6, rank=1)])
    read = part_columns(parts.read(written.data, written.sha256), rows=[1, 2, 3], firsts=[1, 1, -1])
    assert read.rows.tolist() == [5, 5, 6]
    assert read.classes.tolist() == [2, 7, 0]
    np.testing.assert_array_equal(read.pixels["brightness"], [0.25, 0.25, np.nan])
    assert read.features is not None
    assert read.features[:, 0].tolist()[:2] == [2, 2]
    assert np.isnan(read.features[2]).all()


def test_parts_together_keep_the_half_of_each_key() -> None:
    first, second = part_columns(part([result(0), result(1)])), part_columns(part([result(2)]))
    together, swapped = explained([first, second], "s"), explained([second, first], "s")
    assert dict(zip(together.keys, together.screening, strict=True)) == dict(
        zip(swapped.keys, swapped.screening, strict=True)
    )


def test_nothing_to_audit_is_said() -> None:
    with pytest.raises(ValueError, match="no result has a mask"):
        explained([part_columns(part([Result(4, "4.jpg", ImageStatus.ERROR)]))], "s")


def test_properties_and_features_come_in_the_order_of_the_rows() -> None:
    first = replace(result(0), pixels={"brightness": 0.25}, features=np.full(256, 2, np.float16))
    header = replace(HEADER, features=parts.features_header("fc", 8, "projected"))
    written = parts.write(header, [first, Result(1, "1.jpg", ImageStatus.ERROR), result(2)])
    read = part_columns(parts.read(written.data, written.sha256))
    np.testing.assert_array_equal(read.pixels["brightness"], [0.25, np.nan])
    assert read.features is not None
    assert read.features.shape == (2, 256)
    assert (read.features[0] == 2).all()
    assert np.isnan(read.features[1]).all()


def test_a_part_of_format_1_has_no_properties_and_no_features() -> None:
    written = parts.write(replace(HEADER, schema_version=1), [result(0)])
    read = part_columns(parts.read(written.data, written.sha256))
    assert read.pixels == {}
    assert read.features is None


def test_parts_of_two_formats_are_joined_in_the_order_of_rows() -> None:
    """Where one has no properties and no features, they are NaN."""
    header = replace(HEADER, features=parts.features_header("fc", 8, "projected"))
    new = replace(result(3), pixels={"brightness": 0.25}, features=np.full(256, 2, np.float16))
    written = [
        parts.write(header, [new, result(1)]),
        parts.write(replace(HEADER, schema_version=1), [result(0), result(2)]),
    ]
    read = joined([part_columns(parts.read(one.data, one.sha256)) for one in written])
    assert read.rows.tolist() == [0, 1, 2, 3]
    assert read.keys == ("0.jpg", "1.jpg", "2.jpg", "3.jpg")
    np.testing.assert_array_equal(read.pixels["brightness"], [np.nan, np.nan, np.nan, 0.25])
    assert read.features is not None
    assert np.isfinite(read.features).all(1).tolist() == [False, False, False, True]
    assert len(joined([]).rows) == 0
