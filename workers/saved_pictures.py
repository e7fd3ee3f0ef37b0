"""Pictures of masks in the bucket, for users who browse it; by default for small jobs only.

    jobs/{job}/images/{row}-mask.png      the mask on the photograph, 8-bit grey
    jobs/{job}/images/{row}-overlay.png   the coloured mask over the photograph
    jobs/{job}/images/{row}-mask.npy      the mask at the network's input size, float32

PNGs have the photograph's size, at most LONGEST pixels on the longer side. They contain no information that is not in
the part; a second attempt at a row overwrites them. If a job explains several classes of an image, the names of those
after the first contain the rank: {row}-1-mask.png.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gfi.domain import geometry
from gfi.domain.result import Result
from gfi.report.overlays import overlay, png, shrink
from gfi.store.objects import Bucket

LONGEST = 1024


def thumbnail(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photograph at the size its overlay will have."""
    return shrink(rgb, LONGEST)


@dataclass(frozen=True)
class Picture:
    """A picture file to upload."""

    key: str
    data: bytes
    content_type: str


def draw_pictures(
    job_id: str,
    row: Result,
    kinds: frozenset[str],
    photo: NDArray[np.uint8] | None,
    input_size: tuple[int, int],
    align_corners: bool,
) -> list[Picture]:
    """The pictures of one explained row. photo: as `thumbnail` made it, for the overlay."""
    if row.grid is None or row.original_size is None or row.box is None:
        return []
    mask = geometry.draw(row.grid, input_size, align_corners)
    rank = f"-{row.target_rank}" if row.target_rank else ""
    prefix = f"jobs/{job_id}/images/{row.row:08d}{rank}"
    pictures = []
    if "npy" in kinds:
        out = io.BytesIO()
        np.save(out, mask, allow_pickle=False)
        pictures.append(Picture(f"{prefix}-mask.npy", out.getvalue(), "application/octet-stream"))
    if not kinds & {"png", "overlay"}:
        return pictures
    size = geometry.fitted(row.original_size, LONGEST) if photo is None else (photo.shape[0], photo.shape[1])
    placed = geometry.place(mask, size, row.box_at(size))
    if "png" in kinds:
        pictures.append(Picture(f"{prefix}-mask.png", png(placed), "image/png"))
    if "overlay" in kinds and photo is not None:
        pictures.append(Picture(f"{prefix}-overlay.png", png(overlay(photo, placed)), "image/png"))
    return pictures


def upload_pictures(bucket: Bucket, pictures: Iterable[Picture]) -> None:
    """Upload the pictures to the bucket."""
    for picture in pictures:
        bucket.put(picture.key, picture.data, content_type=picture.content_type)
