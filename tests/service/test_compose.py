"""docker-compose.yml: valid, without ports that are open to other machines, and without a password."""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import redis
import yaml

from gfi.cli.children import popen
from gfi.cli.servers import free_port, valkey_binary
from tests.programs import installed
from tests.service.cli.conftest import compose_services
from tests.speed import slowness

ROOT = Path(__file__).parents[2]
SECRETS = ("postgres_password", "redis_password", "s3_access_key", "s3_secret_key")


def test_the_file_is_valid() -> None:
    command = [installed("docker-compose"), "config", "--quiet"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_passwords_are_files_without_a_default() -> None:
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert set(composed["secrets"]) == set(SECRETS)
    for name, service in composed["services"].items():
        for variable, value in service.get("environment", {}).items():
            named = ("PASSWORD", "SECRET", "ACCESS_KEY")
            assert not any(word in variable for word in named) or value.startswith("/run/secrets/"), (
                name,
                variable,
            )


def local_command(service: str, secrets: Path, **replaced: str) -> list[str]:
    """The command of a server in docker-compose.yml, with the secrets in a folder and words replaced."""
    described = compose_services()[service]
    words = [*described.get("entrypoint", []), *described["command"]]
    script = words.pop().replace("$$", "$").replace("/run/secrets", str(secrets))
    for word, other in replaced.items():
        assert word in script
        script = script.replace(word, other)
    return [*words, script]


def test_redis_asks_for_the_password_of_the_file_and_does_not_show_it(tmp_path: Path) -> None:
    (tmp_path / "redis_password").write_text("hush hush\n")
    port = free_port()
    end = f" --port {port} --bind 127.0.0.1 --dir {tmp_path}"
    command = local_command(
        "redis", tmp_path, **{"valkey-server": str(valkey_binary()), "noeviction": f"noeviction{end}"}
    )
    process = popen(command, start_new_session=True)
    try:
        client = redis.Redis(port=port, password="hush hush")
        deadline = time.monotonic() + 30 * slowness()
        while not answers(client) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.ping()
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port).ping()
        shown = [" ".join(child.cmdline()) for child in psutil.Process(process.pid).children(recursive=True)]
        assert not any("hush" in line for line in shown)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


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
    assert "deploy/locks/service.txt" in stages
    assert "AS service" in stages
    assert "AS worker" in stages
