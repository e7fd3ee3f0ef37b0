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
    key = secret.encode()
    if not 1 <= len(key) <= 64:
        raise ValueError(f"the secret of the split has 1 to 64 bytes, not {len(key)}")
    bits = [hashlib.blake2b(k.encode(), digest_size=1, key=key).digest()[0] & 1 for k in keys]
    return np.array(bits, dtype=bool)
