"""Arrays that arrived, as masks."""

import numpy as np
import pytest

from gfi.imports.errors import ImportRefused
from gfi.imports.mask_values import LARGEST_SIDE, as_mask


def test_numbers_in_range_are_kept_and_others_are_scaled_and_said() -> None:
    kept = as_mask(np.array([[0.2, 0.8]]), "x")
    assert kept.mask is not None
    assert np.allclose(kept.mask, [[0.2, 0.8]])
    assert not kept.scaled
    signed = as_mask(np.array([[-3.0, 1.0, 2.0]]), "x")
    assert signed.scaled
    assert signed.mask is not None
    assert signed.mask.tolist() == [[0.0, 0.5, 1.0]]
    assert as_mask(np.array([[0, 255]], np.uint8), "x").mask.tolist() == [[0.0, 1.0]]  # type: ignore[union-attr]
    for kind in (np.uint8, np.uint16, np.int64, np.float32):
        assert as_mask(np.array([[0, 1]], kind), "x").mask.tolist() == [[0.0, 1.0]]  # type: ignore[union-attr]
    assert as_mask(np.array([[True, False]]), "x").mask.tolist() == [[1.0, 0.0]]  # type: ignore[union-attr]


def test_channels_are_added_and_large_masks_averaged() -> None:
    attributions = np.stack([np.full((4, 5), 0.25), np.full((4, 5), 0.25), np.zeros((4, 5))])
    for array in (attributions, attributions.transpose(1, 2, 0), attributions[None]):
        mask = as_mask(array, "x").mask
        assert mask is not None
        assert mask.shape == (4, 5)
        assert np.allclose(mask, 0.5)
    large = as_mask(np.tile([[0.0, 1.0]], (1000, 600)), "x").mask
    assert large is not None
    assert large.shape == (LARGEST_SIDE, LARGEST_SIDE)
    assert large.mean() == pytest.approx(0.5, abs=0.01)


def test_what_is_not_finite_is_no_mask() -> None:
    assert as_mask(np.array([[np.nan, 1.0]]), "x").mask is None


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.array([["a"]]), "not numbers"),
        (np.array([[1j]]), "not numbers"),
        (np.zeros((2, 7, 7, 7)), "has the shape"),
        (np.zeros(3), "has the shape"),
        (np.zeros((0, 4)), "is empty"),
        (np.broadcast_to(np.zeros(1), (1 << 14, 1 << 14)), "values; a mask has at most"),
    ],
)
def test_what_is_no_mask_is_refused_with_its_name(array: np.ndarray, said: str) -> None:
    with pytest.raises(ImportRefused, match=r"^maps/a") as refused:
        as_mask(array, "maps/a")
    assert said in str(refused.value)


@pytest.mark.parametrize(("kind", "largest"), [(np.uint8, 255), (np.uint16, 65535)])
def test_faint_whole_numbers_are_shares_where_the_other_masks_say_so(kind: type, largest: int) -> None:
    mask = as_mask(np.array([[0, 1]], kind), "x", shares=True).mask
    assert mask is not None
    assert mask.tolist() == [[0.0, np.float32(1 / largest)]]
