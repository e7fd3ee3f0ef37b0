"""Rates of `gfi bench` become those of a registered model."""

import pytest

from gfi import samples
from gfi.domain.job import work_digest
from gfi.domain.layer_names import Layers
from gfi.domain.presets import PRESETS
from gfi.jobs.rates import BenchRate, remember
from gfi.jobs.submit import Invalid, JobRequest, freeze, spec_of
from gfi.store import ledger, queries
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


def test_a_job_goes_where_its_measured_memory_is(registered: Database) -> None:
    request = JobRequest(
        dataset=str(samples.path()), model="net", preset="paper", metrics=("deletion",), batch=2
    )
    for name, device, queues, gib in (
        ("c:1", "cpu", ["explain"], 64),
        ("g:1", "cuda:A10", ["explain", "gpu"], 24),
        ("h:1", "cuda:H100", ["explain", "gpu", "gpu-80g"], 80),
    ):
        memory = {"memory_mib": gib * 1024, "device_memory_mib": gib * 1024}
        worker = {"id": name, "device": device, "queues": queues, "state": "up", "facts": memory}
        ledger.heartbeat(registered, worker)
    assert spec_of(registered, Settings(), request).queue == "explain"  # nothing was measured
    rates = [BenchRate("paper", (), 3.0, batch=8, peak_bytes=120 * 2**30)]
    remember(registered, "net", [RECORD["digest"]], "cuda:H200", rates)
    assert spec_of(registered, Settings(), request).queue == "gpu-80g"  # 15 GiB an image, two at once
    for asked, queue in (({"batch": 1}, "explain"), ({"queue": "cpu"}, "cpu")):
        assert spec_of(registered, Settings(), request.model_copy(update=asked)).queue == queue


def test_memory_that_was_measured_on_a_cpu_says_nothing_of_cards(registered: Database) -> None:
    for name, device, queues, memory in (
        ("c:1", "cpu", ["explain"], {"memory_mib": 32 * 1024}),
        ("g:1", "cuda:A10", ["explain", "gpu"], {"device_memory_mib": 24 * 1024}),
    ):
        worker = {"id": name, "device": device, "queues": queues, "state": "up", "facts": memory}
        ledger.heartbeat(registered, worker)
    for device, batch, gib in (("cpu", 4, 4.6), ("cuda:A10", 8, 0.8)):  # 1 and 0.1 GiB an image
        rates = [BenchRate("paper", (), 3.0, batch=batch, peak_bytes=round(gib * 2**30))]
        remember(registered, "net", [RECORD["digest"]], device, rates)
    request = JobRequest(dataset=str(samples.path()), model="net", preset="paper", batch=64)
    spec = spec_of(registered, Settings(), request)
    assert (spec.queue, spec.routed) == ("gpu", True)


def test_an_unknown_model_and_other_weights_are_refused(registered: Database) -> None:
    with pytest.raises(Invalid, match="'other' is not registered: `gfi models add other`"):
        remember(registered, "other", [RECORD["digest"]], "cpu", [])
    with pytest.raises(Invalid, match="registered with other weights"):
        remember(registered, "net", ["e" * 64], "cpu", [BenchRate("paper", (), 1.0)])
