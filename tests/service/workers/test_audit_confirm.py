"""An audit of drawn shapes, from the request to findings: its tasks, as a control worker and a worker do them."""

import io
import json
import shutil
import threading
from dataclasses import replace

import pytest
from PIL import Image

from gfi.audit.settings import AuditSettings
from gfi.domain.states import AuditState, ControlKind
from gfi.domain.statuses import ImageStatus
from gfi.jobs.audits import request
from gfi.jobs.audits.files import key
from gfi.jobs.audits.pictures import picture_key
from gfi.jobs.audits.request import AuditRequest
from gfi.jobs.delete import delete_job
from gfi.jobs.report import write_report
from gfi.jobs.submit import Invalid
from gfi.jobs.task_run import Interrupted
from gfi.samples import planted
from gfi.store import ledger, queries
from gfi.store.database import Database, upgrade
from gfi.store.errors import Conflict, NotFound
from gfi.store.queries import Audit, AuditFinding
from gfi.store.rebuild import rebuild
from gfi.store.result_query import ResultQuery, filters_of
from scheduler import tasks
from scheduler.services import ControlServices
from tests.service.workers.conftest import PHOTOGRAPHS, explain, submit
from tests.service.workers.planted_job import MOON, PER_CLASS, labels_job, planted_job, training_job
from workers import audit_confirm
from workers.handlers import HANDLERS, perform_task
from workers.services import WorkerServices


@pytest.fixture(autouse=True)
def _few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    few = replace(AuditSettings(), most_images=12, training_share=0.05)
    monkeypatch.setattr(request, "AuditSettings", lambda: few)
    monkeypatch.setattr(
        request.secrets, "token_hex", lambda size: "0" * 2 * size
    )  # the same halves in each run


def requested(services: WorkerServices, job: str, **wanted: object) -> str:
    found = queries.get_job(services.database, job)
    asked = AuditRequest(**wanted)  # type: ignore[arg-type]
    return request.request_audit(services.database, services.bucket, found, asked, "ada")[0]


def screened(services: WorkerServices) -> str:
    """Do the control tasks that wait; returns the outcome of the screening."""
    planner = ControlServices(services.settings, services.database, services.bucket)
    outcome = ""
    while (claim := ledger.claim_control(services.database, "control", 60)) is not None:
        said = tasks.perform(planner, claim, threading.Event())
        outcome = said if claim.kind == ControlKind.SCREEN else outcome
    return outcome


def confirmed(services: WorkerServices) -> str:
    """Do the next task that needs a network."""
    claim = ledger.claim_work(services.database, "worker", "explain", 60, kinds=sorted(HANDLERS))
    assert claim is not None
    return perform_task(services, claim)  # type: ignore[arg-type]


def audit(services: WorkerServices, audit_id: str) -> Audit:
    return queries.get_audit(services.database, audit_id)


def test_a_planted_mark_is_found_told_kept_and_deleted(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = planted_job(services)
    made = requested(services, job, classes=("moon",))
    assert requested(services, job, classes=("moon",)) == made  # the same one is under way
    assert audit(services, made).state is AuditState.SCREENING
    assert "candidates" in screened(services)
    waiting = audit(services, made)
    assert waiting.state is AuditState.CONFIRMING
    assert waiting.plan is not None
    assert 0 < waiting.plan["candidates"] <= 4
    assert waiting.plan["answers"] >= waiting.plan["candidates"] * 12 * (41 + 21)

    # Its worker stops after the first candidate; the next attempt goes on with the second.
    tested = audit_confirm.tested
    begun = []

    def stopped(*given: object) -> object:
        begun.append(given[0])
        if len(begun) == 2:
            raise Interrupted
        return tested(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(audit_confirm, "tested", stopped)
    if waiting.plan["candidates"] > 1:
        assert confirmed(services) == "interrupted"
        progress = audit(services, made).progress
        assert progress is not None
        assert progress["done"] == 1
    assert "findings" in confirmed(services)
    monkeypatch.setattr(audit_confirm, "tested", tested)

    done = audit(services, made)
    assert done.state is AuditState.DONE
    assert done.summary is not None
    assert done.summary["shortcuts"] == 1
    assert done.summary["answers"] > 0
    assert done.summary["measured"] == done.summary["images"]
    found = queries.list_findings(services.database, made)
    first = found[0]
    assert (first.verdict, first.class_index) == ("off_object_shortcut", MOON)
    assert first.record["where"] == "top left"
    assert 'A shortcut: "moon" relies on the top left of the image, outside every box' in first.sentence
    assert len(first.record["pictures"]) == 6
    picture = services.bucket.get(picture_key(done, first.id, first.record, "1.jpg"))
    assert picture[:2] == b"\xff\xd8"
    crop = picture_key(done, first.id, first.record, "crop.png")
    assert services.bucket.get(crop)[:4] == b"\x89PNG"
    assert {limit["class_name"] for limit in done.summary["limits"]}.isdisjoint({"moon"})

    # The report begins with it.
    folder = services.settings.dataset_roots[0] / "report"
    page = write_report(services.database, services.settings, services.bucket, job, folder, 4).read_text()
    assert '<h2 id="answer">1 shortcut confirmed' in page
    assert page.index("A shortcut:") < page.index('id="list"')
    assert len(list((folder / "images").glob(f"audit-{first.id}-*"))) == 7

    # A person sets it aside; the next audit knows it, and it stays aside.
    request.decide(
        services.database, services.bucket, made, first.id, {"dismissed": "a scanner's mark"}, "ada"
    )
    again = requested(services, job, classes=("moon",))
    screened(services)
    confirmed(services)
    (known,) = [f for f in queries.list_findings(services.database, again) if f.id == first.id]
    assert (known.history, known.dismissed) == ("known", "a scanner's mark")
    assert known.record["before"] == "off object shortcut, seen in 10 of 25 images"
    assert known.record["view"] == f"/jobs/{job}/gallery?finding={again}:{first.id}"
    summary = audit(services, again).summary
    assert summary is not None
    assert (summary["shortcuts"], summary["data_changed"], summary["model_changed"]) == (0, False, False)

    # A lost database gets both audits back, with what was decided.
    tasks_left = screened(services)
    assert tasks_left == ""
    empty = Database(f"sqlite:///{services.settings.dataset_roots[0] / 'empty.db'}")
    upgrade(empty)
    assert [one.job_id for one in rebuild(empty, services.bucket)] == [job]
    restored = queries.get_audit(empty, made)
    assert (restored.state, restored.summary) == (AuditState.DONE, done.summary)
    assert {f.id: (f.verdict, f.dismissed, f.record) for f in queries.list_findings(empty, made)} == {
        f.id: (f.verdict, f.dismissed, f.record) for f in queries.list_findings(services.database, made)
    }
    empty.dispose()

    delete_job(services.database, services.bucket, job, actor="ada")
    assert not list(services.bucket.list(f"audits/{job}/"))
    assert not queries.list_findings(services.database, made)


def test_a_dataset_without_labels_is_audited_and_what_labels_would_tell_is_said(
    services: WorkerServices,
) -> None:
    job = planted_job(services, labelled=False)
    made = requested(services, job, classes=("moon",))
    assert "candidates" in screened(services)
    assert "findings" in confirmed(services)
    first = queries.list_findings(services.database, made)[0]
    assert (first.verdict, first.class_index) == ("repeated_mark_shortcut", MOON)
    assert first.record["labelled_otherwise"] == 0
    done = audit(services, made)
    assert done.summary is not None
    assert done.summary["boxed"] == 0
    (told,) = [note for note in done.summary["notes"] if "has a label" in note]
    assert "looks like a shortcut of that class" in told


def test_each_label_of_an_image_is_audited(services: WorkerServices) -> None:
    """The moons are labelled "pair" and "moon": their second label is found, its hosts have no moon, and the first is
    not blamed for the mark in the same images."""
    job = queries.get_job(services.database, labels_job(services))
    made = requested(services, job.id, classes=("moon", "pair"))
    screened(services)
    assert "findings" in confirmed(services)
    done = audit(services, made)
    assert done.summary is not None
    moons = PER_CLASS
    assert done.summary["images"] == done.summary["measured"] == 11 * moons
    assert (done.summary["each_label"], done.summary["shortcuts"]) == (True, 1)
    found = queries.list_findings(services.database, made)
    first = found[0]
    assert (first.verdict, first.class_index) == ("off_object_shortcut", MOON)
    assert first.record["labelled_otherwise"] == 0
    assert {f.verdict for f in found if f.class_name == "pair"} <= {"suspected", "relies_on", "undecided"}

    # The gallery shows each of its images once, with the label that was tested.
    query = ResultQuery(finding=f"{made}:{first.id}")
    shown = queries.list_results(services.database, job.id, filters=filters_of(services.database, job, query))
    assert [r.row for r in shown] == sorted(first.record["rows"])
    assert {(r.label, r.target_rank) for r in shown} == {("moon", 1)}
    other = ResultQuery(finding=f"{made}:{first.id}", target=0)
    assert not queries.list_results(
        services.database, job.id, filters=filters_of(services.database, job, other)
    )

    # What cannot be read any more is left out with all its labels.
    for file in sorted((services.settings.dataset_roots[0] / "shapes" / "photographs").glob("moon-*"))[:12]:
        file.write_bytes(b"no picture")
    again = requested(services, job.id, classes=("moon",), seed=1)
    screened(services)
    confirmed(services)
    notes = " ".join(audit(services, again).summary["notes"])  # type: ignore[index]
    assert "changed" in notes


def test_a_mark_that_no_training_image_has_misleads_and_is_no_shortcut(services: WorkerServices) -> None:
    job = planted_job(services)
    clean = training_job(services, planted.Plant())
    marked = training_job(services, planted.DEMO)
    unlabelled = training_job(services, planted.DEMO, labelled=False)
    other = submit(services)
    ledger.cancel_job(services.database, other)
    mark = io.BytesIO()
    Image.new("RGB", (12, 12)).save(mark, "PNG")
    for wrong, says in (
        ({"training": job}, "is over the audited images"),
        ({"training": unlabelled}, "has a label that is a class of the model"),
        ({"training": other}, "has other class names than that of job"),
        (
            {"training": clean, "classes": ("moon",), "patch": mark.getvalue()},
            "a stated mark is never called a shortcut",
        ),
    ):
        with pytest.raises(Invalid, match=says):
            requested(services, job, **wrong)
    with pytest.raises(NotFound, match="no job nosuch"):
        requested(services, job, training="nosuch")

    def first_of(training: str) -> tuple[AuditFinding, list[str]]:
        made = requested(services, job, classes=("moon",), training=training)
        screened(services)
        assert "findings" in confirmed(services)
        (first,) = [f for f in queries.list_findings(services.database, made) if "training" in f.record]
        assert first.record["command"] == f"gfi audit {job} --class moon --training {training}"
        return first, audit(services, made).summary["notes"]  # type: ignore[index]

    # One of its hundred moons cannot be read: it is left out and counted.
    folder = services.settings.dataset_roots[0] / "training-none" / "photographs"
    next(iter(sorted(folder.glob("moon-*")))).write_bytes(b"no picture")
    first, notes = first_of(clean)
    assert first.verdict == "relies_on"
    searched = first.record["training"]
    assert (searched["found"], searched["images"], searched["listed"]) == (0, 99, 100)
    assert "None of 99 training images of the class that were searched has these pixels" in first.sentence
    assert "it misleads the model, and these images did not teach it." in first.sentence
    assert any("Training images that could not be used were left out: 1 changed." in note for note in notes)

    first, notes = first_of(marked)
    assert first.verdict == "off_object_shortcut"
    assert (
        "The same pixels are in 50 of 100 training images of the class that were searched." in first.sentence
    )
    assert not [note for note in notes if "raining images" in note]


def test_bad_input_is_told_and_what_can_still_be_said_is_said(services: WorkerServices) -> None:
    job = planted_job(services, 44)
    folder = services.settings.dataset_roots[0] / "shapes" / "photographs"

    # A stated mark is tested alone: an even grey square leads to no class.
    body = io.BytesIO()
    Image.new("RGB", (12, 12), (127, 127, 127)).save(body, "PNG")
    stated = requested(services, job, classes=("moon",), patch=body.getvalue())
    assert screened(services) == "1 candidates"
    assert confirmed(services) == "1 findings"
    (finding,) = queries.list_findings(services.database, stated)
    assert (finding.kind, finding.verdict) == ("stated", "suspected")
    assert 'No test confirmed that the stated mark leads to "moon": pasted into 12 images' in finding.sentence

    # A dry run says what testing takes, and waits.
    dry = requested(services, job, dry_run=True, classes=("moon",))
    assert "candidates" in screened(services)
    assert audit(services, dry).state is AuditState.SCREENED
    assert not queries.list_findings(services.database, dry)

    # Two photographs change before it is tested: they are left out and counted.
    for file in sorted(folder.glob("moon-*"))[:2]:
        file.write_bytes((folder / "disc-0000.png").read_bytes())
    ledger.confirm_audit(services.database, dry)
    with pytest.raises(Conflict, match="under way already"):
        ledger.confirm_audit(services.database, dry)
    assert "findings" in confirmed(services)
    summary = audit(services, dry).summary
    assert summary is not None
    assert summary["unusable_photographs"].get("changed", 0) <= 2

    # The dataset is gone: what masks show is suspected, and the reason is told.
    shutil.rmtree(folder)
    gone = requested(services, job)
    assert screened(services) == "nothing to test"
    found = queries.list_findings(services.database, gone)
    assert found
    assert {f.verdict for f in found} <= {"suspected"}
    assert "was not tested, since its photographs could not be read" in found[0].sentence
    notes = audit(services, gone).summary["notes"]  # type: ignore[index]
    assert "Make the dataset readable and audit the job again." in notes[0]


def test_few_images_are_too_few_and_a_job_without_masks_says_why(services: WorkerServices) -> None:
    job = planted_job(services, 1)
    made = requested(services, job)
    assert screened(services) == "nothing to test"
    notes = audit(services, made).summary["notes"]  # type: ignore[index]
    # Also the classes whose one image is in the confirmation half.
    assert any(
        note.startswith("10 of 10 classes have too few images to say anything of them") for note in notes
    )
    assert any("whether a class stands out among the others is undecided" in note for note in notes)
    # Every part is lost: the audit fails, and its reason says so.
    services.bucket.delete_many([entry.key for entry in services.bucket.list(f"parts/{job}/")])
    lost = requested(services, job, seed=1)
    screened(services)
    failed = audit(services, lost)
    assert failed.state is AuditState.FAILED
    assert failed.reason is not None
    assert "has no mask to audit (no results); 1 parts are lost or damaged" in failed.reason
    outcome = json.loads(services.bucket.get(key(job, made, "audit.json")))
    assert outcome["audit"]["id"] == made


def test_a_job_in_which_every_image_failed_says_what_they_became(services: WorkerServices) -> None:
    job = planted_job(services, 1, status=ImageStatus.ERROR, error="no memory", grid=None, target=None)
    made = requested(services, job)
    screened(services)
    failed = audit(services, made)
    assert failed.state is AuditState.FAILED
    assert failed.reason is not None
    assert "has no mask to audit (10 error)" in failed.reason
    assert f"`gfi retry {job}` explains such images again" in failed.reason
    with pytest.raises(Conflict, match="has not been screened"):
        ledger.confirm_audit(services.database, made)


def test_of_one_class_it_says_what_cannot_be_tested(services: WorkerServices) -> None:
    job = planted_job(services, 6, target=MOON)
    made = requested(services, job)
    assert screened(services) == "nothing to test"
    notes = audit(services, made).summary["notes"]  # type: ignore[index]
    assert "All masks are of one class." in notes[0]
    assert "Audit a job that explains other classes too." in notes[0]
    assert "only patterns and clusters within a class were searched for" in notes[1]


def test_a_verification_explains_a_sample_again_and_compares_bits(services: WorkerServices) -> None:
    job = submit(services)
    assert explain(services) == "done"
    ledger.finish_jobs(services.database)
    made = requested(services, job)
    with pytest.raises(Conflict, match="can explain images again"):
        request.request_verification(services.database, made, 0.5, "ada")
    asked = {"audit": made, "share": 0.5}
    task, _ = ledger.request_task(services.database, ControlKind.VERIFY, asked, owner="ada", job_id=job)
    assert confirmed(services) == "verified"
    result = queries.get_task(services.database, task).result
    assert result is not None
    assert (result["sampled"], result["equal"], result["different"]) == (PHOTOGRAPHS, PHOTOGRAPHS, 0)
    assert result["same_profile"]


def test_a_verification_of_a_job_of_labels_explains_each_label_again(services: WorkerServices) -> None:
    folder = services.settings.dataset_roots[0] / "photographs"
    lines = [{"key": f.name, "label": ["1", "3"]} for f in sorted(folder.glob("*.jpg"))]
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    job = submit(services, dataset=str(folder / "list.jsonl"), target="labels")
    assert explain(services) == "done"
    ledger.finish_jobs(services.database)
    asked = {"audit": requested(services, job), "share": 1.0}
    task, _ = ledger.request_task(services.database, ControlKind.VERIFY, asked, owner="ada", job_id=job)
    assert confirmed(services) == "verified"
    result = queries.get_task(services.database, task).result
    assert result is not None
    assert (result["sampled"], result["equal"], result["different"]) == (2 * PHOTOGRAPHS, 2 * PHOTOGRAPHS, 0)
