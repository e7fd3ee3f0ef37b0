"""The split into a screening and a confirmation half, by a keyed hash of the image's key.

An image's half depends on the secret and on its key alone. So it is the same for every reader of the stream, and an
image that is added later moves no other. The secret is drawn when the audit is created: whoever wrote the dataset
cannot know the halves.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def in_screening_half(keys: Iterable[str], secret: str) -> NDArray[np.bool_]:
    """Whether each image belongs to the screening half (N,); the others confirm.

    Raises ValueError for an empty secret or one of more than 64 bytes.
    """
    key = _checked(secret)
    bits = [hashlib.blake2b(k.encode(), digest_size=1, key=key).digest()[0] & 1 for k in keys]
    return np.array(bits, dtype=bool)


def keyed_order(keys: Iterable[str], secret: str) -> NDArray[np.uint64]:
    """A number of each image (N,), by which a sample grows in an order that nobody chose. Raises as above."""
    key = _checked(secret)
    return np.array(
        [
            int.from_bytes(hashlib.blake2b(k.encode(), digest_size=8, key=key, person=b"order").digest())
            for k in keys
        ],
        np.uint64,
    )


def _checked(secret: str) -> bytes:
    key = secret.encode()
    if not 1 <= len(key) <= 64:
        raise ValueError(f"the secret of the split has 1 to 64 bytes, not {len(key)}")
    return key
