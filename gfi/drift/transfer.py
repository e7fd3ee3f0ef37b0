"""Transfer: does a model answer as well when it is shown the mask of another model?

With T(m) = the highest 35 % of a mask's area, Φ(x, T) = the image x on T and its blur elsewhere, f_B the second model,
and c the explained class

    transfer = logit f_B(Φ(x, T(m_A)))_c − logit f_B(Φ(x, T(m_B)))_c

A model always likes its own mask a little better, so the mean is below 0 where nothing has changed. It is therefore
read beside the same number of the floor's pairs: other training runs of one recipe, each shown the masks of the others.
The number describes; it has no threshold and no verdict.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfi.drift.binomial import mean_bounds

SHOWN = 0.35
"""The share of a mask's area that is shown."""
LEAST = 1e-6
"""Probabilities are cut to [LEAST, 1 − LEAST] before the logit: float32 has no finer ones near 1."""
ALPHA = 0.05


@dataclass(frozen=True)
class Transfer:
    """The second job's model, shown the masks of the first, compared with its own masks.

    n: images. mean, deviation: of their differences of log-odds. classes: class → (images, mean).
    """

    first: str
    second: str
    n: int
    mean: float
    deviation: float
    classes: Mapping[int, tuple[int, float]]

    @property
    def bounds(self) -> tuple[float, float]:
        """Two-sided 95 % bounds of the mean, over images of these two models."""
        return mean_bounds(self.mean, self.deviation, self.n, ALPHA / 2)

    def to_json(self) -> dict[str, Any]:
        """All fields, and the bounds, null where there are too few images."""
        lower, upper = (value if np.isfinite(value) else None for value in self.bounds)
        classes = {str(index): {"n": n, "mean": mean} for index, (n, mean) in self.classes.items()}
        return {**asdict(self), "classes": classes, "lower": lower, "upper": upper}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Transfer":
        """What `to_json` wrote."""
        classes = {int(index): (one["n"], one["mean"]) for index, one in value["classes"].items()}
        known = {name: value[name] for name in ("first", "second", "n", "mean", "deviation")}
        return cls(**known, classes=classes)


def transfer_of(
    first: str,
    second: str,
    targets: NDArray[np.integer],
    others: NDArray[np.floating],
    own: NDArray[np.floating],
) -> Transfer:
    """The transfer of one pair of jobs. others, own: (N,) probabilities of the explained class, shown the first job's
    masks and the second's; targets: (N,)."""
    difference = logit(others) - logit(own)
    n = len(difference)
    classes = {
        int(index): (int((targets == index).sum()), float(difference[targets == index].mean()))
        for index in np.unique(targets)
    }
    deviation = float(difference.std(ddof=1)) if n > 1 else 0.0
    return Transfer(first, second, n, float(difference.mean()) if n else 0.0, deviation, classes)


def logit(p: NDArray[np.floating]) -> NDArray[np.float64]:
    """log p/(1 − p) of probabilities cut to [LEAST, 1 − LEAST]."""
    p = np.clip(np.asarray(p, np.float64), LEAST, 1 - LEAST)
    return np.asarray(np.log(p) - np.log1p(-p))


def highest(mask: NDArray[np.floating]) -> NDArray[np.bool_]:
    """The highest 35 % of a mask's pixels: (H, W) to (H, W). Equal values are taken in a fixed random order, so that no
    side of the image is preferred.

    >>> highest(np.arange(20.0).reshape(2, 10)).sum(1).tolist()
    [0, 7]
    """
    flat = mask.reshape(-1)
    order = np.lexsort((_random_order(flat.size), -flat))
    chosen = np.zeros(flat.size, np.bool_)
    chosen[order[: round(SHOWN * flat.size)]] = True
    return chosen.reshape(mask.shape)


@lru_cache(maxsize=8)
def _random_order(size: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).permutation(size)


def sampled(keys: Iterable[str], number: int, seed: int) -> list[str]:
    """The `number` keys with the smallest keyed hash: the same images for the same seed, whatever the order."""
    return sorted(keys, key=lambda key: _rank(key, seed))[:number]


def _rank(key: str, seed: int) -> bytes:
    return blake2b(key.encode(), digest_size=8, key=str(seed).encode()).digest()


def transfer_sentences(
    compared: Transfer, floor: Sequence[Transfer], names: Mapping[int, str] | None = None
) -> Iterator[str]:
    """The result in words: the compared pair, the floor's pairs beside it, and the classes that lose most.

    >>> pair = Transfer("a", "b", 200, -0.8, 0.5, {0: (100, -1.5), 1: (100, -0.1)})
    >>> for line in transfer_sentences(pair, [Transfer("a", "c", 200, -0.2, 0.4, {0: (100, -0.2)})], {0: "husky"}):
    ...     print(line)
    shown the highest 35 % of the first job's masks, the second model's log-odds of the class change by -0.80 against \
its own masks (95 % bounds -0.87 to -0.73; 200 images)
    between the floor's runs, 1 pair of them, that change is -0.20
    most in class husky: -1.50 (100 images); between the floor's runs -0.20
    """
    lower, upper = compared.bounds
    yield (
        f"shown the highest {SHOWN:.0%} of the first job's masks, the second model's log-odds of the class change by"
        f" {compared.mean:+.2f} against its own masks (95 % bounds {lower:+.2f} to {upper:+.2f};"
        f" {compared.n:,} images)".replace("35%", "35 %")
    )
    if floor:
        pairs = f"{len(floor)} pair{'s' * (len(floor) != 1)} of them"
        yield f"between the floor's runs, {pairs}, that change is {_range([one.mean for one in floor])}"
    else:
        yield "no floor was given, so it is not known how much of this other training runs show too"
    if len(compared.classes) > 1:
        index, (n, mean) = min(compared.classes.items(), key=lambda item: item[1][1])
        beside = [one.classes[index][1] for one in floor if index in one.classes]
        text = f"most in class {(names or {}).get(index, str(index))}: {mean:+.2f} ({n:,} images)"
        yield text + (f"; between the floor's runs {_range(beside)}" if beside else "")


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:+.2f}" if low == high else f"{low:+.2f} to {high:+.2f}"
