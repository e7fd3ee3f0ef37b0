"""Submitting a job: what is refused and how, and what is stored."""

from pathlib import Path
from typing import Any

import pytest

from gfi import samples
from gfi.datasets.errors import DatasetError
from gfi.domain.errors import MethodError
from gfi.jobs.submit import Invalid, JobRequest, request_from, submit
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.settings import Settings
from tests.service.model_record import RECORD

REQUEST = JobRequest(dataset=str(samples.path()), model="net")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "nte"}, "near matches: net"),
        ({"preset": "papr"}, "the presets are"),
        ({"preset": "released"}, "gfi models add net"),
        ({"layers": "conf"}, "the last convolutions are conv"),
        ({"layers": "conv,pool"}, "gives 4×1×1"),
        ({"target": "bird"}, "is not a class of net"),
        ({"rather_than": "bird"}, "rather_than 'bird' is not a class of net"),
        ({"target": 1, "rather_than": 1}, "1 is the target itself"),
        ({"metrics": ("beauty",)}, "choose one of deletion"),
        ({"overrides": {"stps": 3}}, "no field `stps`"),
        ({"overrides": {"rate": -1}}, "at least 0"),
        ({"overrides": {"rise_masks": 9}}, "method gfi does not read the recipe field `rise_masks`"),
        ({"method": "gradcams"}, "did you mean `grad-cam`?"),
        ({"method": "rise", "preset": "paper"}, "a recipe of the method gfi"),
        ({"method": "rise", "overrides": {"rise_mask": 9}}, "did you mean `rise_masks`?"),
    ],
)
def test_a_wrong_request_is_refused_with_advice_and_stores_nothing(
    registered: Database, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises((Invalid, MethodError)) as refusal:
        submit(registered, Settings(), REQUEST.model_copy(update=changes))
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert queries.list_jobs(registered) == []


@pytest.mark.parametrize(
    "wrong",
    [{"model": "net"}, {"dataset": "d", "model": "net", "webhook": "https://hook.example/s3cret" * 500}],
)
def test_what_is_said_of_a_wrong_request_repeats_no_address(wrong: dict[str, str]) -> None:
    """Of a field that was missing, the message quoted the whole request, and a schedule showed it to every reader."""
    with pytest.raises(Invalid) as refused:
        request_from(**{"webhook": "https://hook.example/s3cret", **wrong})
    assert "s3cret" not in str(refused.value)
    assert len(str(refused.value)) < 300


def test_a_dataset_outside_the_configured_roots_is_refused(registered: Database, tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        submit(registered, Settings(dataset_roots=(tmp_path,)), REQUEST)


def test_a_job_names_every_hyper_parameter(registered: Database) -> None:
    job = queries.get_job(registered, submit(registered, Settings(), REQUEST).job_id)
    assert job.stored_config["preset"] == "tuned"
    assert job.stored_config["recipe"]["gamma"] == 10.0
    assert job.stored_config["layers"] == {"inverted": "conv", "weighed": ["conv"]}
    assert job.stored_config["model"] == {"reference": "net", "digest": RECORD["digest"], "version": 1}


def test_a_peer_is_a_method_of_a_job_with_a_recipe_of_its_own(registered: Database) -> None:
    ours = queries.get_job(registered, submit(registered, Settings(), REQUEST).job_id)
    request = REQUEST.model_copy(update={"method": "RISE", "overrides": {"rise_masks": 20}})
    submitted = submit(registered, Settings(), request)
    job = queries.get_job(registered, submitted.job_id)
    assert (job.config.method, job.config.preset, job.config.recipe.rise_masks) == ("rise", "rise", 20)
    assert job.stored_config["method"] == "rise"
    assert "method" not in ours.stored_config
    assert job.config.question(None) != ours.config.question(None)
    assert job.config.work_digest() != ours.config.work_digest()
    again = submit(registered, Settings(), request)
    assert (again.created, again.job_id) == (False, job.id)
    assert submit(registered, Settings(), request.model_copy(update={"overrides": {}})).created
