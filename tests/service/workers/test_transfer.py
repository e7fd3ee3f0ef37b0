"""Transfer between jobs whose masks are drawn: one of them looks at the wrong place."""

import numpy as np
import pytest

from gfi.domain.states import ControlKind, ShardState
from gfi.jobs.submit import Invalid
from gfi.jobs.transfer import request_transfer, transfer_task
from gfi.store import ledger, queries
from gfi.store.errors import Conflict, NotFound
from tests.service.workers.planted_job import planted_job
from workers.handlers import HANDLERS, perform_task
from workers.services import WorkerServices


def test_a_model_answers_worse_when_it_is_shown_what_another_looked_at(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, again = (planted_job(services, 3) for _ in range(2))
    wrong = planted_job(services, 3, grid=np.eye(16, dtype=np.float32)[::-1].copy() * 0.1)
    asked = {"floor_jobs": [wrong], "images": 12, "owner": "ann"}
    with pytest.raises(Conflict, match="no live worker"):
        request_transfer(services.database, right, again, **asked)  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="between 1 and"):
        request_transfer(services.database, right, again, images=0, owner="ann")
    with pytest.raises(Invalid, match=f"job {again} is compared with the floor; leave it out of the floor"):
        request_transfer(services.database, right, again, floor_jobs=[wrong, again], owner="ann")
    monkeypatch.setattr(queries, "worker_takes", lambda *_: True)
    task = request_transfer(services.database, right, again, **asked)  # type: ignore[arg-type]
    claim = ledger.claim_work(services.database, "worker", "explain", 60, kinds=sorted(HANDLERS))
    assert claim is not None
    assert claim.kind == ControlKind.TRANSFER
    assert perform_task(services, claim) == "12 images"  # type: ignore[arg-type]
    done = transfer_task(services.database, task)
    assert done.state is ShardState.DONE
    assert done.result is not None
    # The same masks and the same weights: not a little, but exactly nothing is lost.
    assert (done.result["compared"]["mean"], done.result["compared"]["n"]) == (0.0, 12)
    means = {(one["first"], one["second"]): one["mean"] for one in done.result["floor"]}
    assert set(means) == {(right, wrong), (wrong, right)}
    assert means[wrong, right] < -0.5 < 0.5 < means[right, wrong]
    assert done.result["sentences"][1].startswith(
        "between the floor's runs, 2 pairs of them, that change is -"
    )
    other = next(one for one in queries.list_tasks(services.database) if one.id != task)
    with pytest.raises(NotFound, match="measures no transfer"):
        transfer_task(services.database, other.id)
