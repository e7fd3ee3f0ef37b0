"""Versions of a model: each is answered from its own files, by workers that see no models folder."""

from pathlib import Path

import pytest
import torch

from gfi.cli.register_model import register
from gfi.domain.states import JobState
from gfi.jobs.sweep import sweep_models
from gfi.store import ledger, queries
from gfi.store.objects import Bucket, Object
from tests.service.workers.conftest import explain, submit
from tests.service.workers.test_registration import training_run
from workers.services import WorkerServices


@pytest.fixture
def elsewhere(services: WorkerServices, tmp_path: Path) -> WorkerServices:
    """A worker of another machine, as in compose: its models folder is empty and cannot be written."""
    blocked = tmp_path / "a file, no folder"
    blocked.write_text("")
    changes = {"models_dir": blocked / "models", "home": tmp_path / "elsewhere"}
    return WorkerServices(services.settings.model_copy(update=changes))


def test_jobs_of_two_versions_are_each_answered_from_their_own_files(
    services: WorkerServices, elsewhere: WorkerServices, tmp_path: Path
) -> None:
    database, settings = elsewhere.database, elsewhere.settings
    first = register(database, settings, str(training_run(tmp_path / "A", "first", 1)))
    old = submit(services, model="first")
    second = register(database, settings, str(training_run(tmp_path / "A", "first", 2)))
    assert (first["version"], second["version"]) == (1, 2)
    new, named = submit(services, model="first"), submit(services, model="first@1")
    for job_id, digest in ((old, first["digest"]), (new, second["digest"]), (named, first["digest"])):
        job = queries.get_job(database, job_id)
        weights = elsewhere.engines.get(job.config).classifier
        assert weights.digest == digest
    expected = torch.load(tmp_path / "A" / "best.pth", weights_only=True)
    module = elsewhere.engines.get(queries.get_job(database, new).config).classifier.module
    assert all(torch.equal(value, expected[name]) for name, value in module.state_dict().items())
    explain(elsewhere)
    ledger.finish_jobs(database)
    assert queries.get_job(database, old).state is JobState.SUCCEEDED


def test_files_of_a_removed_version_are_kept_until_no_job_needs_them(
    services: WorkerServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, bucket = services.database, services.bucket
    register(database, services.settings, str(training_run(tmp_path / "A", "first", 1)))
    job_id = submit(services, model="first")
    register(database, services.settings, str(training_run(tmp_path / "A", "first", 2)))
    before = queries.needed_model_files(database)
    assert sweep_models(database, bucket, safe_age_s=-10, dry_run=False) == 0
    ledger.cancel_job(database, job_id, actor="ada")
    ledger.delete_model(database, "first@1")
    removed = before - queries.needed_model_files(database)
    assert len(removed) == 2  # the weights and the head; both versions have the same code
    assert sweep_models(database, bucket, dry_run=False) == 0  # too young
    assert sweep_models(database, bucket, safe_age_s=-10) == 2
    head = Bucket.head

    def retried_meanwhile(self: Bucket, key: str) -> Object | None:
        if queries.get_job(database, job_id).state is JobState.CANCELLED:
            ledger.retry_job(database, job_id)
        return head(self, key)

    with (
        monkeypatch.context() as patched
    ):  # the job needs the files again after they were found to be orphans
        patched.setattr(Bucket, "head", retried_meanwhile)
        assert sweep_models(database, bucket, safe_age_s=-10, dry_run=False) == 0
    ledger.cancel_job(database, job_id, actor="ada")
    assert sweep_models(database, bucket, safe_age_s=-10, dry_run=False) == 2
    assert all(bucket.head(f"models/sha256/{sha256}") for sha256 in queries.needed_model_files(database))


def test_registering_again_without_a_change_keeps_the_version_and_takes_the_note(
    services: WorkerServices, tmp_path: Path
) -> None:
    file = str(training_run(tmp_path / "A", "first", 1))
    register(services.database, services.settings, file, "trained on Monday")
    assert register(services.database, services.settings, file)["note"] == "trained on Monday"
    again = register(services.database, services.settings, file, "the one of the paper")
    assert (again["version"], again["note"]) == (1, "the one of the paper")


def test_a_version_without_files_gets_them_when_it_is_registered_again(
    services: WorkerServices, tmp_path: Path
) -> None:
    """As after an upgrade from a version that stored none."""
    file = str(training_run(tmp_path / "A", "first", 1))
    register(services.database, services.settings, file)
    config = queries.get_job(services.database, submit(services, model="first")).config
    with services.database.begin() as connection:
        connection.exec_driver_sql("UPDATE model_versions SET files = NULL")
    assert queries.model_files(services.database, config.model) == []
    assert services.engines.get(config).classifier.digest == config.model.digest  # from the models folder
    register(services.database, services.settings, "first")
    names = {stored.name for stored in queries.model_files(services.database, config.model)}
    assert names == {"first.toml", "best.pth", "net.py", "blocks.py"}
