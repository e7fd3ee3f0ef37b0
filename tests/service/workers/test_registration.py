"""A model is loaded in a separate process with limits, which has no password and no key."""

import threading

import pytest

from gfi.domain.states import ControlKind, ShardState
from gfi.jobs.task_run import Interrupted, TaskRun
from gfi.store import ledger, queries
from gfi.store.queries import Task
from workers import registration
from workers.handlers import HANDLERS, perform_task
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
        registration.describe(services, "small", TaskRun(services.database, claim, stop))  # type: ignore[arg-type]
