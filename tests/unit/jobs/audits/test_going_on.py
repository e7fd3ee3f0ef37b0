"""What keeps an audit from going on from an earlier one. Its evidence: `tests/service/workers/test_audit_after.py`."""

from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest

from gfi.audit.sequential import SequentialSettings
from gfi.audit.settings import AuditSettings
from gfi.jobs.audits.files import settings_json
from gfi.jobs.audits.going_on import _differences


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        ({}, []),
        ({"seed": 5, "training_images": 100, "training_share": 0.1}, []),
        ({"match": 0.6}, ["was tested with another match"]),
        ({"match": None}, []),  # an earlier version, which had no such constant
        ({"added_later": 1}, []),
    ],
)
def test_constants_are_compared_that_change_the_evidence(stored: dict[str, Any], says: list[str]) -> None:
    values = {k: v for k, v in (settings_json(AuditSettings()) | stored).items() if v is not None}
    sequential = SequentialSettings()
    earlier: Any = SimpleNamespace(
        settings=values, options={"until_settled": asdict(sequential), "classes": []}
    )
    names = ("method_digest", "layers", "target", "foil")
    config: Any = SimpleNamespace(
        dataset=SimpleNamespace(spec="/d"), model=SimpleNamespace(digest="m"), **dict.fromkeys(names)
    )
    found = _differences(earlier, config, config, settings_json(AuditSettings()), [], sequential)
    assert list(found) == says
