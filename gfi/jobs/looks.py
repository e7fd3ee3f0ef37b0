"""The numbers of the comparisons of a nightly gate in a year ("looks"), which say at which level each is made.

    gates/{digest}/{year}/{look}                what was compared: each number is given to one comparison
    gates/{digest}/{year}/{look}-{digest}       the digest of it, so that a listing finds the number of a comparison

They are counted, not taken from the date: several comparisons of one day would each spend the level of that day. The
first digest is of the gate's text and of the schedule or person that it judges for. A comparison that is made again has
its number again, also where a worker died after taking it. The objects outlive the jobs that were compared, so that
deleted comparisons stay spent.
"""

import json
from collections.abc import Sequence
from itertools import count

from gfi.domain.digests import canonical, digest
from gfi.store.errors import Conflict
from gfi.store.objects import Bucket, Exists

Compared = Sequence[Sequence[object]]
"""What is compared: [id, generation, finished_at] of jobs a and b, then of the floor's other jobs."""


def take_look(
    bucket: Bucket,
    gate: str,
    judged_for: Sequence[str],
    year: int,
    compared: Compared,
    wanted: int | None = None,
) -> int:
    """The number of a comparison: the one that it has, or else the first free one, from 1. No other comparison gets it.

    gate: the text of the file. judged_for: a schedule, or the owner of comparisons that no schedule asks for. wanted:
    a number to take instead; Conflict where another comparison has it, or this one another.
    """
    prefix = f"gates/{digest([gate, *judged_for])[:32]}/{year}/"
    what, mark = canonical(compared).encode(), digest(compared)[:32]
    taken: set[int] = set()
    marked: dict[str, int] = {}
    for entry in bucket.list(prefix):
        number, _, of = entry.key.removeprefix(prefix).partition("-")
        if of:
            marked[of] = int(number)
        else:
            taken.add(int(number))
    if mark in marked:
        own: int | None = marked[mark]
    else:  # or a worker died between taking the number and marking it
        unmarked = sorted(taken - set(marked.values()))
        own = next((look for look in unmarked if bucket.get(_key(prefix, look)) == what), None)
    if own is None:
        own = _claim(bucket, prefix, what, taken, wanted)
    elif wanted not in (None, own):
        raise Conflict(f"this comparison was counted as look {own} of {year}; leave out --look")
    if mark not in marked:
        bucket.put(f"{_key(prefix, own)}-{mark}", b"")
    return own


def _claim(bucket: Bucket, prefix: str, what: bytes, taken: set[int], wanted: int | None) -> int:
    free = (look for look in count(1) if look not in taken)
    while True:
        look = wanted if wanted is not None else next(free)
        try:
            bucket.put(_key(prefix, look), what, if_none_match=True)
        except Exists:
            holder = bucket.get(_key(prefix, look))
            if holder == what:  # another process makes the same comparison
                return look
            if wanted is not None:
                raise Conflict(
                    f"look {look} was the comparison of {_jobs(holder)}; leave out --look, then it is {next(free)}"
                ) from None
        else:
            return look


def _key(prefix: str, look: int) -> str:
    return f"{prefix}{look:07d}"


def _jobs(holder: bytes) -> str:
    """The jobs of a comparison, from what its object holds; the first objects were empty."""
    if not holder:
        return "other jobs"
    (a, *_), (b, *_), *_ = json.loads(holder)
    return f"{a} and {b}"
