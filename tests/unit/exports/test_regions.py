"""Regions as run lengths, read back by the libraries that define them."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask  # type: ignore[import-untyped]

from gfi.exports.regions import box_of, coco_counts, label_studio_rle, runs

REGIONS = [
    np.random.default_rng(seed).random(shape) < share
    for seed, (shape, share) in enumerate(
        [((7, 5), 0.5), ((60, 41), 0.02), ((33, 90), 0.98), ((1, 1), 1.1), ((4, 6), -1.0), ((200, 300), 0.5)]
    )
]


@pytest.mark.parametrize("region", REGIONS, ids=lambda region: str(region.shape))
def test_coco_reads_the_region_that_was_written(region: np.ndarray) -> None:
    encoded = {"size": list(region.shape), "counts": coco_counts(region)}
    assert np.array_equal(coco_mask.decode(encoded).astype(bool), region)
    assert coco_counts(region) == coco_mask.encode(np.asfortranarray(region))["counts"].decode()


@pytest.mark.parametrize("region", REGIONS[:5], ids=lambda region: str(region.shape))
def test_label_studio_reads_the_region_that_was_written(region: np.ndarray) -> None:
    assert np.array_equal(decoded(label_studio_rle(region)).reshape(*region.shape, 4)[..., 3] == 255, region)


def decoded(rle: list[int]) -> np.ndarray:
    """Label Studio's own decoder (label_studio_sdk.converter.brush.decode_rle), literally."""
    bits = "".join(f"{byte:08b}" for byte in rle)
    place = 0

    def read(size: int) -> int:
        nonlocal place
        place += size
        return int(bits[place - size : place], 2)

    out = np.zeros(read(32), np.uint8)
    word = read(5) + 1
    widths = [read(4) + 1 for _ in range(4)]
    i = 0
    while i < len(out):
        repeated = read(1)
        j = i + 1 + read(widths[read(2)])
        if repeated:
            out[i:j] = read(word)
            i = j
        while i < j:
            out[i] = read(word)
            i += 1
    return out


def test_a_box_is_half_open_and_an_empty_region_has_none() -> None:
    region = np.zeros((4, 6), bool)
    assert box_of(region) is None
    region[1:3, 2:5] = True
    assert box_of(region) == (2, 1, 5, 3)
    assert runs(region[1]) == [2, 3, 1]
