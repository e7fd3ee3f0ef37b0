"""Decides whether the deaths of workers on one piece of work exceed the death rate of all other work.

If workers are killed at random, several workers in a row may by chance die while they explain the same image. The share
of deaths among all other attempts of the same time tells how often an attempt ends in a death for other reasons. A
piece of work is given up only where, at this share, so many deaths in a row are less likely than ACCIDENT.
"""

FEWEST_DEATHS = 3
"""Fewer deaths are never significant, even if no other worker dies."""
ACCIDENT = 1e-6
# Prior: half a death in three attempts. So without any other attempt, eight deaths in a row are significant. In a
# simulation of a single worker that dies in nine of ten attempts, one image of 16,000 was given up wrongly; with
# several workers none was.
_ASSUMED_DEATHS, _ASSUMED_ATTEMPTS = 0.5, 3.0
LONGEST_PAUSE_S = 60.0


def stand_out(deaths: int, other_deaths: int, other_successes: int) -> bool:
    """Whether a run of `deaths` attempts that all ended in a death is too unlikely to be an accident."""
    share = (other_deaths + _ASSUMED_DEATHS) / (other_deaths + other_successes + _ASSUMED_ATTEMPTS)
    return deaths >= FEWEST_DEATHS and share**deaths <= ACCIDENT


def pause_s(deaths: int) -> float:
    """Seconds before the next attempt: 0 after the first deaths, then a second more after each death."""
    return float(min(LONGEST_PAUSE_S, max(0, deaths - FEWEST_DEATHS + 1)))
