"""The projection keeps distances, and its bits follow from the features alone."""

import numpy as np
import pytest

from gfi.domain.projection import as_half, digest, projected, signs

FEATURES = np.random.default_rng(0).standard_normal((20, 1280)).astype(np.float32) ** 2


def test_it_is_the_product_with_a_matrix_of_signs() -> None:
    z = projected(FEATURES[0])
    assert z is not None
    assert (z.shape, z.dtype) == ((256,), np.float16)
    np.testing.assert_allclose(z, FEATURES[0].astype(float) @ signs(1280) / 16, rtol=1e-3, atol=1e-3)
    assert set(np.unique(signs(64))) == {-1, 1}


def test_distances_are_kept() -> None:
    z = np.stack([np.asarray(projected(row), float) for row in FEATURES])
    first, second = np.triu_indices(len(z), 1)
    ratio = ((z[first] - z[second]) ** 2).sum(1) / ((FEATURES[first] - FEATURES[second]) ** 2).sum(1)
    assert 0.6 < ratio.min() <= ratio.max() < 1.4
    assert ratio.mean() == pytest.approx(1, abs=0.05)


def test_the_matrix_is_fixed_for_ever() -> None:
    """Stored features of all jobs would otherwise no longer be comparable."""
    assert digest(8)[:16] == "8d978f1d89111880"
    assert digest(8) != digest(16)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_what_float16_cannot_hold_is_not_stored(bad: float) -> None:
    row = FEATURES[0].copy()
    row[3] = bad
    assert projected(row) is None
    assert as_half(row) is None
