"""A model is loaded in a separate process with limits, which has no password and no key."""

import threading
from pathlib import Path

import pytest
import torch

from gfi.cli.errors import CommandError
from gfi.cli.register_model import register, register_by_worker
from gfi.domain.errors import MethodError
from gfi.domain.states import ControlKind, ShardState
from gfi.jobs.task_run import Interrupted, TaskRun
from gfi.store import ledger, queries
from gfi.store.model_store import get_head
from gfi.store.queries import Task
from tests.service.workers.conftest import submit
from tests.unit.method.networks import Small
from workers import registration
from workers.handlers import HANDLERS, perform_task
from workers.loaded_engines import LoadedEngines
from workers.services import WorkerServices

SPY = """
import os
from tests.unit.method.networks import Small

def build():
    wrong = [name for name in os.environ if name.startswith(("GFI_", "AWS_")) or "SECRET" in name]
    if wrong:
        raise RuntimeError("the child knows " + ", ".join(wrong))
    return Small()
"""
GREEDY = "def build():\n    return bytearray(3 * 2**30)\n"
MODEL = 'architecture = "file:{name}.py:build"\nweights = "seed:0"\n[input]\nsize = 32\n'


def registered(services: WorkerServices, reference: str) -> Task:
    """The task after a worker has done it."""
    task, _ = ledger.request_task(
        services.database, ControlKind.REGISTER, {"reference": reference}, owner="ada"
    )
    claim = ledger.claim_work(services.database, "worker", "interactive", 60.0, kinds=sorted(HANDLERS))
    assert claim is not None
    perform_task(services, claim)  # type: ignore[arg-type]
    return queries.get_task(services.database, task)


def model(services: WorkerServices, name: str, code: str) -> None:
    (services.settings.models / f"{name}.py").write_text(code)
    (services.settings.models / f"{name}.toml").write_text(MODEL.format(name=name))


def test_a_model_is_registered_without_the_secrets_of_the_worker(
    services: WorkerServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GFI_DATABASE_URL", "GFI_S3_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a secret")
    model(services, "spy", SPY)
    task = registered(services, "spy")
    assert (task.state, task.reason) == (ShardState.DONE, None)
    found = queries.find_model(services.database, "spy")
    assert found is not None
    assert task.result == {"reference": "spy", "digest": found.digest}
    head = get_head(services.bucket, found.record)
    assert head is not None
    assert head.weight.shape == (found.record["classes"], found.record["head"]["width"])


def test_a_model_that_wants_too_much_memory_is_refused_with_the_limit(services: WorkerServices) -> None:
    model(services, "greedy", GREEDY)
    services.settings = services.settings.model_copy(update={"registration_mib": 2048})
    task = registered(services, "greedy")
    assert task.state is ShardState.FAILED
    assert "2048 MiB" in (task.reason or "")


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that never ends, instead of the one that loads a network."""
    popen = registration.subprocess.Popen

    def sleeps(command: list[str], **options: object) -> object:
        return popen(["sleep", "3600"], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(registration.subprocess, "Popen", sleeps)


@pytest.mark.usefixtures("endless")
def test_a_model_that_takes_too_long_is_refused_with_the_limit(services: WorkerServices) -> None:
    services.settings = services.settings.model_copy(update={"registration_s": 0.01})
    task = registered(services, "small")
    assert task.state is ShardState.FAILED
    assert "GFI_REGISTRATION_S" in (task.reason or "")


@pytest.mark.usefixtures("endless")
def test_a_cancelled_registration_ends_its_child(services: WorkerServices) -> None:
    ledger.request_task(services.database, ControlKind.REGISTER, {"reference": "small"}, owner="ada")
    claim = ledger.claim_work(services.database, "worker", "interactive", 60.0, kinds=sorted(HANDLERS))
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        registration.describe(
            services, "small", TaskRun(services.database, claim, stop), services.settings.models
        )  # type: ignore[arg-type]


OWN = """
import torch
from blocks import Net

def build():
    return Net()
"""
BLOCKS = "from tests.unit.method.networks import Small\n\nclass Net(Small):\n    pass\n"
BEST = 'architecture = "file:net.py:build"\nweights = "best.pth"\n[input]\nsize = 32\n'


def training_run(folder: Path, name: str, seed: int) -> Path:
    """A model file whose weights and code have the names that everybody gives them."""
    folder.mkdir(exist_ok=True)
    (folder / "net.py").write_text(OWN)
    (folder / "blocks.py").write_text(BLOCKS)
    state = Small().state_dict()
    torch.save({key: value + 0.01 * seed for key, value in state.items()}, folder / "best.pth")
    file = folder / f"{name}.toml"
    file.write_text(BEST)
    return file


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_two_models_with_files_of_the_same_names_stay_two_models(
    services: WorkerServices, tmp_path: Path
) -> None:
    models = services.settings.models
    first = register(services.database, services.settings, str(training_run(tmp_path / "A", "first", 1)))
    job = queries.get_job(services.database, submit(services, model="first")).config
    second = register(services.database, services.settings, str(training_run(tmp_path / "B", "second", 2)))
    assert first["digest"] != second["digest"]
    heads = [get_head(services.bucket, record) for record in (first, second)]
    weights = [head.weight.astype(float) for head in heads if head is not None]
    assert (weights[1] > weights[0]).all()  # as in their files
    assert (models / "first" / "best.pth").read_bytes() == (tmp_path / "A" / "best.pth").read_bytes()
    assert LoadedEngines(models, "cpu", 1).get(job).classifier.digest == first["digest"]
    # What the advice of a refused job says: by its name, or by its file in the models folder.
    assert register(services.database, services.settings, "first")["digest"] == first["digest"]
    in_place = str(models / "first" / "first.toml")
    assert register(services.database, services.settings, in_place)["digest"] == first["digest"]


def test_a_model_that_cannot_be_added_changes_nothing(services: WorkerServices, tmp_path: Path) -> None:
    file = training_run(tmp_path / "A", "first", 1)
    register(services.database, services.settings, str(file))
    before = contents(services.settings.models)
    (tmp_path / "A" / "best.pth").write_bytes(b"no tensors")
    with pytest.raises(MethodError, match=r"best\.pth is not a file of tensors"):
        register(services.database, services.settings, str(file))
    (tmp_path / "best.pth").write_bytes(b"")
    file.write_text(BEST.replace("best.pth", "../best.pth"))
    with pytest.raises(MethodError, match=r"`weights` leads out of the model's folder: put best\.pth beside"):
        register(services.database, services.settings, str(file))
    assert contents(services.settings.models) == before


def test_a_worker_reads_a_new_model_before_it_has_its_place(services: WorkerServices, tmp_path: Path) -> None:
    file = training_run(tmp_path / "A", "first", 1)
    facts = {"tasks": [ControlKind.REGISTER]}
    ledger.heartbeat(
        services.database, {"id": "w:1", "queues": ["interactive"], "state": "up", "facts": facts}
    )
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.01):
            claim = ledger.claim_work(services.database, "w:1", "interactive", 60.0, kinds=sorted(HANDLERS))
            if claim is not None:
                perform_task(services, claim)  # type: ignore[arg-type]

    worker = threading.Thread(target=work)
    worker.start()
    try:
        record = register_by_worker(services.database, services.settings, str(file))
        good = contents(services.settings.models)
        (tmp_path / "A" / "best.pth").write_bytes(b"no tensors")
        with pytest.raises(CommandError, match=r"best\.pth is not a file of tensors"):
            register_by_worker(services.database, services.settings, str(file))
    finally:
        ended.set()
        worker.join()
    assert contents(services.settings.models) == good
    assert {name for name in good if name.startswith("first/")} == {
        f"first/{name}" for name in ("first.toml", "best.pth", "net.py", "blocks.py")
    }
    found = queries.find_model(services.database, "first")
    assert found is not None
    assert found.digest == record["digest"]


def test_a_model_that_an_earlier_version_put_beside_others_is_replaced(
    services: WorkerServices, tmp_path: Path
) -> None:
    file = training_run(tmp_path / "A", "small", 1)
    record = register(services.database, services.settings, str(file))
    assert not (services.settings.models / "small.toml").exists()
    assert (services.settings.models / "net.py").exists()  # another model may use it
    assert register(services.database, services.settings, "small")["digest"] == record["digest"]
    (services.settings.models / "small.toml").write_text(BEST)
    with pytest.raises(MethodError, match=r"there are two model files of the name small, .* remove one"):
        register(services.database, services.settings, "small")
