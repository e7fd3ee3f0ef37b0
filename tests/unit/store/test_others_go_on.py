"""One row that fails does not end the round of the others."""

import pytest

from gfi.store.errors import NotFound, Transient
from gfi.store.others_go_on import others_go_on


def test_a_failure_of_one_row_leaves_the_others_their_turn() -> None:
    failures = {1: NotFound("the job was deleted"), 3: KeyError("a bug")}
    done = []
    for row in range(5):
        with others_go_on("not done", row=row):
            if row in failures:
                raise failures[row]
            done.append(row)
    assert done == [0, 2, 4]


def test_an_outage_ends_the_round() -> None:
    with pytest.raises(Transient), others_go_on("not done"):
        raise Transient("the database restarts")
