"""A class over the runs of a schedule."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gfi.jobs import class_history
from gfi.jobs.class_summary import ClassSummary, Estimate, share
from gfi.store.errors import NotFound

DATABASE, BUCKET = cast(Any, None), cast(Any, None)


def firing(number: int, state: str = "succeeded", comparison: str | None = None) -> dict[str, Any]:
    followed = {"compare": {"comparison": comparison}} if comparison else None
    return {"job_id": f"j{number}", "state": state, "at": float(number), "followed": followed}


def compared(_: object, __: object, task: str) -> tuple[Any, Any]:
    """A comparison with a floor, one without, and one whose job was deleted."""
    if task == "gone":
        raise NotFound(task)
    moves = {"n": 40, "moved": 10, "images": 44, "flips": 4}
    threshold = 0.8 if task == "with floor" else None
    made = {"comparison": {"classes": {"1": moves}, "threshold": threshold}}
    return SimpleNamespace(result={"verdict": "fail"}), made


@pytest.fixture(autouse=True)
def _a_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    firings = [
        firing(5, comparison="with floor"),
        firing(4, "failed"),
        {"job_id": None, "state": None, "at": 3.5, "followed": None},
        firing(3, comparison="without"),
        firing(2, comparison="gone"),
        firing(1),
    ]
    dog = ClassSummary(
        "dog", None, 1, 50, 48, share(40, 50), share(48, 50), {"area": Estimate(0.2, 48, None, None)}
    )
    cat = ClassSummary(None, 0, 0, 9, 9, None, share(9, 9), {})
    monkeypatch.setattr(class_history.queries, "list_firings", lambda *_: firings)
    monkeypatch.setattr(
        class_history.queries,
        "get_job",
        lambda _, job: SimpleNamespace(
            id=job, class_names=["cat", "dog"], config=SimpleNamespace(decides_each_label=False)
        ),
    )
    monkeypatch.setattr(class_history.queries, "job_sums", lambda _, job, cells: job)
    monkeypatch.setattr(class_history, "class_index", lambda job: None)
    monkeypatch.setattr(
        class_history, "class_summaries", lambda job, _, each_label: [dog, cat] if job != "j1" else [dog]
    )
    monkeypatch.setattr(class_history, "comparison_of", compared)


def test_the_runs_with_results_are_told_oldest_first_and_what_moved_is_known_with_a_floor() -> None:
    runs = class_history.class_history(DATABASE, BUCKET, "s", "dog")
    assert [run.job for run in runs] == ["j1", "j2", "j3", "j5"]
    assert {(run.images, run.accuracy, run.means["area"]) for run in runs} == {(50, 0.8, 0.2)}
    assert [(run.pairs, run.moved, run.flips, run.verdict) for run in runs] == [
        (None, None, None, None),
        (None, None, None, None),
        (40, None, 4, "fail"),
        (40, 10, 4, "fail"),
    ]
    assert [run.job for run in class_history.class_history(DATABASE, BUCKET, "s", "dog", 2)] == ["j3", "j5"]


def test_a_class_without_label_has_a_name_or_an_index_and_may_be_missing_in_a_run() -> None:
    for name in ("cat", "0"):
        runs = class_history.class_history(DATABASE, BUCKET, "s", name)
        assert [run.images for run in runs] == [0, 9, 9, 9]
    with pytest.raises(NotFound, match="an image of class 'unicorn'"):
        class_history.class_history(DATABASE, BUCKET, "s", "unicorn")
