"""Kinds of tasks."""

from gfi.domain.states import ControlKind
from gfi.domain.tasks import INTERACTIVE, KINDS, priority_in


def test_every_name_is_a_kind_that_says_what_it_needs() -> None:
    assert set(KINDS) == set(ControlKind)
    for name, kind in KINDS.items():
        assert kind.name == name
        assert (kind.queue == "control") == (kind.needs == "none")


def test_the_tasks_of_interactive_jobs_overtake_whatever_the_priority_of_others() -> None:
    assert priority_in("interactive", -100) > priority_in("explain", 100)
    assert priority_in("interactive", 0) == INTERACTIVE + priority_in("explain", 0)
