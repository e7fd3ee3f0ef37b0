"""The numbers of the comparisons of a nightly gate in a year, which say at which level each is made.

    gates/{digest}/{year}/{look}      an empty object for each comparison

They are counted, not taken from the date: several comparisons of one day would each spend the level of that day. The
digest is of the gate's text and of the schedule or person that it judges for. The objects outlive the jobs that were
compared, so that deleted comparisons stay spent.
"""

from collections.abc import Sequence

from gfi.domain.digests import digest
from gfi.store.objects import Bucket, Exists


def next_look(bucket: Bucket, gate: str, judged_for: Sequence[str], year: int) -> int:
    """Take the next number, from 1; no other comparison gets it. gate: the text of the file. judged_for: a schedule, or
    the owner of comparisons that no schedule asks for."""
    prefix = f"gates/{digest([gate, *judged_for])[:32]}/{year}/"
    look = 1 + max((int(entry.key.removeprefix(prefix)) for entry in bucket.list(prefix)), default=0)
    while True:
        try:
            bucket.put(f"{prefix}{look:07d}", b"", if_none_match=True)
            return look
        except Exists:
            look += 1
