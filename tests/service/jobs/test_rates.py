"""Rates of `gfi bench` become those of a registered model."""

import pytest

from gfi import samples
from gfi.domain.job import work_digest
from gfi.domain.layer_names import Layers
from gfi.domain.presets import PRESETS
from gfi.jobs.rates import BenchRate, remember
from gfi.jobs.submit import Invalid, JobRequest, freeze
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.settings import Settings
from tests.service.model_record import RECORD


def test_a_job_with_this_preset_finds_the_rate(registered: Database) -> None:
    rates = [BenchRate("paper", ("deletion",), 2.5), BenchRate("released", (), 9.0)]
    remember(registered, "net", ["e" * 64, RECORD["digest"]], "cpu", rates)
    request = JobRequest(dataset=str(samples.path()), model="net", preset="paper", metrics=("deletion",))
    key = freeze(registered, Settings(), request).work_digest()
    assert queries.measured_rate(registered, key, "cpu") == 2.5
    # `released` has no layers on this network: nothing is stored.
    other = work_digest(RECORD["digest"], PRESETS["released"].digest(), Layers("conv", ("conv",)))
    assert queries.rates_of(registered, [key, other]) == {key: {"cpu": 2.5}}


def test_an_unknown_model_and_other_weights_are_refused(registered: Database) -> None:
    with pytest.raises(Invalid, match="'other' is not registered: `gfi models add other`"):
        remember(registered, "other", [RECORD["digest"]], "cpu", [])
    with pytest.raises(Invalid, match="registered with other weights"):
        remember(registered, "net", ["e" * 64], "cpu", [BenchRate("paper", (), 1.0)])
