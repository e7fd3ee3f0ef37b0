"""docker-compose.yml: valid, without ports that are open to other machines, and without a password."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.service.cli.conftest import compose_services

ROOT = Path(__file__).parents[2]
SECRETS = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY")


def config(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    if shutil.which("docker-compose") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("docker-compose is not installed: make setup-system")
        pytest.skip("docker-compose is not installed: make setup-system")
    clean = {name: value for name, value in os.environ.items() if name not in SECRETS}
    return subprocess.run(
        ["docker-compose", "config", "--quiet"],
        cwd=ROOT,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_file_is_valid_once_the_passwords_are_set() -> None:
    done = config(dict.fromkeys(SECRETS, "secret"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("missing", SECRETS)
def test_a_missing_password_is_refused_rather_than_defaulted(missing: str) -> None:
    done = config({name: "secret" for name in SECRETS if name != missing})
    assert done.returncode != 0
    assert missing in done.stderr


def test_only_the_api_is_published_and_on_this_machine_alone() -> None:
    published = {name: service["ports"] for name, service in compose_services().items() if "ports" in service}
    assert list(published) == ["api"]
    assert all(port.startswith("127.0.0.1:") for port in published["api"])


def test_datasets_are_read_from_named_places_alone() -> None:
    variables = compose_services()["api"]["environment"]
    assert variables["GFI_DATASET_ROOTS"] == "/datasets"
    assert variables["GFI_DATASET_BUCKETS"] not in ("", variables["GFI_S3_BUCKET"])


def test_only_workers_have_the_image_with_torch() -> None:
    images = {
        name: service["build"]["target"] for name, service in compose_services().items() if "build" in service
    }
    assert {name for name, target in images.items() if target == "worker"} == {"worker", "gpu-worker"}
    assert set(images.values()) == {"service", "worker"}
    stages = (ROOT / "Dockerfile").read_text()
    assert "'.[service]'" in stages
    assert "AS service" in stages
    assert "AS worker" in stages
