"""An audit until settled of drawn shapes, from the submission to its end: its steps, as workers do them."""

import pytest

from gfi.cli.register_model import register
from gfi.domain.states import AuditState, JobState
from gfi.jobs.audits import request
from gfi.jobs.audits.request import SettlingRequest, submit_until_settled
from gfi.jobs.submit import Invalid, request_from
from gfi.jobs.task_run import Interrupted
from gfi.samples import planted
from gfi.store import ledger, queries
from gfi.store.database import Database, upgrade
from gfi.store.rebuild import rebuild
from tests.service.workers.planted_job import MOON, draw_masks
from tests.service.workers.test_audit_confirm import confirmed, screened
from workers import audit_settle
from workers.services import WorkerServices

PER_CLASS = 72


def test_a_planted_mark_is_settled_on_a_part_of_the_dataset(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        request.secrets, "token_hex", lambda size: "0" * 2 * size
    )  # the same order in each run
    database = services.database
    manifest = planted.write(services.settings.dataset_roots[0] / "shapes", PER_CLASS)
    register(database, services.settings, str(planted.MODEL))
    asked = request_from(dataset=f"manifest:{manifest}", model="demo-shapes", owner="ada")
    wanted = SettlingRequest(("moon",), first=26)
    with pytest.raises(Invalid, match="all masks would be of one class"):
        submit_until_settled(database, services.settings, asked.model_copy(update={"target": 3}), wanted)
    made, created = submit_until_settled(database, services.settings, asked, wanted)
    assert created
    assert submit_until_settled(database, services.settings, asked, wanted) == (made, False)
    job = queries.get_audit(database, made).job_id

    def state() -> tuple[AuditState, JobState]:
        return queries.get_audit(database, made).state, queries.get_job(database, job).state

    # The first sample: 26 images of each class, on which the candidates are fixed.
    assert screened(services) == ""
    assert state() == (AuditState.EXPLAINING, JobState.RUNNING)
    assert queries.get_job(database, job).total == 260
    draw_masks(services, job, PER_CLASS)
    assert ledger.finish_jobs(database) == []
    assert state() == (AuditState.SCREENING, JobState.RUNNING)
    assert "images to test" in screened(services)

    # Later images test them, an instalment a task; a worker that stops loses no candidate that it has tested.
    one, begun = audit_settle._one, list[object]()

    def stopped(*given: object) -> object:
        begun.append(given[0])
        if len(begun) == 2:
            raise Interrupted
        return one(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(audit_settle, "_one", stopped)
    said: list[str] = []
    lost: dict[str, bytes] = {}
    while state()[0] is AuditState.EXPLAINING:
        draw_masks(services, job, PER_CLASS)
        assert ledger.finish_jobs(database) == []
        assert state() == (AuditState.CONFIRMING, JobState.RUNNING)
        said.append(confirmed(services))
        if said[-1] == "interrupted":
            said.append(confirmed(services))
        if not lost:  # a part of the first instalment; what was measured on it stands
            at = f"parts/{job}/{job}-r2-"
            lost = {one.key: services.bucket.get(one.key) for one in services.bucket.list(at)}
            services.bucket.delete_many(list(lost)[:1])
    assert "interrupted" in said
    assert begun[0] is not begun[2]  # the candidate that was tested before is not tested again
    audit = queries.get_audit(database, made)
    assert audit.state is AuditState.DONE
    assert audit.summary is not None
    settled = audit.summary["settled"]
    assert settled["open"] == 0
    assert settled["explained"] < settled["listed"] == 720
    assert settled["sentence"] in audit.summary["notes"]
    assert audit.summary["answers"] > 0
    assert audit.summary["damaged_parts"] == 1
    for at, data in lost.items():
        services.bucket.put(at, data)
    first = queries.list_findings(database, made)[0]
    assert (first.verdict, first.class_index) == ("off_object_shortcut", MOON)
    assert first.record["where"] == "top left"
    assert first.record["p"] <= first.record["q"] <= 0.05
    assert len(first.record["pictures"]) == 6

    # Now the job ends, with the images that were needed, and a lost database gets all of it back.
    assert [finished.job_id for finished in ledger.finish_jobs(database)] == [job]
    assert queries.get_job(database, job).total == settled["explained"]
    screened(services)
    empty = Database(f"sqlite:///{services.settings.dataset_roots[0] / 'empty.db'}")
    upgrade(empty)
    (rebuilt,) = rebuild(empty, services.bucket)
    assert (rebuilt.error, rebuilt.missing) == (None, 0)
    assert queries.get_audit(empty, made).summary == audit.summary
    assert queries.get_job(empty, job).total == settled["explained"]
    empty.dispose()
