"""The question of a job. Its audit: `tests/service/workers/test_audit_confirm.py`."""

from types import SimpleNamespace
from typing import Any

import pytest

from gfi.jobs.first_page import day, question


@pytest.mark.parametrize(
    ("config", "leads"),
    [
        ({"target": "predicted"}, "the class predicted?"),
        ({"target": "predicted", "top": 3}, "the 3 most probable classes?"),
        ({"target": "auto"}, "its label, or where that is no class of the model to the class predicted?"),
        ({"target": 1, "foil": 0}, "“moon” rather than “disc”?"),
        ({"target": 7}, "class 7?"),
    ],
)
def test_the_question_names_the_model_and_the_class(config: dict[str, Any], leads: str) -> None:
    given = SimpleNamespace(**{"top": 1, "foil": None, "model": SimpleNamespace(reference="net"), **config})
    job: Any = SimpleNamespace(config=given, class_names=["disc, plate", "moon"])
    assert question(job) == f"Which part of each image leads net to {leads}"


def test_days_are_in_utc() -> None:
    assert day(0.0) == "01 January 1970, 00:00 UTC"
    assert day(None) == ""
