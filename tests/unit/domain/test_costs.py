"""The constants of the cost model agree with the figures they are taken from."""

import json
from pathlib import Path

import pytest

from gfi.domain import costs
from gfi.domain.presets import PRESETS

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
NETWORKS = {  # operations of a forward pass and leaf activations of torchvision's networks and the sample
    "vgg19": (39.26e9, 31.3e6, 143.7e6),
    "resnet50": (8.18e9, 32.0e6, 25.6e6),
    "resnet18": (3.63e9, 7.5e6, 11.7e6),
    "alexnet": (1.43e9, 1.1e6, 61.1e6),
    "efficientnet-lite0": (0.77e9, 20.6e6, 4.65e6),
}
MEASURED = {row["network"]: row for row in json.loads((RESULTS / "engine.json").read_text())}


@pytest.mark.parametrize("network", NETWORKS)
def test_measured_networks_lie_in_the_range_of_speeds(network: str) -> None:
    flops = NETWORKS[network][0]
    achieved = MEASURED[network]["engine_images_per_s"] * flops * costs.passes(PRESETS["paper"])
    assert costs.CPU_FLOPS[0] < achieved < costs.CPU_FLOPS[1]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_memory_of_a_worker_is_near_the_measured_peak(network: str) -> None:
    # The benchmark holds a third copy of the network, with gradients of its weights.
    _, activations, parameters = NETWORKS[network]
    expected = costs.worker_memory(round(parameters), round(activations), MEASURED[network]["batch"])
    measured = MEASURED[network]["peak_mib"] * 2**20 - 2 * 4 * parameters
    assert expected / 2 < measured < expected * 2


def test_the_rows_of_the_database_are_those_that_were_measured() -> None:
    rows = json.loads((RESULTS / "scale.json").read_text())["rows"]
    values = {row["what"].removesuffix(", no indexes by number"): row["value"] for row in rows}
    pieces = ("rows of `results`", "indexes of `results`", "sums, pieces")
    measured = sum(values[name] for name in pieces) + values.get("orders of 8 numbers", 36)
    assert costs.DATABASE_ROW["postgresql"] == pytest.approx(measured, rel=0.3)


def test_passes_count_both_stages() -> None:
    assert costs.passes(PRESETS["paper"]) == 2 * 10 + 4 * 70 + 3 + 16
    assert costs.passes(PRESETS["tuned"]) == pytest.approx(4 * 32 * costs.SETTLED_SHARE + 5 + 16)
    assert costs.metric_passes(("deletion", "entropy"), frozenset({"deletion"})) == 29
    assert costs.metric_passes(("new",), frozenset({"new"})) == costs.OTHER_METRIC
