"""The verdict of an audit in one phrase."""

from gfi.domain.states import AuditState
from gfi.jobs.audits.words import verdict_in_words

NOTHING = {"shortcuts": 0, "verdicts": {}, "history": {}}


def test_a_verdict_says_what_was_confirmed_and_what_changed() -> None:
    assert verdict_in_words(AuditState.DONE, NOTHING) == "no shortcut confirmed"
    done = {
        "shortcuts": 2,
        "verdicts": {"off_object_shortcut": 2, "relies_on": 1, "undecided": 3},
        "history": {"new": 1, "known": 5, "gone": 2},
        "previous": "01K",
    }
    assert verdict_in_words(AuditState.DONE, done) == (
        "2 shortcuts confirmed; 1 place that classes are recognised by; 3 undecided; "
        "since the audit before: 1 new, 2 gone"
    )
    assert verdict_in_words(AuditState.DONE, NOTHING | {"previous": "01K"}).endswith("before: nothing new")


def test_an_audit_that_is_not_done_says_its_state_and_why() -> None:
    assert verdict_in_words(AuditState.SCREENING, None) == "screening"
    assert verdict_in_words(AuditState.FAILED, None, "no mask") == "failed: no mask"
