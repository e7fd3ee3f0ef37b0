"""A control worker reserves a slot for short tasks, and one owner cannot fill the other slots."""

from gfi.domain.records import ControlClaim
from gfi.domain.states import ControlKind
from gfi.domain.tasks import INTERACTIVE
from gfi.store.ledger import Wanted
from scheduler.slots import Slots, is_long


def task(number: int, owner: str, kind: str = ControlKind.PLAN, priority: int = 0) -> ControlClaim:
    return ControlClaim(str(number), kind, None, {}, 1, "w", 1, owner=owner, priority=priority)


def test_listings_leave_a_slot_free_and_one_owners_leave_two() -> None:
    slots, seen = Slots(4), []

    def take(claim: ControlClaim | None) -> ControlClaim | None:
        def one(wanted: Wanted) -> ControlClaim | None:
            seen.append((wanted.short, list(wanted.sated)))
            return claim

        return slots.claim(one, ["plan"])

    first = task(1, "ada")
    for claim in (first, task(2, "ada"), task(3, "bob"), task(4, "bob", ControlKind.REPORT), None):
        take(claim)
    assert seen == [(False, []), (False, []), (False, ["ada"]), (True, ["ada"]), (True, ["ada"])]
    slots.release(first)
    take(None)
    assert seen[-1] == (False, [])


def test_a_listing_that_somebody_waits_for_is_not_long() -> None:
    assert is_long(task(1, "ada"))
    assert not is_long(task(1, "ada", priority=INTERACTIVE))
    assert not is_long(task(1, "ada", ControlKind.REPORT))
