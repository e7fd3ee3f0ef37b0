"""Findings across runs."""

from dataclasses import replace

from gfi.audit.findings import Finding, History, compare, of_property
from gfi.audit.places import around
from gfi.audit.properties import PropertyCandidate
from gfi.audit.verdicts import Verdict

MARK = Finding("carton", "place", Verdict.REPEATED_MARK, around(0.15, 0.15, 0.2), seen=20, images=50)


def test_a_finding_is_known_again_where_its_place_moved_a_little_and_its_verdict_did_not_grow() -> None:
    again = replace(MARK, place=around(0.18, 0.14, 0.2), seen=21)
    assert [f.history for f in compare([MARK], [again])] == [History.KNOWN]
    assert [f.history for f in compare([MARK], [replace(again, class_name="box")])] == [
        History.NEW,
        History.GONE,
    ]


def test_the_identity_does_not_depend_on_verdict_or_numbers() -> None:
    assert replace(MARK, verdict=Verdict.SUSPECTED, p=0.4, seen=3).id == MARK.id
    assert replace(MARK, place=around(0.8, 0.8, 0.2)).id != MARK.id


def test_a_dismissed_finding_stays_dismissed_unless_it_grew() -> None:
    dismissed = replace(MARK, dismissed="the shelf label is wanted")
    assert compare([dismissed], [MARK])[0].dismissed == "the shelf label is wanted"
    grown = compare([dismissed], [replace(MARK, seen=40)])[0]
    assert (grown.history, grown.dismissed) == (History.GROWN, "")


def test_a_suspicion_that_is_confirmed_grew() -> None:
    before = replace(MARK, verdict=Verdict.SUSPECTED)
    assert compare([before], [MARK])[0].history is History.GROWN


def test_what_was_gone_is_not_reported_gone_again() -> None:
    gone = compare([MARK], [])
    assert [f.history for f in gone] == [History.GONE]
    assert compare(gone, []) == []


def test_a_property_is_never_more_than_suspected() -> None:
    finding = of_property(PropertyCandidate(3, "sharpness", 1, 0, 9, 1e-9, 1e-8), "carton", 50)
    assert finding.verdict is Verdict.SUSPECTED
    assert not finding.is_shortcut
