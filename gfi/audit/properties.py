"""S5: properties of the whole image, or columns of the manifest, that go with the class an image is taken for.

A mask cannot show a tint or a blur. The mean of a property in one class is compared with the other classes' means, in
their robust spread; a column of words is compared value by value, as the share of images that have it. It names a
property and tests no cause: nothing was changed in an image, so the verdict is never more than "suspected".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gfi.audit.class_null import robust_z, upper_tail
from gfi.audit.false_discovery import q_values

VALUE_OF = " = "
"""Between a column of words and one of its values, in the name of a property."""


@dataclass(frozen=True)
class PropertyCandidate:
    """A property in which a class stands out: its mean, the classes' median, z, and p and q of the screen."""

    class_index: int
    name: str
    mean: float
    usual: float
    z: float
    p: float
    q: float


class ClassMeans:
    """Sums of every property by class. `add` takes a chunk; values that are NaN are left out.

    A column of words becomes a property of its own for each of its first `most_values` values: "camera = A".
    """

    def __init__(self, classes: int, most_values: int = 50) -> None:
        self.classes = classes
        self.most_values = most_values
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._images = np.zeros(classes)
        self._words: set[str] = set()
        self._values: dict[str, list[str]] = {}

    def add(
        self, columns: Mapping[str, NDArray[np.floating] | Sequence[str]], classes: NDArray[np.integer]
    ) -> None:
        """Count a chunk: columns of N numbers or N words, and the class of each image (N,)."""
        k = self.classes
        self._images += np.bincount(classes, minlength=k)
        for name, column in columns.items():
            values = np.asarray(column)
            if values.dtype.kind in "fiub":
                known = np.isfinite(values)
                self._add(name, values[known].astype(np.float64), classes[known])
                continue
            codes, of = np.unique(values, return_inverse=True)
            listed = self._values.setdefault(name, [])
            for code, value in enumerate(codes):
                if str(value) not in listed and len(listed) < self.most_values:
                    listed.append(str(value))
                if str(value) in listed:
                    word = f"{name}{VALUE_OF}{value}"
                    self._words.add(word)
                    members = classes[of == code]
                    self._add(word, np.ones(len(members)), members)

    def _add(self, name: str, values: NDArray[np.float64], classes: NDArray[np.integer]) -> None:
        sums = self._sums.setdefault(name, np.zeros((3, self.classes)))
        for row, power in enumerate((np.ones_like(values), values, values**2)):
            sums[row] += np.bincount(classes, power, minlength=self.classes)

    def screen(
        self, z_threshold: float = 4.0, fewest_classes: int = 8, fewest_images: int = 20
    ) -> list[PropertyCandidate] | None:
        """The properties in which a class stands out, the strongest first; None where too few classes are known.

        Both directions count. The threshold is higher than S1's: with ten classes the spread is known roughly, and a
        property screen has no second half that tests a cause.
        """
        rows = []
        for name, (counted, total, squares) in sorted(self._sums.items()):
            images = self._images if name in self._words else counted
            n = np.maximum(images, 1)
            mean = total / n
            error = np.sqrt(np.maximum(squares / n - mean**2, 1e-12) / n)
            if name in self._words:
                error = np.maximum(error, np.sqrt((np.median(mean) * n + 0.5) / (n + 1) / n))
            z = robust_z(mean, error, images.astype(np.int64), fewest_classes, fewest_images)
            if z is None:
                return None
            usual = float(np.median(mean[images >= fewest_images]))
            rows += [
                (int(k), name, float(mean[k]), usual, float(z[k])) for k in np.flatnonzero(np.isfinite(z))
            ]
        p = np.minimum(2 * upper_tail(np.abs([row[4] for row in rows])), 1)
        q = q_values(p)
        found = [PropertyCandidate(*row, float(a), float(b)) for row, a, b in zip(rows, p, q, strict=True)]
        return sorted((f for f in found if abs(f.z) >= z_threshold), key=lambda f: -abs(f.z))
