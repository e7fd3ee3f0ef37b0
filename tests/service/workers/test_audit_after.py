"""Audits until settled that go on from each other, over drawn shapes: as workers do them, from submission to end."""

import json

import numpy as np
import pytest

from gfi.cli.register_model import register
from gfi.domain.states import AuditState
from gfi.jobs.audits import request
from gfi.jobs.audits.earlier import load_earlier
from gfi.jobs.audits.files import key
from gfi.jobs.audits.request import SettlingRequest, submit_until_settled
from gfi.jobs.submit import Invalid, JobRequest, request_from
from gfi.samples import planted
from gfi.store import ledger, queries
from gfi.store.database import Database, upgrade
from gfi.store.queries import Audit
from gfi.store.rebuild import rebuild
from tests.service.workers.planted_job import MOON, draw_masks
from tests.service.workers.test_audit_confirm import confirmed, screened
from workers.audit_settle import Uses
from workers.services import WorkerServices

PER_CLASS = 96


def listed(services: WorkerServices, per_class: int) -> JobRequest:
    """A job over the first so many images of each class of one dataset that grows."""
    folder = services.settings.dataset_roots[0] / "shapes"
    manifest, whole = folder / "shapes.jsonl", folder / "whole.jsonl"
    if not whole.exists():
        planted.write(folder, PER_CLASS).rename(whole)
    lines = whole.read_text().splitlines(keepends=True)
    manifest.write_text("".join(lines[: 10 * per_class]))
    return request_from(dataset=f"manifest:{manifest}", model="demo-shapes", owner="ada")


def ended(services: WorkerServices, made: str) -> Audit:
    """Do the tasks of an audit until it ends, and its job."""
    job = queries.get_audit(services.database, made).job_id
    screened(services)
    while True:
        if queries.get_audit(services.database, made).state is AuditState.EXPLAINING:
            draw_masks(services, job, PER_CLASS)
        ledger.finish_jobs(services.database)
        screened(services)
        audit = queries.get_audit(services.database, made)
        if audit.state is AuditState.CONFIRMING:
            confirmed(services)
            audit = queries.get_audit(services.database, made)
        if audit.ended:
            ledger.finish_jobs(services.database)
            screened(services)
            return audit


def removed_from(services: WorkerServices, audit: Audit) -> set[str]:
    """The images that an audit removed something from."""
    assert audit.plan is not None
    job = queries.get_job(services.database, audit.job_id)
    rows = {
        removal[0]
        for name in audit.plan["stored"]["effects"]
        for one in json.loads(services.bucket.get(key(job.id, audit.id, name)))["measured"]
        for removal in one["plan"]["removals"]
    }
    return {entry.key for entry in services.manifest(job.manifest_key or "").pick(sorted(rows))}


def test_a_mark_that_earlier_audits_left_open_is_confirmed_on_new_images(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = services.database
    monkeypatch.setattr(request.secrets, "token_hex", lambda size: "0" * 2 * size)
    small = listed(services, 34)
    register(database, services.settings, str(planted.MODEL))

    # An audit whose first sample is the whole dataset fixes candidates, and tests none.
    made, _ = submit_until_settled(database, services.settings, small, SettlingRequest(("moon",), first=34))
    going_on = SettlingRequest(("moon",), first=26, after=made)
    with pytest.raises(Invalid, match=f"after: audit {made} is explaining; wait for its end"):
        submit_until_settled(database, services.settings, small, going_on)
    first = ended(services, made)
    assert first.state is AuditState.DONE
    for differs, says in (
        (SettlingRequest(("moon",), margin=0.3, after=made), "has margin 0.2, not 0.3"),
        (SettlingRequest((), after=made), "tests candidates of other classes"),
    ):
        with pytest.raises(Invalid, match=says):
            submit_until_settled(database, services.settings, small, differs)
    other = small.model_copy(update={"preset": "paper"})
    with pytest.raises(Invalid, match="has masks of another recipe, tuned"):
        submit_until_settled(database, services.settings, other, going_on)

    # Without a new image there is nothing to go on with.
    nothing, _ = submit_until_settled(database, services.settings, small, going_on)
    screened(services)
    failed = queries.get_audit(database, nothing)
    assert failed.state is AuditState.FAILED
    assert "used every image of the dataset" in str(failed.reason)
    grown = listed(services, 52)

    # Eighteen new images of each class are the first sample: it screens, and tests what goes on.
    second_id, _ = submit_until_settled(database, services.settings, grown, going_on)
    ledger.delete_job(database, failed.job_id)
    screened(services)
    deleted = ledger.delete_job(database, first.job_id)  # what it goes on from is its own now
    services.bucket.delete_many(
        [one.key for prefix in deleted.prefixes for one in services.bucket.list(prefix)]
    )
    second = ended(services, second_id)
    assert second.summary is not None
    told = second.summary["settled"]
    assert (told["after"]["audit"], told["explained"], told["instalments"]) == (made, 180, 1)
    assert told["after"]["candidates"] > 0
    assert told["after"]["sentence"] in second.summary["notes"]
    assert "and 340 that earlier audits used" in told["sentence"]
    assert second.summary["shortcuts"] == 0, "these are too few to confirm anything"
    assert queries.list_findings(database, second_id)[0].verdict == "suspected"
    before = removed_from(services, second)
    assert before

    # With more images the mark is confirmed, on those of both audits, and none of them tested it twice.
    third_id, _ = submit_until_settled(
        database,
        services.settings,
        listed(services, PER_CLASS),
        SettlingRequest(("moon",), first=26, after=second_id),
    )
    third = ended(services, third_id)
    assert third.summary is not None
    now = removed_from(services, third)
    assert now
    assert not now & before
    found = queries.list_findings(database, third_id)[0]
    assert (found.verdict, found.class_index) == ("off_object_shortcut", MOON)
    assert found.record["q"] <= 0.05
    assert found.record["used"] > len(found.record["rows"]) > 0, "other jobs explained some of its images"
    assert any(one["row"] is None for one in found.record["pictures"])
    manifest = services.manifest(queries.get_job(database, third.job_id).manifest_key or "")
    assert int(load_earlier(services.bucket, third, manifest).used.sum()) == 340 + 180

    # A fourth: what is settled stays so, and costs no test. A lost database gets all of it back.
    fourth_id, _ = submit_until_settled(
        database,
        services.settings,
        listed(services, PER_CLASS),
        SettlingRequest(("moon",), first=20, after=third_id),
    )
    fourth = ended(services, fourth_id)
    assert fourth.summary is not None
    again = queries.list_findings(database, fourth_id)[0]
    assert (again.id, again.verdict, again.history) == (found.id, "off_object_shortcut", "known")
    empty = Database(f"sqlite:///{services.settings.dataset_roots[0] / 'empty.db'}")
    upgrade(empty)
    assert {(one.error, one.missing) for one in rebuild(empty, services.bucket)} == {(None, 0)}
    for audit in (third, fourth):
        assert queries.get_audit(empty, audit.id).summary == audit.summary
        assert queries.get_audit(empty, audit.id).options == audit.options
    empty.dispose()


def test_the_first_sample_tests_the_candidates_that_go_on_and_not_those_that_it_fixed() -> None:
    rows, first = np.array([1, 2, 4, 5, 9]), np.array([1, 2])
    once, twice = Uses([[4, 9]], 1, first), Uses([[4], [9]], 1, first)
    assert rows[once.fresh(0, rows)].tolist() == [1, 2, 4, 9]
    assert rows[once.fresh(1, rows)].tolist() == [4, 9]
    assert rows[twice.fresh(0, rows)].tolist() == [9]
    assert rows[once.screened(1, rows)].tolist() == [1, 2]
    assert not once.screened(0, rows).any()
