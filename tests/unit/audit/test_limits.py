"""Detection limits hold for marks that were injected with other draws."""

from dataclasses import replace

import numpy as np

from gfi.audit.bounds import share_upper_bound
from gfi.audit.limits import SHARES, Measured, confirmed, limit
from gfi.audit.local_peaks import PeakCounts
from gfi.audit.settings import AuditSettings

S = AuditSettings()


def found(images: int = 50, classes: int = 10) -> Measured:
    draw = np.random.default_rng(0)
    counts = PeakCounts(classes, 7)
    counts.images += images
    counts.counts += draw.binomial(images, 0.03, counts.counts.shape)
    z = counts.z()
    assert z is not None
    return Measured(counts, z, draw.normal(0, 0.03, (300, 19)), draw.normal(0, 0.03, (300, 19)), 20, 8)


def test_at_the_limit_other_marks_are_confirmed_with_probability_nine_tenths() -> None:
    m = found()
    share = limit(m, 3, 50, S)
    assert share is not None
    draw = np.random.default_rng(77)
    hits = sum(confirmed(m, 3, 50, share, 0.3, draw, S) for _ in range(150))
    assert share_upper_bound(hits, 150) >= 0.9


def test_more_images_lower_the_limit_and_too_few_have_none() -> None:
    limits = [limit(found(n), 3, n, S) for n in (25, 200)]
    assert limits[1] is not None
    assert limits[0] is None or SHARES.index(limits[1]) < SHARES.index(limits[0])
    assert limit(found(25), 3, 4, S) is None


def test_an_effect_below_the_threshold_is_not_promised() -> None:
    assert limit(found(), 3, 50, S, effect=0.05) is None


def test_a_mark_among_many_stronger_places_is_not_promised() -> None:
    m = found()
    crowded = replace(m, z=np.full_like(m.z, 1e6))
    assert limit(crowded, 3, 50, S) is None
