"""The order in which a listing is explained. The whole way: `tests/service/workers/test_audit_settle.py`."""

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gfi.audit.candidates import Candidate
from gfi.audit.explained import Explained
from gfi.audit.places import around
from gfi.audit.plan import STATED, Plan, Removal, Transplant
from gfi.audit.sequential import Evidence, SequentialSettings
from gfi.audit.settings import AuditSettings
from gfi.domain.presets import PRESETS
from gfi.jobs.audits import cost, settling
from gfi.jobs.audits.earlier import Earlier
from gfi.jobs.audits.files import Kept, renamed, settings_json
from gfi.jobs.audits.settling import MOST_UNLABELLED, Order, hosts_of, images_of_instalment

CLASSES = np.array([0, 1, 2, -1] * 30)
ORDER = Order(CLASSES, np.random.default_rng(3).permutation(120).astype(np.uint64))


def counted(rows: np.ndarray) -> dict[int, int]:
    assert len(set(rows.tolist())) == len(rows)
    return {int(k): int(n) for k, n in zip(*np.unique(CLASSES[rows], return_counts=True), strict=True)}


def test_the_sample_has_images_of_each_class_and_of_those_without_one() -> None:
    first = ORDER.first(5, classes=3)
    assert counted(first) == {-1: 15, 0: 5, 1: 5, 2: 5}
    assert set(ORDER.first(3, 3)) <= set(first)  # it grows in one order
    assert counted(ORDER.first(40, 3)) == {-1: 30, 0: 30, 1: 30, 2: 30}
    used = np.zeros(120, bool)
    used[first] = True
    later = ORDER.first(5, 3, used)  # of an audit that goes on from another
    assert counted(later) == counted(first)
    assert not used[later].any()


def test_an_instalment_is_of_the_open_classes_and_of_others_as_hosts() -> None:
    used = np.zeros(120, bool)
    used[ORDER.first(5, 3)] = True
    rows = ORDER.instalment(used, [1], 8, beside=7)
    assert not used[rows].any()
    assert counted(rows)[1] == 8
    assert len(rows) == 15
    assert counted(ORDER.instalment(used, [1], 8, beside=0)) == {1: 8}
    # A class that no label names is looked for among the images without one.
    assert counted(ORDER.instalment(used, [1, 7], 8, beside=0, unlabelled=12)) == {-1: 12, 1: 8}
    used[CLASSES == 1] = True
    assert not len(ORDER.instalment(used, [1], 8, beside=0))


def test_so_many_images_without_a_label_are_explained_that_the_rarest_class_is_among_them() -> None:
    rows = np.flatnonzero(CLASSES < 0)[:20]
    explained = Kept(rows, Explained(np.repeat([7, 8], [15, 5]), np.zeros((20, 7, 7)), np.ones(20, bool)))
    assert ORDER.unlabelled([1, 7], 8, explained) == 11  # 15 of 20 are of class 7
    assert ORDER.unlabelled([7, 8], 8, explained) == 32
    assert ORDER.unlabelled([9], 1000, explained) == MOST_UNLABELLED  # it was seen among labelled images only
    assert ORDER.unlabelled([1, 2], 8, explained) == 0


def test_instalments_grow() -> None:
    sizes = [images_of_instalment(SequentialSettings(), n) for n in range(1, 9)]
    assert (sizes[0], sizes[-1]) == (20, 95)


def test_a_plan_is_stored_by_rows() -> None:
    place = around(0.5, 0.5, 0.2)
    plan = Plan(
        Candidate(0, "S1", place, 1.0, 0.5),
        (Removal(0, place, ()),),
        (Transplant(1, 0, place, (2,)), Transplant(2, STATED, place, (1,))),
    )
    rows = [10, 20, 30]
    stored = renamed(plan, rows.__getitem__)
    assert (stored.removals[0].image, stored.transplants[0].host, stored.transplants[0].controls) == (
        10,
        20,
        (30,),
    )
    assert stored.transplants[1].source == STATED
    measured = [[(stored, None)]]
    assert hosts_of(measured, 0) == {20, 30}


RATES: dict[str | None, float] = {"cpu": 2.0, None: 2.0}


def decided(
    monkeypatch: pytest.MonkeyPatch,
    order: Order,
    candidates: list[Candidate],
    rates: Mapping[str | None, float] = RATES,
    **limits: float,
) -> settling.Decision:
    """What follows after a first sample of two images a class, where nothing was tested yet.

    rates: by kind of device, and the lowest; the job ran on a `cpu`. spent: seconds that it had it.
    """
    used = order.first(2, 3)
    job: Any = SimpleNamespace(
        id="J",
        owner="ada",
        device_kind="cpu",
        total=len(used),
        config=SimpleNamespace(work_digest=lambda: "d", recipe=PRESETS["tuned"]),
    )
    plan = {"settling": {"device_s": limits.get("before", 0.0)}}
    audit: Any = SimpleNamespace(secret="x", settings=settings_json(AuditSettings(controls=3)), plan=plan)
    data = Explained(np.repeat([7, 8], [15, 5]), np.zeros((20, 7, 7), np.float32), np.ones(20, bool))
    data = replace(data, also=np.array([[3, 7], [3, 8]]))  # one image has two labels
    kept = Kept(np.flatnonzero(order.classes < 0)[:20], data)
    screened: Any = SimpleNamespace(candidates=candidates, kept=kept, facts={"steps": 20.0})
    most = limits.get("seconds", 1e9)
    monkeypatch.setattr(settling.Order, "of", lambda *_: order)
    monkeypatch.setattr(settling, "first_sample", lambda *_: used)
    monkeypatch.setattr(cost.queries, "measured_rate", lambda db, work, kind=None: rates.get(kind))
    monkeypatch.setattr(settling.queries, "device_seconds", lambda db, job: limits.get("spent", 0.0))
    monkeypatch.setattr(settling.ledger, "most_images", lambda *_: limits.get("images"))
    monkeypatch.setattr(settling.ledger, "refused_seconds", lambda db, o, s: "too long" if s > most else None)
    evidence = Evidence(np.array([c.class_index for c in candidates]))
    manifest: Any = SimpleNamespace(count=len(order.classes))
    nothing = settling.Instalments.none(screened, Earlier.none(len(order.classes)))
    return settling.decide(None, audit, job, manifest, screened, evidence, nothing)  # type: ignore[arg-type]


def test_the_next_images_are_within_the_limits_of_their_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = [Candidate(1, "S1", None, 1.0, 0.5)]
    free = decided(monkeypatch, ORDER, candidates, before=7.0)
    assert counted(np.array(free.rows))[1] == 20
    # Each image is explained at 2 a second, and the candidate asks for 20 · (9 + 5) answers of 120 a second.
    tests_s = 20 * (9 + 5) / (2 * 20 * 3)
    assert free.plan["settling"]["estimate_s"] == tests_s
    assert free.plan["settling"]["device_s"] == pytest.approx(7.0 + tests_s + len(free.rows) / 2)
    late = decided(monkeypatch, ORDER, candidates, before=7.0, seconds=10.0)
    assert (late.rows, late.stopped) == ([], "too long")
    assert (
        decided(monkeypatch, ORDER, candidates, images=20).stopped == "its owner may explain 20 images a job"
    )


def test_the_rate_is_that_of_the_device_that_the_job_runs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def takes(**rates: float) -> float:
        lowest = {None: min(rates.values())}
        found = decided(monkeypatch, ORDER, [Candidate(1, "S1", None, 1.0, 0.5)], lowest | rates)
        return float(found.plan["settling"]["estimate_s"])

    assert takes(cpu=20.0, other=2.0) == pytest.approx(takes(other=2.0) / 10)


def test_without_a_rate_the_time_that_was_taken_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = [Candidate(1, "S1", None, 1.0, 0.5)]
    assert decided(monkeypatch, ORDER, candidates, {}, spent=200.0, seconds=100.0).stopped == "too long"
    going_on = decided(monkeypatch, ORDER, candidates, {}, spent=200.0, seconds=300.0)
    assert going_on.rows
    assert going_on.plan["settling"]["device_s"] == 200.0


def test_a_class_without_images_costs_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = CLASSES.copy()
    third = np.flatnonzero(CLASSES == 2)
    classes[third[np.argsort(ORDER.order[third])][2:]] = 0  # the first sample has the only two
    order, one = Order(classes, ORDER.order), Candidate(1, "S1", None, 1.0, 0.5)
    found = decided(monkeypatch, order, [one, Candidate(2, "S1", None, 1.0, 0.5)])
    assert not (classes[found.rows] == 2).any()
    alone = decided(monkeypatch, order, [one])
    assert found.plan["settling"]["estimate_s"] == alone.plan["settling"]["estimate_s"]
    # Of the other class 28 images are left for 20, and those are tested.
    fewer = np.where(np.isin(np.arange(120), np.flatnonzero(classes == 1)[10:]), 0, classes)
    short = decided(monkeypatch, Order(fewer, ORDER.order), [one])
    assert short.plan["settling"]["estimate_s"] == pytest.approx(
        alone.plan["settling"]["estimate_s"] * 8 / 20
    )


def test_a_class_is_explained_no_further_where_no_image_is_left_to_paste_into(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    two = Order(np.array([0, 1] * 60), ORDER.order)  # controls are crops of third classes: there are none
    alone = decided(monkeypatch, two, [Candidate(1, "S1", None, 1.0, 0.5)])
    assert (alone.rows, alone.stopped, alone.without_hosts) == ([], None, {0})


def test_a_class_that_no_label_names_is_looked_for_among_images_without_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    none = Order(np.full(120, -1), ORDER.order)
    found = decided(monkeypatch, none, [Candidate(7, "S1", None, 1.0, 0.5)])
    assert len(found.rows) >= 27  # 15 of 20 were of this class
