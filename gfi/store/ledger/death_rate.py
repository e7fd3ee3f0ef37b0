"""Whether deaths in a row over one piece of work stand out from the deaths that all work meets.

Where workers are killed at random, any image is now and then being explained in several deaths in a row. How often an
attempt ends in a death for other reasons is known: it is the share of deaths among the other attempts of the same time.
A piece of work is given up only where as many deaths in a row would be less likely than ACCIDENT at that share.
"""

FEWEST_DEATHS = 3
"""However quiet the fleet is."""
ACCIDENT = 1e-6
# Half a death in three attempts is assumed to begin with: without any other attempt, eight deaths in a row stand out.
# In a simulation of a single worker that dies in nine attempts of ten, one image of 16,000 was given up wrongly; with
# several workers none was.
_ASSUMED_DEATHS, _ASSUMED_ATTEMPTS = 0.5, 3.0
LONGEST_PAUSE_S = 60.0


def stand_out(deaths: int, other_deaths: int, other_successes: int) -> bool:
    """Whether `deaths` attempts in a row that ended in a death are no accident."""
    share = (other_deaths + _ASSUMED_DEATHS) / (other_deaths + other_successes + _ASSUMED_ATTEMPTS)
    return deaths >= FEWEST_DEATHS and share**deaths <= ACCIDENT


def pause_s(deaths: int) -> float:
    """Seconds before the next attempt: a second more after each death, once it is more than a few."""
    return float(min(LONGEST_PAUSE_S, max(0, deaths - FEWEST_DEATHS + 1)))
