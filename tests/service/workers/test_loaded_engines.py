"""A running worker answers with the model that the job names, or refuses: never with other code."""

import pytest

from gfi.cli.register_model import register
from gfi.store import queries
from tests.service.workers.conftest import NET, submit
from workers.loaded_engines import LoadedEngines, ModelChanged
from workers.services import WorkerServices

CHANGED = """
from tests.unit.method.networks import Small

class Doubled(Small):
    def forward(self, x):
        return 2 * super().forward(x) + 1

def build():
    net = Small()
    net.__class__ = Doubled
    return net
"""


def test_a_new_forward_is_a_new_digest_and_a_running_worker_answers_with_it(services: WorkerServices) -> None:
    old = queries.get_job(services.database, submit(services)).config
    running = services.engines
    before = running.get(old).classifier
    (services.settings.models / "net.py").write_text(CHANGED)
    register(services.database, services.settings, "small")
    new = queries.get_job(services.database, submit(services)).config
    assert new.model.digest != old.model.digest
    after = running.get(new).classifier
    assert type(after.module).__name__ == "Doubled"
    assert after.digest == new.model.digest
    # The job of the old digest: the network that this worker still holds, or a refusal.
    assert running.get(old).classifier is before
    fresh = LoadedEngines(services.settings.models, "cpu", 1)
    with pytest.raises(
        ModelChanged, match=r"small is not the one this job was submitted with .* submit the job again"
    ):
        fresh.get(old)
    (services.settings.models / "net.py").write_text(NET)
    assert fresh.get(old).classifier.digest == old.model.digest
    with pytest.raises(ModelChanged):
        fresh.get(new)
