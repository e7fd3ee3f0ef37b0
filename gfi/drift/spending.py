"""The significance level of each comparison of a nightly gate (alpha spending).

A gate that tests every night at α = .05 raises about 18 false alarms a year. Here α is that of the whole year: of N
planned comparisons the k-th is made at

    α_k = .9·α / N                      k ≤ N
    α_k = .1·α / (j·(j+1))              j = k − N ≥ 1, for unplanned comparisons

The sum over all k is at most α, so by the union bound the probability of any false fail in a year is at most α,
whatever the dependence between nights. A new year begins with k = 1.
"""

from dataclasses import dataclass

_RESERVE = 0.1


@dataclass(frozen=True)
class Spending:
    """alpha: the probability of a false fail in a year, in (0, 1). looks: comparisons planned in a year."""

    alpha: float = 0.05
    looks: int = 365

    def level(self, look: int) -> float:
        """The α of the `look`-th comparison of the year, counted from 1. ValueError below 1."""
        if look < 1:
            raise ValueError(f"comparisons are counted from 1, not {look}")
        if look <= self.looks:
            return (1 - _RESERVE) * self.alpha / self.looks
        beyond = look - self.looks
        return _RESERVE * self.alpha / (beyond * (beyond + 1))

    def sentence(self, look: int) -> str:
        """The sentence about the level in the output of the `look`-th comparison."""
        counted = f"comparison {look} of {self.looks} planned this year"
        if look > self.looks:
            counted = f"comparison {look} this year, beyond the {self.looks} of comparisons_per_year,"
        return (
            f"{counted} is made at α = {self.level(look):.2g} in all its tests together, so that a false fail in the"
            f" whole year has a probability of at most {self.alpha:g}"
        )
