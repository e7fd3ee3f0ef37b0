"""A comparison as a task: requested, made by a control worker, read from the bucket."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gfi.cli.servers import Server
from gfi.domain.records import ControlClaim
from gfi.domain.states import ControlKind, ShardState
from gfi.drift.errors import DriftError
from gfi.jobs.comparison_task import compared_json, comparison_of, comparison_payload, request_comparison
from gfi.jobs.delete import delete_job
from gfi.jobs.submit import Invalid
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict, NotFound
from gfi.store.objects import Bucket
from gfi.store.result_query import ResultQuery, filters_of
from scheduler.services import ControlServices
from scheduler.tasks import perform
from tests.service.jobs.finished import finished_job
from tests.service.jobs.test_compare import results
from tests.service.store.ledger_actors import plan
from tests.service.store.test_objects import settings_for

GATE = '[moved]\npooled = false\n[floor]\nlevel = "same_profile"\nmin_runs = 2\n[nightly]'


@pytest.fixture
def services(database: Database, s3: Server) -> Iterator[ControlServices]:
    settings = settings_for(s3.url, s3_bucket="comparison-task-tests")
    bucket = Bucket.from_settings(settings)
    bucket.ensure()
    yield ControlServices(settings, database, bucket)
    bucket.delete_many([entry.key for entry in bucket.list("")])


def comparing(database: Database) -> ControlClaim:
    """The next comparison; reports before it are done."""
    while True:
        task = ledger.claim_control(database, "planner", 60.0)
        assert task is not None
        if task.kind is ControlKind.COMPARE:
            return task
        assert ledger.finish_control(database, task)


def test_a_comparison_is_made_once_kept_and_deleted_with_its_second_job(services: ControlServices) -> None:
    database, bucket = services.database, services.bucket
    a, b, other = (
        finished_job(database, bucket, results(seed, corner={1: corner}), weights=w)
        for seed, w, corner in ((1, "a", 0.0), (2, "b", 1.0), (3, "c", 0.0))
    )
    asked = {"floor_jobs": [other], "gate": GATE, "owner": "ann"}
    task, created = request_comparison(database, a, b, **asked)
    assert created
    assert request_comparison(database, a, b, **asked) == (task, False)
    assert comparison_of(database, bucket, task)[1] is None
    assert perform(services, comparing(database), threading.Event()) == "compared"
    found, made = comparison_of(database, bucket, task)
    assert made is not None
    assert (found.state, found.job_id) == (ShardState.DONE, b)
    assert found.result is not None
    assert found.result["verdict"] == made["gate"]["verdict"]
    assert found.result["pairs"] == made["comparison"]["pairs"] == 120
    assert made["sentences"]
    assert made["gate"]["notes"][0].startswith("comparison 1 of 365 planned this year")
    assert made["junit"].startswith("<")
    # Made again, by whomever and for the same owner, it is the same look; another is refused.
    again: dict[str, Any] = {"floor_jobs": [other], "gate": GATE, "judged_for": ("owner", "ann")}
    assert [made["look"], compared_json(database, bucket, a[:20], b, **again)["look"]] == [1, 1]
    with pytest.raises(Conflict, match="was counted as look 1"):
        compared_json(database, bucket, a, b, look=2, **again)
    assert len(made["differing"]["b"]) == made["comparison"]["moved"] > 50
    keys = []
    for job in (a, b):
        filters = filters_of(database, queries.get_job(database, job), ResultQuery.of(f"comparison={task}"))
        listed = queries.list_results(database, job, filters=filters, limit=200)
        keys.append({result.key for result in listed})
    assert keys[0] == keys[1]
    assert len(keys[0]) == made["comparison"]["moved"]
    with pytest.raises(ValueError, match="no comparison of job"):
        filters_of(database, queries.get_job(database, other), ResultQuery.of(f"comparison={task}"))
    delete_job(database, bucket, b, actor="test")
    with pytest.raises(NotFound):
        comparison_of(database, bucket, task)
    assert not [entry.key for entry in bucket.list(f"jobs/{b}/")]


def test_what_cannot_be_compared_is_refused_or_fails_with_the_reason(services: ControlServices) -> None:
    database, bucket = services.database, services.bucket
    a = finished_job(database, bucket, results(1))
    with pytest.raises(NotFound):
        request_comparison(database, a, "nothing", owner="")
    with pytest.raises(DriftError, match="nearest is 'moved'"):
        request_comparison(database, a, a, gate="[movd]", owner="")
    for gate, reason in ((None, "there is no gate"), ("[limits]", "gate.toml has no section")):
        with pytest.raises(Invalid, match=f"look 3 means nothing: {reason}"):
            request_comparison(database, a, a, gate=gate, look=3, owner="")
    strangers = finished_job(database, bucket, results(2, version="v2"))
    task, _ = request_comparison(database, a, strangers, owner="")
    perform(services, comparing(database), threading.Event())
    found, made = comparison_of(database, bucket, task)
    assert (found.state, made) == (ShardState.FAILED, None)
    assert "no two masks" in str(found.reason)

    with pytest.raises(Invalid, match="wait for its end"):
        request_comparison(database, a, plan(database), owner="")


def test_the_jobs_that_a_gate_names_are_held_as_those_of_its_floor(services: ControlServices) -> None:
    database, bucket = services.database, services.bucket
    a, b, other, third = (finished_job(database, bucket, results(0, images=2)) for _ in range(4))
    gate = f"[floor]\njobs = ['{other[:25]}']"
    asked = comparison_payload(database, a, b, gate=gate)
    assert asked["floor"] == [other]
    assert comparison_payload(database, a, b, floor_jobs=[third], gate=gate)["floor"] == [third]
