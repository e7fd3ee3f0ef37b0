"""JUnit XML of a gate."""

from xml.etree import ElementTree

from gfi.drift.gate_verdict import Check, GateVerdict
from gfi.drift.junit import junit_xml
from gfi.drift.verdicts import Verdict


def test_each_check_is_a_test_case() -> None:
    checks = (
        Check("pooled", Verdict.PASS, "fine"),
        Check("class <cat>\x00", Verdict.FAIL, 'moved "far"'),
        Check("class dog", Verdict.UNDECIDED, "too few"),
        Check("limit flips", Verdict.FAIL, "many", waiver="waiver of anna until 2027-01-01", waived=True),
    )
    text = junit_xml(GateVerdict(Verdict.FAIL, checks, ("a note",)), "A, B")
    suite = ElementTree.fromstring(text)
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }
    kinds = [[child.tag for child in case] for case in suite.iter("testcase")]
    assert kinds == [[], ["failure"], ["error"], ["skipped"]]
    skipped = suite.find(".//skipped")
    assert skipped is not None
    assert skipped.get("message") == "many (waiver of anna until 2027-01-01)"
    assert suite.findtext("system-out") == "a note"
