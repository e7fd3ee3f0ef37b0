"""The sequential audit: candidates are fixed on a first sample, later images only test them, and a class that is
settled needs no more images.

Of each later image that a candidate is tested on, two numbers are known, both in [−1, 1]:

    removal      x = mean of p_c without a control place − p_c without the candidate's place
    transplant   x = p_c with the candidate's crop − mean of p_c with a control crop

(the probability of the untouched image cancels: these are the effects of `gfi.audit.confirmation` beyond their
controls). A gambler with one unit bets against "the mean of x is at most `least_effect`", image by image:

    W_t = W_{t−1} · (1 + λ_t (x_t − least_effect)),    λ_t in [0, bet / (1 + least_effect)], from the images before t

While that hypothesis holds, W is a nonnegative supermartingale, so E W ≤ 1 whenever one stops, and W ever reaches
1/α with probability at most α (Ville). λ_t is the bet of the mean and variance so far (aGRAPA). A finding needs both
effects: its e-value is the smaller of the two W, and e-BH (Wang and Ramdas, 2022) over all candidates keeps the false
discovery rate, however candidates depend on each other and whenever one stops.

An audit that goes on from an earlier one has candidates that were fixed at different times. Each has a share of one
unit of capital, fixed before its first test, and what counts is its account, share · W:

    accounts   sum to at most 1 in the mean over the candidates without an effect, whenever one stops
    e-BH       confirms the k largest accounts, for the largest k whose k-th is at least 1 / (k · level)

which keeps the false discovery rate for accounts as for e-values of equal shares. A candidate that was settled as
"nothing there" is tested no more: its account, and at most its share, is the capital of candidates that are new
(`left_over`). Counting old and new candidates alike would give the old ones' level away after it was used.

"Nothing there" is a statement too: a second gambler bets against "both means are at least `margin`" with the average of
W for margin − x. Where that reaches 1/level, a finding with both effects of `margin` or more is excluded.

References: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B 2024;
Wang and Ramdas, False discovery rate control with e-values, JRSS B 2022.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from gfi.audit.confirmation import Effects

SIDES = ("removal", "transplant")
Values = Sequence[float] | NDArray[np.floating]


@dataclass(frozen=True)
class SequentialSettings:
    """level: of the false discovery rate, and of each "nothing there". least_effect < margin: in [0, 1], of Δp.

    bet: the largest share of the wealth that one image may lose, in (0, 1). instalment: images of a class between two
    looks.
    """

    level: float = 0.05
    least_effect: float = 0.10
    margin: float = 0.20
    bet: float = 0.75
    instalment: int = 20

    def __post_init__(self) -> None:
        if not 0 <= self.least_effect < self.margin <= 1:
            raise ValueError("least_effect is below margin, and both are in [0, 1]")
        if not 0 < self.level < 1 or not 0 < self.bet < 1 or self.instalment < 1:
            raise ValueError("level and bet are in (0, 1), and an instalment has at least one image")


class Settled(StrEnum):
    """What is known of a candidate."""

    CONFIRMED = "confirmed"
    """e-BH rejects that an effect is at most `least_effect`."""
    NOTHING = "nothing_there"
    """Both effects of `margin` or more are excluded."""
    OPEN = "open"


class Wealth:
    """The wealth of gamblers who bet that the mean of x is above `below`, one each of `number` streams.

    x in [−1, 1]; below in [−1, 1). Kept as logarithms: `log` (number,).
    """

    def __init__(self, number: int, below: float, bet: float) -> None:
        self.below, self._most = below, bet / (1 + below)
        self.log = np.zeros(number)
        self.seen = np.zeros(number, np.int64)
        self._sum = np.zeros(number)
        self._squares = np.zeros(number)

    def add(self, stream: int, values: Values) -> None:
        """Bet on the next values of one stream, in their order. Raises ValueError outside [−1, 1]."""
        x = np.asarray(values, np.float64)
        if not (np.isfinite(x) & (np.abs(x) <= 1 + 1e-9)).all():
            raise ValueError("effects are differences of probabilities: numbers in [−1, 1]")
        # What is known before each value, with one imagined value at `below` and a spread of one half.
        n = self.seen[stream] + np.arange(len(x)) + 1
        before = np.concatenate([[0.0], np.cumsum(x)[:-1]]) if len(x) else x
        squares = np.concatenate([[0.0], np.cumsum(x**2)[:-1]]) if len(x) else x
        mean = (self.below + self._sum[stream] + before) / n
        variance = np.maximum(
            (0.25 + self._squares[stream] + squares) / n - mean**2 + self.below**2 / n, 1e-4
        )
        gap = mean - self.below
        share = np.clip(gap / (variance + gap**2), 0.0, self._most)
        # Of the first image nothing is known: a small bet, so that the wealth can move at all.
        share = np.where(n == 1, 0.5 * self._most, share)
        self.log[stream] += float(np.log1p(share * (x - self.below)).sum())
        self.seen[stream] += len(x)
        self._sum[stream] += float(x.sum())
        self._squares[stream] += float((x**2).sum())


_LARGEST = 700.0
"""Of a logarithm, so that its exponential is finite."""


@dataclass
class Evidence:
    """What is known of some candidates of one model. classes (K,): of each candidate.

    shares (K,): of one unit of capital, fixed before the first test of each; empty: equal ones.
    """

    classes: NDArray[np.int64]
    settings: SequentialSettings = field(default_factory=SequentialSettings)
    shares: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        s, number = self.settings, len(self.classes)
        if not len(self.shares):
            self.shares = np.full(number, 1 / max(number, 1))
        if self.shares.shape != (number,) or (self.shares < 0).any() or self.shares.sum() > 1 + 1e-9:
            raise ValueError("each candidate has a share of one unit of capital")
        self._effect = [Wealth(number, s.least_effect, s.bet) for _ in SIDES]
        self._nothing = [Wealth(number, -s.margin, s.bet) for _ in SIDES]

    def add(self, candidate: int, removal: Values, transplant: Values) -> None:
        """Effects beyond the controls on images that were not used for this candidate before; each in [−1, 1]."""
        for side, values in enumerate((removal, transplant)):
            x = np.asarray(values, np.float64)
            self._effect[side].add(candidate, x)
            self._nothing[side].add(candidate, -x)

    @property
    def e_values(self) -> NDArray[np.float64]:
        """(K,): against "one of the effects is at most `least_effect`"."""
        return np.exp(np.minimum(_LARGEST, np.minimum(*(wealth.log for wealth in self._effect))))

    @property
    def accounts(self) -> NDArray[np.float64]:
        """(K,): the share of each candidate times its e-value."""
        return self.shares * self.e_values

    @property
    def side_values(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(K,) of removal and of transplant: against "this effect is at most `least_effect`"."""
        first, second = (np.exp(np.minimum(_LARGEST, wealth.log)) for wealth in self._effect)
        return first, second

    @property
    def e_nothing(self) -> NDArray[np.float64]:
        """(K,): against "both effects are at least `margin`"."""
        first, second = (wealth.log for wealth in self._nothing)
        return 0.5 * (np.exp(np.minimum(first, _LARGEST)) + np.exp(np.minimum(second, _LARGEST)))

    def settled(self) -> tuple[Settled, ...]:
        """What is known of each candidate now."""
        confirmed = e_bh(self.accounts, self.settings.level)
        nothing = self.e_nothing >= 1 / self.settings.level
        return tuple(
            Settled.CONFIRMED if yes else Settled.NOTHING if no else Settled.OPEN
            for yes, no in zip(confirmed, nothing, strict=True)
        )

    def open_classes(self) -> NDArray[np.int64]:
        """The classes of which a candidate is not settled, ascending: only these need more images."""
        is_open = np.array([state is Settled.OPEN for state in self.settled()], bool)
        return np.unique(self.classes[is_open])

    def left_over(self) -> float:
        """The capital that candidates which are settled as "nothing there" leave to new ones.

        At most the share of each: the account of one with an effect may have grown, and belongs to no other.
        """
        nothing = np.array([state is Settled.NOTHING for state in self.settled()], bool)
        return float(np.minimum(self.accounts, self.shares)[nothing].sum())


def beyond_controls(effects: Effects) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a confirmation measured as bets: (n,) of removal and (m,) of transplant, each image less its controls' mean.

    In [−1, 1], since the probability of the untouched image cancels.
    """
    removal, transplant = (
        own - np.nanmean(controls, axis=1) if len(own) else np.zeros(0)
        for own, controls in (
            (effects.removal, effects.removal_controls),
            (effects.transplant, effects.transplant_controls),
        )
    )
    return removal, transplant


def shares_with_new(shares: Sequence[float], left: float, number: int) -> NDArray[np.float64]:
    """The shares of the candidates that go on, and of `number` new ones, which divide what is `left` equally."""
    return np.array([*shares, *(left / number for _ in range(number))], np.float64)


def e_bh(accounts: NDArray[np.floating], level: float) -> NDArray[np.bool_]:
    """Which hypotheses e-BH rejects: the k of the largest accounts, for the largest k with a_(k) ≥ 1 / (k · level).

    accounts (K,): shares times e-values, however dependent. The false discovery rate is at most `level`.
    """
    number = len(accounts)
    order = np.argsort(-accounts, kind="stable")
    enough = accounts[order] * np.arange(1, number + 1) * level >= 1
    rejected = np.zeros(number, bool)
    if enough.any():
        rejected[order[: int(np.flatnonzero(enough)[-1]) + 1]] = True
    return rejected


def adjusted(accounts: NDArray[np.floating]) -> NDArray[np.float64]:
    """The smallest level at which e-BH rejects each hypothesis, at most 1: (K,), as q-values are for p-values."""
    number = len(accounts)
    order = np.argsort(-accounts, kind="stable")
    needed = np.minimum(1.0, 1 / (np.arange(1, number + 1) * np.maximum(accounts[order], 1e-300)))
    out = np.ones(number)
    out[order] = np.minimum.accumulate(needed[::-1])[::-1]
    return out


def mean_bound(values: Values, level: float, bet: float = SequentialSettings.bet) -> float:
    """A lower bound of the mean of values in [−1, 1] that holds whenever one stops, to .02; −.9 where none is shown.

    The hypotheses "the mean is at most m" are rejected in turn; the bound is the last of them.
    """
    bound = -0.9
    for m in np.arange(-0.9, 0.99, 0.02).tolist():
        wealth = Wealth(1, m, bet)
        wealth.add(0, values)
        if wealth.log[0] < -np.log(level):
            break
        bound = m
    return bound


def next_images(
    classes: NDArray[np.integer],
    order: NDArray[np.integer],
    used: NDArray[np.bool_],
    wanted: Sequence[int] | NDArray[np.integer],
    number: int,
) -> NDArray[np.intp]:
    """The next instalment: of each wanted class the `number` unused images that come first, ascending.

    classes (N,): by label. order (N,): a keyed hash of each image, so that the sample grows in one order that nobody
    chose. Fewer where a class has no more.
    """
    chosen = []
    for k in wanted:
        mine = np.flatnonzero((classes == k) & ~used)
        chosen.append(mine[np.argsort(order[mine], kind="stable")[:number]])
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.intp)
