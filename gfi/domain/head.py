"""The head of a network, its last linear layer, as a file: what the class scores read from the pooled features.

    logits = W φ + b,   W (C, D), b (C,), φ (D,)

A job keeps φ, or its projection z (256,) (`gfi.domain.projection`). With z_c the projection of row c of W, z·z_c
estimates φ·W_c, so class scores can also be read from projected features.

The file is an .npz with `weight` and `bias`, float16 where all values fit and float32 otherwise: 2.6 MB for 1,000
classes of 1,280 features.
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfi.domain.digests import JSON
from gfi.domain.projection import SIZE, as_half, signs

NO_HEAD: JSON = {"layer": None}
"""The record of a network without a linear layer at its end that gives one output for each class."""


@dataclass(frozen=True, eq=False)
class Head:
    """layer: its name in the network. weight: (C, D). bias: (C,), zeros where the layer has none."""

    layer: str
    weight: NDArray[np.floating]
    bias: NDArray[np.floating]

    def projected(self) -> NDArray[np.float32]:
        """The rows of `weight` as features are projected, (C, 256)."""
        products = self.weight.astype(np.float32) @ signs(self.weight.shape[1]).astype(np.float32)
        made: NDArray[np.float32] = products / np.float32(np.sqrt(SIZE))
        return made

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """The scores of all classes, (N, C), of features (N, D), or of projected ones (N, 256): these are estimates.

        Raises ValueError for features of another width.
        """
        width = features.shape[-1]
        if width == self.weight.shape[1]:
            rows = self.weight.astype(np.float32)
        elif width == SIZE:
            rows = self.projected()
        else:
            raise ValueError(
                f"features of {width} numbers; the head {self.layer} reads {self.weight.shape[1]}, or {SIZE} projected"
            )
        scores: NDArray[np.float32] = features.astype(np.float32) @ rows.T + self.bias.astype(np.float32)
        return scores

    def parts(self, features: NDArray[np.floating], class_index: int) -> NDArray[np.float32]:
        """What each feature adds to the score of a class, (N, D), of features (N, D): they and the bias are the
        logit."""
        made: NDArray[np.float32] = features.astype(np.float32) * self.weight[class_index].astype(np.float32)
        return made


def write_head(head: Head, path: Path) -> JSON:
    """Write the file and return what the model's record says of it: layer, classes, width, sha256, bytes."""
    weight, bias = as_half(head.weight), as_half(head.bias)
    if weight is None or bias is None:
        np.savez(path, weight=head.weight.astype(np.float32), bias=head.bias.astype(np.float32))
    else:
        np.savez(path, weight=weight, bias=bias)
    data = path.read_bytes()
    classes, width = head.weight.shape
    return {
        "layer": head.layer,
        "classes": classes,
        "width": width,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
    }


def read_head(data: bytes, record: Mapping[str, Any]) -> Head:
    """The head in a file. record: what `write_head` returned. Raises ValueError if the file is another or damaged."""
    if hashlib.sha256(data).hexdigest() != record["sha256"]:
        raise ValueError(f"the head {record['layer']} is damaged: its SHA-256 is another one")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            weight, bias = arrays["weight"], arrays["bias"]
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise ValueError(f"the head {record['layer']} cannot be read: {error}") from error
    return Head(str(record["layer"]), weight, bias)
