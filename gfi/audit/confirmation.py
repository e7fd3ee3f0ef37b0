"""The execution of a plan: what the network answers when a place is removed, and when its crop is pasted elsewhere.

    removal      Δ_i = p_c(x_i) − max over two fills of p_c(x_i without the place); where another repeated pattern of
                 the class is in the image, the larger one of this and of the same with that pattern removed from x_i
    transplant   Δ_j = p_c(host_j with the crop) − p_c(host_j);   flips: the host is now taken for c

An image is taken for the most probable class; with thresholds, for each class whose probability reaches its own. The
same numbers are taken at the controls. `predict` maps uint8 images (n, H, W, 3) to probabilities (n, K); it is
called with at most `batch` images, so a worker can run it at its fixed batch shape.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gfi.audit.explained import Photographs
from gfi.audit.fills import FILLS, pasted, pasted_patch, removed
from gfi.audit.pattern_search import sigma_of, step_of
from gfi.audit.plan import STATED, Plan
from gfi.audit.same_pixels import SamePixels, compare, high_passed, windows
from gfi.audit.settings import AuditSettings

Predict = Callable[[NDArray[np.uint8]], NDArray[np.floating]]
Thresholds = Sequence[float] | None
"""Of each class (K,): from which probability on a network that decides about each class for itself takes an image for
it. None: an image is of one class, the most probable."""


@dataclass(frozen=True)
class Effects:
    """What was measured for one candidate. (n,) and (n, controls); NaN where a control is missing.

    before: p_c of the images removed from. flips and control_flips: whether a host became c.
    """

    before: NDArray[np.float64]
    removal: NDArray[np.float64]
    removal_controls: NDArray[np.float64]
    transplant: NDArray[np.float64]
    transplant_controls: NDArray[np.float64]
    flips: NDArray[np.bool_]
    control_flips: NDArray[np.float64]
    same_pixels: SamePixels | None = None


def confirm(
    plan: Plan,
    photographs: Photographs,
    predict: Predict,
    settings: AuditSettings,
    batch: int = 64,
    thresholds: Thresholds = None,
) -> Effects:
    """Carry out a plan. Deterministic: it draws nothing.

    Raises ValueError when `predict` returns something else than a probability of each class for each image.
    """
    rows = plan.rows
    shown = dict(zip(rows.tolist(), photographs(rows), strict=True)) if len(rows) else {}
    k = plan.candidate.class_index

    def variants() -> Iterable[NDArray[np.uint8]]:
        for r in plan.removals:
            yield shown[r.image]
            for place in (r.place, *r.controls):
                yield from removed(shown[r.image], place)
            if r.beside is not None:
                without = removed(shown[r.image], r.beside)
                yield from without
                for place in (r.place, *r.controls):
                    yield from (fill(one, place) for fill, one in zip(FILLS, without, strict=True))
        for t in plan.transplants:
            yield shown[t.host]
            for source in (t.source, *t.controls):
                if source == STATED and plan.candidate.patch is not None:
                    yield pasted_patch(shown[t.host], plan.candidate.patch, t.place)
                else:
                    yield pasted(shown[t.host], shown[source], t.place)

    answers = _answers(variants(), predict, batch, k, thresholds)
    at = 0
    before, removal = [], []
    for r in plan.removals:
        n = 1 + 2 * (1 + len(r.controls))
        p = answers[at : at + n, 0]
        at += n
        before.append(p[0])
        effect = p[0] - p[1:].reshape(-1, 2).max(1)
        if r.beside is not None:
            p = answers[at : at + n + 1, 0].reshape(-1, 2)
            at += n + 1
            effect = np.maximum(effect, (p[0] - p[1:]).min(1))
        removal.append(effect)
    transplant, flips = [], []
    for t in plan.transplants:
        n = 2 + len(t.controls)
        p, taken = answers[at : at + n, 0], answers[at : at + n, 1] > 0
        at += n
        transplant.append(p[1:] - p[0])
        flips.append(taken[1:] & ~taken[0])
    removal_all, transplant_all = _rectangle(removal), _rectangle(transplant)
    flips_all = _rectangle([f.astype(float) for f in flips])
    return Effects(
        np.array(before),
        removal_all[:, 0],
        removal_all[:, 1:],
        transplant_all[:, 0],
        transplant_all[:, 1:],
        flips_all[:, 0] > 0,
        flips_all[:, 1:],
        _same_pixels(plan, shown, settings),
    )


def _answers(
    images: Iterable[NDArray[np.uint8]], predict: Predict, batch: int, k: int, thresholds: Thresholds
) -> NDArray[np.float64]:
    """(n, 2): the probability of class k, and whether the image is taken for it."""
    out: list[NDArray[np.float64]] = [np.zeros((0, 2))]
    waiting: list[NDArray[np.uint8]] = []

    def flush() -> None:
        p = np.asarray(predict(np.stack(waiting)), dtype=np.float64)
        if p.ndim != 2 or len(p) != len(waiting) or p.shape[1] <= k or not np.isfinite(p).all():
            raise ValueError(
                f"predict returned {p.shape} for {len(waiting)} images; it should be finite probabilities "
                f"(images, classes) with more than {k} classes"
            )
        taken = p.argmax(1) == k if thresholds is None else p[:, k] >= thresholds[k]
        out.append(np.stack([p[:, k], taken.astype(float)], 1))
        waiting.clear()

    for image in images:
        waiting.append(image)
        if len(waiting) == batch:
            flush()
    if waiting:
        flush()
    return np.concatenate(out)


def _rectangle(rows: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Rows of different lengths as one array, missing values NaN; (0, 1) without rows."""
    width = max((len(r) for r in rows), default=1)
    out = np.full((len(rows), width), np.nan)
    for line, row in zip(out, rows, strict=True):
        line[: len(row)] = row
    return out


def _same_pixels(
    plan: Plan, shown: dict[int, NDArray[np.uint8]], settings: AuditSettings
) -> SamePixels | None:
    """S4 on the confirmation half, at the places used."""
    if len(plan.removals) < 2:
        return None
    width = next(iter(shown.values())).shape[1]
    margin = max(1, round(0.05 * width))

    def crops(rows: tuple[int, ...], places: list) -> NDArray[np.float32]:
        filtered = high_passed(np.stack([shown[i] for i in rows]), sigma_of(width))
        return windows(filtered, places, margin)

    own = crops(plan.used, [r.place for r in plan.removals])
    foreign = crops(plan.foreign, list(plan.foreign_places)) if plan.foreign else own[:0]
    return compare(own, foreign, margin, settings.match, step_of(width))
