"""A gate's verdict as JUnit XML, which CI systems show as tests: a check is a test case.

A fail is a `failure`, an undecided check an `error`, a waived one is `skipped` with its waiver.
"""

import re
from xml.etree import ElementTree

from gfi.drift.gate_verdict import GateVerdict
from gfi.drift.verdicts import Verdict

_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(gate: GateVerdict, name: str) -> str:
    """The XML document. name: of the suite, for example the two jobs."""
    suite = ElementTree.Element("testsuite", name=_text(name), tests=str(len(gate.checks)))
    counts = {"failures": 0, "errors": 0, "skipped": 0}
    for check in gate.checks:
        case = ElementTree.SubElement(suite, "testcase", classname="gfi.gate", name=_text(check.name))
        kinds = {Verdict.FAIL: ("failure", "failures"), Verdict.UNDECIDED: ("error", "errors")}
        if check.waived:
            kind = ("skipped", "skipped")
        elif check.verdict in kinds:
            kind = kinds[check.verdict]
        else:
            continue
        counts[kind[1]] += 1
        message = check.sentence if check.waiver is None else f"{check.sentence} ({check.waiver})"
        ElementTree.SubElement(case, kind[0], message=_text(message))
    suite.attrib.update({key: str(count) for key, count in counts.items()})
    notes = ElementTree.SubElement(suite, "system-out")
    notes.text = _text("\n".join(gate.notes))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _text(value: str) -> str:
    """The text without characters that XML 1.0 does not allow."""
    return _FORBIDDEN.sub("\ufffd", value)
