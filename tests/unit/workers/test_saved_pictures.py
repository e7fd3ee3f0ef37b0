"""The pictures that are saved for a job, and their names."""

import io

import numpy as np
import pytest
from PIL import Image

from gfi.domain.job import PICTURES_BELOW, wanted_pictures
from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from workers.saved_pictures import LONGEST, draw_pictures, thumbnail

SIZE = (32, 32)
ALL = frozenset({"png", "overlay", "npy"})


def row(height: int, width: int, rank: int = 0) -> Result:
    return Result(
        row=3,
        key="k",
        version="v",
        label=None,
        status=ImageStatus.OK,
        target_rank=rank,
        grid=np.full((4, 4), 0.5, dtype=np.float32),
        original_size=(height, width),
        box=(0.0, 0.0, float(width), float(height)),
    )


@pytest.mark.parametrize(
    ("save", "images", "kinds"),
    [
        (None, PICTURES_BELOW - 1, {"png"}),
        (None, PICTURES_BELOW, set()),
        ([], 1, set()),
        (["npy", "overlay"], 10**7, {"npy", "overlay"}),
    ],
)
def test_a_small_job_gets_masks_and_any_job_what_it_asks_for(
    save: list[str] | None, images: int, kinds: set[str]
) -> None:
    assert wanted_pictures(save, images) == kinds


def test_each_kind_is_one_file_named_after_row_and_rank() -> None:
    photo = thumbnail(np.zeros((60, 80, 3), dtype=np.uint8))
    pictures = draw_pictures("j", row(60, 80), ALL, photo, SIZE, False)
    assert [picture.key for picture in pictures] == [
        f"jobs/j/images/00000003-{name}" for name in ("mask.npy", "mask.png", "overlay.png")
    ]
    second = draw_pictures("j", row(60, 80, rank=1), ALL, photo, SIZE, False)
    assert {picture.key.split("-")[1] for picture in second} == {"1"}
    assert np.load(io.BytesIO(pictures[0].data)).shape == SIZE
    assert Image.open(io.BytesIO(pictures[1].data)).size == (80, 60)


@pytest.mark.parametrize(("height", "width"), [(3000, 6000), (1, 9_000_000)])
def test_a_picture_has_at_most_the_longest_side_and_at_least_one_pixel(height: int, width: int) -> None:
    (mask,) = draw_pictures("j", row(height, width), frozenset({"png"}), None, SIZE, False)
    assert Image.open(io.BytesIO(mask.data)).size == (LONGEST, max(1, round(height * LONGEST / width)))


def test_an_image_without_a_mask_has_no_pictures() -> None:
    failed = Result(row=3, key="k", version="v", label=None, status=ImageStatus.ERROR)
    assert draw_pictures("j", failed, ALL, None, SIZE, False) == []
