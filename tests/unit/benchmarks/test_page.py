"""The page of benchmarks is made only from the results."""

import json
from pathlib import Path

import pytest

from benchmarks import page

SERVICE = {
    "images": 2000,
    "device": "a processor (2 threads)",
    "batch": 8,
    "engine_images_per_s": 100.0,
    "service_images_per_s": 43.21,
    "service_over_engine": 0.432,
}
ENGINE = {
    "network": "vgg19",
    "device": "a processor (2 threads)",
    "dtype": "float32",
    "batch": 4,
    "naive_images_per_s": 0.5,
    "engine_images_per_s": 1.25,
    "floor_images_per_s": 1.5,
    "engine_over_naive": 2.5,
    "engine_over_floor": 0.833,
    "tuned_images_per_s": 2.0,
    "grad_cam_images_per_s": 100.0,
    "scores_s": 0.5,
    "scores_over_floor": 0.96,
    "peak_mib": 1234,
}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    return tmp_path


def test_a_result_that_does_not_exist_has_no_section(results: Path) -> None:
    assert "##" not in page.page()
    (results / "service.json").write_text(json.dumps([SERVICE]))
    text = page.page()
    assert text.count("##") == 1
    assert "**43.2 images a second, 0.43 of the engine's rate**, in batches of 8" in text


def test_a_row_of_the_table_holds_the_figures_of_its_network(results: Path) -> None:
    (results / "engine.json").write_text(json.dumps([ENGINE]))
    row = "| vgg19 | a processor (2 threads) | float32 | 4 | 0.5 | 1.25 | 1.5 | 2.50 | 0.83 | 1234 |"
    scored = "| vgg19 | 1.25 (0.8) | 0.769 (1.3) | 2 (0.5) | 1 (1) | 100 (0.01) | 1.96 (0.51) | 0.96 |"
    assert {row, scored} <= set(page.page().splitlines())


def test_that_no_gpu_was_measured_is_said_only_if_it_is_so(results: Path) -> None:
    (results / "engine.json").write_text(json.dumps([ENGINE]))
    assert "No GPU" in page.page()
    (results / "engine.json").write_text(json.dumps([ENGINE, ENGINE | {"device": "NVIDIA H100"}]))
    assert "No GPU" not in page.page()


def test_the_committed_page_was_written_from_the_committed_results() -> None:
    """Guards against a page edited by hand; says nothing of the figures themselves."""
    assert page.PAGE.read_text() == page.page(), "make bench-page writes it"


def test_the_power_follows_from_the_widths_of_the_intervals() -> None:
    def row(images: int, low: float, high: float) -> dict:
        ci = {"insertion_difference_ci": [low, high], "deletion_difference_ci": [0.0, 0.0196]}
        return {"method": "tuned", "images": images} | ci

    text = page.power([row(50, 0.0, 0.0392), row(50, -0.0392, 0.0), row(12, -1.0, 1.0)])
    assert "With 50 photographs a true difference of 0.028 in insertion, or 0.014 in deletion" in text


NETWORKS = {
    "efficientnet-lite0": "EfficientNet-Lite0",
    "efficientnet-lite1": "-Lite1",
    "efficientnet-lite2": "-Lite2",
    "squeezenet1_0": "SqueezeNet 1.0",
    "mobilenet_v1_050_160": "MobileNet-V1 0.5",
    "cifar_resnet56": "a CIFAR-10 ResNet-56",
}


def where_tuned_leads(score: str, fill: str) -> str:
    """The networks on which the interval of the difference from Grad-CAM lies on the better side of 0, in words."""
    rows = json.loads((page.RESULTS / "quality.json").read_text())["rows"]
    found = set()
    for row in rows:
        low, high = row[f"{score}_difference_ci"]
        if (
            row["method"] == "tuned"
            and row["fill"] == fill
            and (low > 0 if score == "insertion" else high < 0)
        ):
            found.add(row["network"])
    *first, last = [name for network, name in NETWORKS.items() if network in found]
    return f"{', '.join(first)} and {last}" if first else last


def test_the_readme_names_the_networks_on_which_the_results_show_a_lead() -> None:
    text = " ".join((page.HERE.parent / "README.md").read_text().split())
    for claim in (
        f"insertion from the blur is higher than Grad-CAM's on {where_tuned_leads('insertion', 'blur')},",
        f"deletion to the mean is lower on {where_tuned_leads('deletion', 'mean')};",
        "where removed pixels become *another photograph*, insertion is higher on"
        f" {where_tuned_leads('insertion', 'photograph')}",
        f"and deletion lower on {where_tuned_leads('deletion', 'photograph')};",
    ):
        assert claim in text, claim
