"""The figures of scrolling, from a trace made by hand."""

import pytest

from benchmarks.scrolling import of_trace


def test_frames_and_long_tasks_of_the_page_are_read_from_a_trace() -> None:
    names = [
        {"name": "thread_name", "tid": tid, "args": {"name": name}}
        for tid, name in ((1, "CrRendererMain"), (2, "Compositor"))
    ]
    drawn = [{"name": "DrawFrame", "tid": 2, "ts": at} for at in (0, 40_000, 16_000)]
    tasks = [
        {"name": "RunTask", "tid": tid, "dur": dur} for tid, dur in ((1, 70_000), (1, 9000), (2, 90_000))
    ]
    frames, long = of_trace([*names, *drawn, *tasks])
    assert frames == pytest.approx([0.016, 0.024])
    assert long == pytest.approx([0.07])
    assert of_trace([*names, *drawn, tasks[1]])[1] == pytest.approx([0.009])
    with pytest.raises(ValueError, match="no frames"):
        of_trace(names)
