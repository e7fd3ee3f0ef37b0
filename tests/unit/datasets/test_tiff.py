"""The tags of a TIFF's page; `test_depth` and `test_planes` hold what is read by them."""

import struct
import zlib

import pytest

from gfi.datasets.decode import Limits, decode
from gfi.datasets.errors import DecodeError


def tiled(side: int, tile: int) -> bytes:
    """A black picture of side × side pixels, in one deflated tile."""
    data = zlib.compress(bytes(tile * tile))
    ones = {
        256: side,
        257: side,
        258: 8,
        259: 8,
        262: 1,
        277: 1,
        322: tile,
        323: tile,
        324: 134,
        325: len(data),
    }
    tags = b"".join(struct.pack("<HHII", number, 4, 1, value) for number, value in ones.items())
    return b"II*\0" + struct.pack("<IH", 8, len(ones)) + tags + b"\0" * 4 + data


def test_memory_for_a_tile_is_limited_like_that_for_a_picture() -> None:
    limits = Limits(pixels=1_000)
    assert decode(tiled(10, 16), limits).size == (10, 10)
    for channels in (3, 5):
        with pytest.raises(DecodeError, match="tiles of 64×64 pixels; the limit is 1,000"):
            decode(tiled(10, 64), limits, channels=channels)
