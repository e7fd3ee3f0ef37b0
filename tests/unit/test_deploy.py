"""The files by which people deploy: valid, confined, in agreement with this version's commands and settings."""

import json
import re
import subprocess
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from gfi.cli.main import gfi
from gfi.store.settings import Settings
from tests.programs import installed
from tests.service.cli.conftest import compose_services

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
HADOLINT = Path(sysconfig.get_path("scripts")) / "hadolint"
OVERLAYS = ("cpu", "gpu")
OURS = {name: service for name, service in compose_services().items() if "build" in service}
IMAGES = {"service": ("service",), "worker": ("service", "method", "sample", "peers")}


def resources(folder: Path) -> Iterator[dict[str, Any]]:
    """Everything that the kustomization in a folder names. They use no patches, so that this is what is applied."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(kustomization) <= {"apiVersion", "kind", "namespace", "resources", "images"}
    for name in kustomization["resources"]:
        path = folder / name
        if path.is_dir():
            yield from resources(path)
        else:
            yield from yaml.safe_load_all(path.read_text())


def pods(overlay: str) -> dict[str, dict[str, Any]]:
    return {
        resource["metadata"]["name"]: resource["spec"]["template"]["spec"]
        for resource in resources(KUBERNETES / "overlays" / overlay)
        if resource["kind"] in ("Deployment", "Job")
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_resource_has_the_shape_that_kubernetes_asks_for(overlay: str) -> None:
    kinds = []
    for resource in resources(KUBERNETES / "overlays" / overlay):
        kinds.append(resource["kind"])
        if resource["kind"] != "ScaledObject":  # a schema of KEDA, not of Kubernetes
            kubernetes_validate.validate(resource, "1.30", strict=True)
    assert kinds.count("PodDisruptionBudget") == 4
    assert kinds.count("NetworkPolicy") == 2


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_confined_bounded_and_watched(overlay: str) -> None:
    for name, pod in pods(overlay).items():
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert set(container["resources"]["limits"]) >= {"cpu", "memory"}
        assert "livenessProbe" in container or name == "gfi-migrate"
    workers = pods(overlay)[f"gfi-worker-{overlay}"]
    assert workers["terminationGracePeriodSeconds"] >= 60  # SIGTERM commits the finished prefix


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_scaling_names_the_deployment_and_budgets_select_pods(overlay: str) -> None:
    there = pods(overlay)
    for resource in resources(KUBERNETES / "overlays" / overlay):
        spec = resource.get("spec", {})
        if resource["kind"] == "ScaledObject":
            assert spec["scaleTargetRef"]["name"] in there
            assert "gfi_shards" in spec["triggers"][0]["metadata"]["query"]
        if resource["kind"] == "PodDisruptionBudget":
            assert spec["selector"]["matchLabels"]["app.kubernetes.io/name"] in there


def commands() -> Iterator[tuple[str, list[str]]]:
    for name, service in OURS.items():
        yield f"compose {name}", service["command"]
    for overlay in OVERLAYS:
        for name, pod in pods(overlay).items():
            yield f"kubernetes {name}", pod["containers"][0]["args"]


@pytest.mark.parametrize(("where", "command"), list(commands()))
def test_every_command_exists_with_its_options(where: str, command: list[str]) -> None:
    found: click.Command | None = gfi
    rest = list(command)
    while isinstance(found, click.Group):
        found = found.get_command(click.Context(found), rest.pop(0))
    assert found is not None, where
    found.make_context(command[0], rest)


def test_every_variable_is_a_setting() -> None:
    config = next(r for r in resources(KUBERNETES / "base") if r["kind"] == "ConfigMap")["data"]
    for variable in {*config, *OURS["worker"]["environment"]}:
        assert variable.removeprefix("GFI_").removesuffix("_FILE").lower() in Settings.model_fields or (
            variable.removeprefix("GFI_").lower() in Settings.model_fields
        ), variable


def test_no_image_is_the_latest_of_the_day() -> None:
    images = [service["image"] for service in compose_services().values()]
    images += [
        line.split()[1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("FROM ")
    ]
    own_stages = {"source", "base"}
    for image in set(images) - own_stages:
        assert ":" in image, image
        assert not image.endswith(":latest"), image


@pytest.mark.parametrize("name", [name for name in OURS if name != "migrate"])
def test_every_service_of_compose_is_confined_bounded_and_watched(name: str) -> None:
    service = OURS[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["healthcheck"]["test"]
    assert "memory" in service["deploy"]["resources"]["limits"]


def test_the_linter_has_nothing_to_say_about_the_dockerfile() -> None:
    done = subprocess.run([HADOLINT, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("image", IMAGES)
def test_the_locked_set_of_an_image_satisfies_what_the_project_asks_for(image: str) -> None:
    """`make lock` writes them anew."""
    locked = {}
    for line in (ROOT / "deploy" / "locks" / f"{image}.txt").read_text().splitlines():
        if "==" in line:
            pin = Requirement(line.rstrip("\\ "))
            locked[pin.name.lower()] = Version(next(iter(pin.specifier)).version)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = list(project["dependencies"])
    for extra in IMAGES[image]:
        asked += project["optional-dependencies"][extra]
    for text in asked:
        wanted = Requirement(text)
        assert wanted.specifier.contains(locked[wanted.name.lower().replace("_", "-")]), text


MONITORING = ROOT / "deploy" / "monitoring"


def test_each_alert_fires_for_its_cause_and_no_other_does() -> None:
    for command in (("check", "rules", "alerts.yaml"), ("test", "rules", "alerts_test.yaml")):
        called = [installed("promtool"), *command]
        done = subprocess.run(called, cwd=MONITORING, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    alerts = {
        rule["alert"]
        for rule in yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"][0]["rules"]
    }
    cases = yaml.safe_load((MONITORING / "alerts_test.yaml").read_text())["tests"]
    assert {case["name"] for case in cases} == alerts
    for case in cases:
        assert {test["alertname"] for test in case["alert_rule_test"]} == alerts


def test_rules_and_dashboard_name_metrics_that_the_api_gives() -> None:
    given = set(re.findall(r'"(gfi_[a-z_]+)"', (ROOT / "gfi" / "api" / "health.py").read_text()))
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"][0]["rules"]
    panels = json.loads((MONITORING / "grafana.json").read_text())["panels"]
    asked = [rule["expr"] for rule in rules]
    asked += [target["expr"] for panel in panels for target in panel["targets"]]
    named = {name for query in asked for name in re.findall(r"gfi_[a-z_]+", query)}
    assert named <= given
    assert given - named == set()
