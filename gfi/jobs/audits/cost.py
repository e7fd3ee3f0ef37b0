"""What an audit takes: pictures that the network answers for, and seconds on a device."""

from collections import Counter
from collections.abc import Sequence

from gfi.audit.candidates import Candidate
from gfi.audit.settings import AuditSettings
from gfi.domain import costs
from gfi.domain.recipes import Recipe
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.queries import Job

STEP_PASSES = 3.0
"""Forward passes that take as long as a step of the optimiser."""


def rate_of(database: Database, job: Job) -> float | None:
    """Images a second of the job's work, on the kind of device that the job is frozen to.

    Where none was measured there, or the job is not frozen, the lowest of all kinds; None where there is none at all.
    """
    work = job.config.work_digest()
    known = queries.measured_rate(database, work, job.device_kind)
    return known or queries.measured_rate(database, work)


def answers(candidates: Sequence[Candidate], images: int, settings: AuditSettings) -> int:
    """Pictures that the network answers for, at most, where each candidate is tested on `images` images."""
    pairs = 2 * (1 + settings.controls)
    one = images * ((1 + pairs) + (2 + settings.controls))
    beside = images * (2 + pairs)  # where another pattern of the class is removed too
    patterns = Counter(c.class_index for c in candidates if c.pattern is not None)
    return sum(one + beside * (patterns[c.class_index] > (c.pattern is not None)) for c in candidates)


def seconds(answered: int, rate: float | None, steps: float, recipe: Recipe) -> float | None:
    """Seconds on a device for so many answers; None where no rate of the job's work was measured.

    rate: images that are explained a second. steps: of the optimiser for an image, on average; 0 for a method without
    one, whose forward and backward passes are counted instead.
    """
    if not rate:
        return None
    return answered / (rate * (steps * STEP_PASSES or costs.passes(recipe)))
