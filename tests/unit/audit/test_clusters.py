"""S3: two kinds of masks in a class, and one broad cloud."""

import numpy as np

from gfi.audit.clusters import clusters

from .test_local_peaks import blobs


def test_a_third_of_a_class_with_masks_elsewhere_is_a_cluster_at_that_cell() -> None:
    draw = np.random.default_rng(0)
    grids = blobs(draw, np.tile([3.0, 3.0], (60, 1)), 0.4)
    grids[:20] = blobs(draw, np.tile([0.0, 6.0], (20, 1)), 0.2)
    found = clusters(grids, None, np.random.default_rng(1), copies=39)
    assert found is not None
    assert found.p <= 0.05
    assert found.cell == (0, 6)
    assert found.smaller[:20].mean() > 0.9


def test_one_gaussian_cloud_is_rarely_called_clusters() -> None:
    found = 0
    for seed in range(20):
        draw = np.random.default_rng(seed)
        grids = (1 + 0.05 * draw.standard_normal((50, 7, 7))).astype(np.float32)
        result = clusters(grids, None, np.random.default_rng(seed), copies=39)
        found += result is not None and result.p <= 0.05
    assert found <= 3


def test_too_few_or_equal_masks_have_no_clusters() -> None:
    assert clusters(np.ones((5, 7, 7)), None, np.random.default_rng(0)) is None
    assert clusters(np.ones((50, 7, 7)), None, np.random.default_rng(0)) is None
