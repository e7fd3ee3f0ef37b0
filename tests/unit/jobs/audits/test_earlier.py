"""What an audit goes on from. The whole way: `tests/service/workers/test_audit_after.py`."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gfi.audit.candidates import Candidate
from gfi.audit.confirmation import Effects
from gfi.audit.places import around
from gfi.audit.plan import Plan, Removal, Transplant
from gfi.audit.sequential import SequentialSettings, Settled
from gfi.datasets.manifest import Entry, Manifest, write
from gfi.jobs.audits.earlier import GONE, Earlier, digests_of, load_earlier, save_earlier

LEFT, RIGHT = around(0.2, 0.2, 0.2), around(0.8, 0.8, 0.2)
S = SequentialSettings()


class Files(dict[str, bytes]):
    """A bucket in memory."""

    def put(self, key: str, data: bytes, content_type: str = "") -> None:
        self[key] = data

    def get(self, key: str) -> bytes:
        return self[key]


def effects(values: list[float]) -> Effects:
    x, none = np.array(values), np.zeros((len(values), 1))
    return Effects(x, x, none, x, none, np.zeros(len(values), bool), none)


def earlier(left: float, *candidates: Candidate) -> Earlier:
    shares = tuple(0.5 / max(len(candidates), 1) for _ in candidates)
    measured = tuple((Plan(c), effects([0.5, 0.6])) for c in candidates)
    return Earlier(np.zeros(0, np.uint64), np.zeros(3, bool), "A", candidates, shares, measured, left)


def test_new_candidates_share_what_is_left_and_those_known_go_on_with_their_evidence() -> None:
    known, again = Candidate(0, "S1", LEFT, 3.0, 0.5), Candidate(0, "S4", LEFT, 5.0, 0.4)
    new = [Candidate(0, "S1", RIGHT, 2.0, 0.5), Candidate(1, "S1", LEFT, 2.0, 0.5)]
    before = earlier(0.25, known)
    candidates, untested = before.with_new([again, *new])
    assert (candidates, untested) == ((known, *new), 0)
    evidence = before.evidence(candidates, S)
    assert evidence.shares.tolist() == [0.5, 0.125, 0.125]
    assert evidence.e_values[0] > 1
    assert evidence.e_values[1:].tolist() == [1.0, 1.0]
    more = [(Plan(known), effects([0.7])), *((Plan(c), None) for c in new)]
    joint = before.joint(candidates, [more])
    assert joint[0][1] is not None
    assert joint[0][1].removal.tolist() == [0.5, 0.6, 0.7]
    assert joint[1][1] is None


def test_where_nothing_of_the_level_is_left_new_candidates_are_not_tested() -> None:
    known, new = Candidate(0, "S1", LEFT, 3.0, 0.5), Candidate(1, "S1", LEFT, 2.0, 0.5)
    assert earlier(0.0, known).with_new([new]) == ((known,), 1)
    begun = Earlier.none(3)
    assert begun.with_new([known, new]) == ((known, new), 0)
    assert begun.evidence([known, new], S).shares.tolist() == [0.5, 0.5]
    assert begun.evidence([], S).settled() == ()


def listing(path: Path, keys: list[str]) -> Manifest:
    write((Entry(row, name, 1, "v") for row, name in enumerate(keys)), path, {})
    return Manifest.open(path)


def test_images_are_told_apart_by_their_keys_on_a_listing_that_has_changed(tmp_path: Path) -> None:
    pattern = np.ones((3, 3), np.float32)
    candidate = Candidate(0, "S4", LEFT, 3.0, 0.5, pattern=pattern)
    plan = Plan(
        candidate,
        (Removal(4, LEFT, ()), Removal(7, LEFT, ()), Removal(GONE, LEFT, ())),
        (Transplant(9, 4, LEFT, (2,)),),
        seen=3,
        images=8,
    )
    bucket: Any = Files()
    audit: Any = SimpleNamespace(id="B", job_id="J", options={"until_settled": {"after": "A"}})
    digests = np.sort(digests_of(["four", "seven", "nine"]))
    measured = [(plan, effects([0.5, 0.6, 0.7]))]
    save_earlier(
        bucket, audit, [candidate], [0.5], measured, {4: "four", 7: "seven"}, digests, 0.25, nothing=2
    )
    loaded = load_earlier(bucket, audit, listing(tmp_path / "m.parquet", ["new", "nine", "four"]))
    assert loaded.used.tolist() == [False, True, True]
    assert (loaded.audit, loaded.shares, loaded.left, loaded.nothing) == ("A", (0.5,), 0.25, 2)
    assert loaded.candidates == (candidate,)
    assert loaded.candidates[0].pattern is not None
    assert np.array_equal(loaded.candidates[0].pattern, pattern)
    back, said = loaded.measured[0]
    assert back.used == (2, GONE, GONE)  # "seven" is listed no more
    assert (back.seen, back.transplants[0].source, back.transplants[0].host) == (3, 2, GONE)
    assert said is not None
    assert said.removal.tolist() == [0.5, 0.6, 0.7]
    assert loaded.evidence([candidate], S).settled() == (Settled.OPEN,)
    with pytest.raises(KeyError):
        load_earlier(Files(), audit, listing(tmp_path / "n.parquet", ["new"]))  # type: ignore[arg-type]
    begun: Any = SimpleNamespace(id="C", job_id="J", options={"until_settled": {}})
    assert load_earlier(bucket, begun, listing(tmp_path / "n.parquet", ["four"])).used.tolist() == [False]
