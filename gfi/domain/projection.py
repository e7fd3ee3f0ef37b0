"""Pooled features as a few numbers: a random projection that keeps distances.

A network's pooled features φ, (D,), are stored as

    z = S φ / √256,   S (256, D) of random signs

so that E z·z' = φ·φ', and a squared distance has a relative error of about √(2/256) = 9 % (Achlioptas 2003). S follows
from the seed and D alone: features of two jobs with the same model can be compared. The sum runs over the features in
order, in float64 without BLAS: the stored bits depend on φ only.

References
----------
Achlioptas, "Database-friendly random projections: Johnson-Lindenstrauss with binary coins", JCSS 66 (2003).
"""

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SIZE = 256
SEED = 0


@lru_cache(maxsize=4)
def signs(width: int) -> NDArray[np.int8]:
    """Sᵀ, (width, 256): −1 or 1. From a hash, and not from a generator whose stream a library may change."""
    data = hashlib.shake_256(f"gfi projection {SEED} {width}".encode()).digest(width * SIZE // 8)
    bits = np.unpackbits(np.frombuffer(data, np.uint8)).reshape(width, SIZE)
    made = (bits.astype(np.int8) * 2 - 1).astype(np.int8)
    made.setflags(write=False)
    return made


def digest(width: int) -> str:
    """The SHA-256 of S for features (width,), as hex digits."""
    return hashlib.sha256(signs(width).tobytes()).hexdigest()


def projected(features: NDArray[np.floating]) -> NDArray[np.float16] | None:
    """z, (256,), of features (D,). None where a value is not finite or too large for float16."""
    products = features.astype(np.float64)[:, None] * signs(len(features))
    return as_half(np.add.reduce(products, axis=0) / np.sqrt(SIZE))


def as_half(values: NDArray[np.floating]) -> NDArray[np.float16] | None:
    """Values as float16; None where one is not finite or too large."""
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return half if np.isfinite(half).all() else None
