"""Models: their records, and registering one by a worker."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gfi.domain.states import ControlKind
from gfi.jobs.task_run import TaskRun, perform
from gfi.store import ledger
from gfi.store.ledger.models import write_model
from tests.service.api.conftest import World, model_record, wait_until

REFERENCE = "torchvision:squeezenet1_1@seed:0"  # a name, neither a path nor code


@contextmanager
def worker(world: World, handler: Callable[[World, TaskRun], str]) -> Iterator[None]:
    """A worker on queue `interactive`, with this handler instead of the one that loads a network."""
    ended = threading.Event()
    facts = {"tasks": [ControlKind.REGISTER]}
    queues = ["explain", "interactive"]
    ledger.heartbeat(world.database, {"id": "w:1", "queues": queues, "state": "up", "facts": facts})

    def work() -> None:
        while not ended.wait(0.01):
            claim = ledger.claim_work(
                world.database, "w:1", "interactive", 60.0, kinds=[ControlKind.REGISTER]
            )
            if claim is not None:
                assert claim.worker == "w:1"
                run = TaskRun(world.database, claim, ended)  # type: ignore[arg-type]
                perform(world, run, {ControlKind.REGISTER: handler})

    thread = threading.Thread(target=work)
    thread.start()
    yield
    ended.set()
    thread.join()


def registers(world: World, run: TaskRun) -> str:
    reference = run.claim.payload["reference"]
    record = model_record() | {"reference": reference}
    run.finish(
        {"reference": reference},
        lambda connection: write_model(
            connection, reference, record["digest"], record, actor=run.claim.owner
        ),
    )
    return "registered"


def refuses(world: World, run: TaskRun) -> str:
    assert ledger.fail_control(world.database, run.claim, "vgg99 is not in torchvision", retry=False)
    return "failed"


def test_models_show_what_registration_read(one_world: World) -> None:
    (model,) = one_world.call("GET", "/v1/models").json()
    assert (model["reference"], model["classes"], model["parameters"]) == ("tiny", 3, 1000)
    assert (model["version"], model["registered_by"], model["note"]) == (1, "test", "")
    assert one_world.call("GET", "/v1/models/tiny@1").json()["versions"] == [1]
    assert one_world.call("GET", "/v1/models/tiny@2").status_code == 404
    (version,) = one_world.call("GET", "/v1/models/tiny/versions").json()
    assert (version["version"], version["registered_by"]) == (1, "test")
    assert one_world.call("GET", "/v1/models/vgg99/versions").status_code == 404
    layers = one_world.call("GET", "/v1/models/tiny/layers").json()
    assert [layer["name"] for layer in layers] == ["features.2", "features.4"]
    assert one_world.call("GET", "/v1/models/vgg99").status_code == 404


def test_an_administrator_registers_a_model_by_its_name(one_world: World) -> None:
    body = {"reference": REFERENCE}
    assert one_world.call("POST", "/v1/models", "submit", json=body).status_code == 403
    with worker(one_world, registers):
        made = one_world.call("POST", "/v1/models", json=body)
    assert made.status_code == 201, made.text
    assert (made.json()["reference"], made.json()["classes"]) == (REFERENCE, 3)
    task = one_world.call("GET", made.headers["Location"], "read").json()
    assert (task["kind"], task["state"], task["owner"], task["queue"]) == (
        "register",
        "done",
        "admin-test",
        "interactive",
    )
    submitted = one_world.submit("submit", model=f"{REFERENCE}@1")
    assert submitted.status_code == 201
    refused = one_world.call("DELETE", f"/v1/models/{REFERENCE}")
    assert refused.status_code == 409
    job = submitted.json()["job"]["id"]
    assert f"job {job} needs model" in refused.json()["detail"]
    assert one_world.call("DELETE", f"/v1/jobs/{job}").status_code == 200
    entries = one_world.call("GET", "/v1/audit").json()["items"]
    assert ("admin-test", "model.saved") in [(entry["actor"], entry["action"]) for entry in entries]
    assert one_world.call("DELETE", f"/v1/models/{REFERENCE}").status_code == 204


def test_a_registration_that_takes_longer_is_a_task_to_ask_for(one_world: World) -> None:
    go = threading.Event()

    def slow(world: World, run: TaskRun) -> str:
        assert go.wait(60.0)
        return registers(world, run)

    with worker(one_world, slow):
        body = {"reference": REFERENCE}
        first = one_world.call("POST", "/v1/models?wait=0", json=body)
        assert first.status_code == 202, first.text
        assert first.json()["url"] == first.headers["Location"]
        again = one_world.call("POST", "/v1/models?wait=0", json=body)
        assert again.json()["id"] == first.json()["id"], "the same registration is one task"
        go.set()
        wait_until(lambda: one_world.call("GET", first.json()["url"]).json()["state"] == "done")
    assert one_world.call("DELETE", f"/v1/models/{REFERENCE}").status_code == 204


def test_a_model_that_cannot_be_loaded_is_refused_with_the_workers_reason(one_world: World) -> None:
    with worker(one_world, refuses):
        refused = one_world.call("POST", "/v1/models", json={"reference": "torchvision:vgg99"})
    assert (refused.status_code, refused.json()["detail"]) == (422, "vgg99 is not in torchvision")


def test_without_a_live_worker_the_refusal_names_the_queue(one_world: World) -> None:
    refused = one_world.call("POST", "/v1/models", json={"reference": REFERENCE})
    assert refused.status_code == 409
    assert "gfi worker --queues interactive" in refused.json()["detail"]
    # One that was told to stop, or knows no such task (an earlier version), is none.
    queues = ["interactive"]
    stopping, earlier = {"state": "stopping", "facts": {"tasks": ["register"]}}, {"state": "up"}
    for name, columns in (("w:2", stopping), ("w:3", earlier)):
        ledger.heartbeat(one_world.database, {"id": name, "queues": queues, **columns})
        assert one_world.call("POST", "/v1/models", json={"reference": REFERENCE}).status_code == 409


def test_registration_takes_a_reference_never_a_path_or_an_option(one_world: World) -> None:
    for reference in (
        "/tmp/x.toml",
        "../x",
        "file:/tmp/m.py:Net",
        "a/b",
        "--help",
        "x.toml/..",
        "",
        "torchvision:a b",
        "a\nb",
    ):
        answer = one_world.call("POST", "/v1/models", json={"reference": reference})
        assert answer.status_code == 422, reference
