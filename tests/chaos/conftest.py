"""The servers of the chaos tests, started once; the full scenarios are `make chaos`."""

from collections.abc import Iterator

import pytest

from tests.chaos.servers import Servers
from tests.chaos.world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Servers, photographs and an undisturbed run."""
    servers = Servers(tmp_path_factory.mktemp("chaos"))
    yield World(servers, 400)
    servers.stop()
