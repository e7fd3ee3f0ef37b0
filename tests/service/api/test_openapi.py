"""schemathesis against a live server with all checks; 422 is declared for requests refused for their meaning."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gfi.cli.servers import Server
from tests.service.api.conftest import World, environment, make_world, serving
from tests.speed import slowness

# The limit of requests a minute is tested in test_rates.
# `make fuzz` asks for more, and prints what was reached.
_EXAMPLES = ("--max-examples", os.environ["GFI_FUZZ_EXAMPLES"]) if "GFI_FUZZ_EXAMPLES" in os.environ else ()
FAST = {"GFI_API_REQUESTS_PER_MINUTE": "10000000"}


@pytest.fixture
def live(
    sqlite_files: Any, s3: Server, valkey: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, World]]:
    """A live server and its world. No worker runs, so registering a model is refused at once."""
    world = make_world(environment(sqlite_files.create(), s3, valkey, tmp_path, **FAST), monkeypatch)
    with serving() as url:
        yield url, world
    world.database.dispose()


def test_the_server_does_what_its_document_says(live: tuple[str, World], tmp_path: Path) -> None:
    url, world = live
    config = Path(__file__).parent / "schemathesis.toml"
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "schemathesis"),
            "--config-file",
            str(config),
            "run",
            f"{url}/v1/openapi.json",
            "--header",
            f"Authorization: Bearer {world.tokens['admin']}",
            "--no-color",
            *_EXAMPLES,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=float(os.environ.get("GFI_FUZZ_S", "280")) * slowness(),
    )
    print(done.stdout[-4000:])
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
