"""What is read of a job for its audit."""

from types import SimpleNamespace
from typing import Any, Never

import pytest

from gfi.jobs.audits import reading
from gfi.jobs.audits.reading import Reading, chunks
from gfi.store.errors import Transient


def test_a_part_behind_a_short_outage_is_read_again_and_not_left_out_as_damaged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bucket refused one request and answered the next, so a whole shard was missing from the audit."""

    def away(_: str) -> Never:
        raise Transient("the store is not answering")

    monkeypatch.setattr(reading.queries, "iterate_columns", lambda *_: [[(0, 0, "ok", "part", 0)]])
    monkeypatch.setattr(reading, "PartCache", lambda *_: SimpleNamespace(part=away))
    bucket: Any = SimpleNamespace(head=lambda _: None)
    job: Any = SimpleNamespace(id="j", model=None, config=SimpleNamespace(each_label=False))
    counted = Reading()
    unused: Any = None
    with pytest.raises(Transient):
        list(chunks(unused, bucket, job, unused, counted))
    assert counted.damaged == 0
