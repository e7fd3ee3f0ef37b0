"""The dashboard in headless Chromium, against a live server; the tests themselves act as the worker.

Without Chromium these tests are skipped with a reason; with CI=true that is a failure.
"""

import io
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gfi.api import create_app
from gfi.cli.servers import Server
from gfi.domain.states import ControlKind
from gfi.store import ledger
from gfi.store.ledger.tokens import create_link
from scheduler.services import ControlServices
from scheduler.tasks import perform
from tests.service.api.conftest import World, environment, make_world, serving

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]

# Layout shift while a page loads: 0 when nothing moved, 1 when everything moved by the height of the window.
SHIFTS = """
globalThis.moved = [];
new PerformanceObserver((seen) => {
  for (const shift of seen.getEntries()) {
    const what = shift.sources.map(({ node }) => node?.id || node?.className || node?.nodeName);
    if (!shift.hadRecentInput) moved.push([shift.value, ...what]);
  }
}).observe({ type: "layout-shift", buffered: true });
"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, driven by Playwright."""
    if CHROMIUM is None:
        reason = "no chromium on this machine: make setup-browser installs Debian's"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


CARD = {"torch": "2.9.1", "cpus": 16, "device_name": "NVIDIA H200", "device_memory_mib": 143_771}


@pytest.fixture(scope="session")
def site(sqlite_files: Any, s3: Server, valkey: Server) -> Iterator[tuple[str, World]]:
    """The address of a live server, and its data: finished and running jobs, workers, a schedule."""
    patch = pytest.MonkeyPatch()
    home = Path(tempfile.mkdtemp(prefix="gfi-"))  # short, because screenshots show it
    world = make_world(environment(sqlite_files.create(), s3, valkey, home), patch)
    from fastapi.testclient import TestClient

    with serving() as url, TestClient(create_app()) as client:
        world.client = client
        _furnish(world)
        yield url, world
    world.database.dispose()
    patch.undo()
    shutil.rmtree(home, ignore_errors=True)


def _furnish(world: World) -> None:
    world.explained(name="First look", total=400, preset="paper", metrics=["deletion", "insertion"])
    released = world.explained(name="Released preset", preset="released")
    world.explained(name="By class", target="coffee")
    _compared(world, released, released)
    world.planned(total=60, size=12, name="Under way", preset="tuned")
    for _ in range(2):
        world.explain_shard()
    claim = ledger.claim_shard(world.database, "host-1:4711", "explain", 600.0)
    assert claim is not None
    for number, device in enumerate(("cpu", "cuda:NVIDIA H200")):
        ledger.heartbeat(
            world.database,
            {
                "id": f"host-{number}:4711",
                "host": f"host-{number}",
                "device": device,
                "queues": ["explain", "interactive"],
                "rate": 0.5 + 20 * number,
                "memory_mib": 2100.0,
                "shard_id": claim.shard_id if number else None,
                "facts": CARD if number else {"torch": "2.9.1", "cpus": 2},
            },
        )
    body = {"dataset": str(world.photographs), "model": "tiny"}
    made = world.call(
        "POST",
        "/v1/schedules",
        json={"name": "nightly", "cron": "0 2 * * *", "zone": "Europe/Berlin", "job": body},
    )
    assert made.status_code == 201, made.text


def _compared(world: World, a: str, b: str) -> None:
    """A comparison that is done."""
    made = world.call("POST", "/v1/comparisons", json={"a": a, "b": b})
    assert made.status_code == 202, made.text
    claim = ledger.claim_control(world.database, "w", 60.0, wanted=ledger.Wanted(kinds=[ControlKind.COMPARE]))
    assert claim is not None
    services = ControlServices(world.settings, world.database, world.bucket)
    assert perform(services, claim, threading.Event()) == "compared"


class Visit:
    """A page of a signed-in browser, the errors in its console, and the hosts to which it sent requests."""

    def __init__(self, browser: Any, url: str, world: World, width: int = 1280, height: int = 900) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height})
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", lambda line: line.type == "error" and self.complaints.append(line.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "request",
            lambda request: self.hosts.add(request.url.split("/")[2] if "//" in request.url else ""),
        )
        self.context.add_init_script(SHIFTS)
        self.url = url
        self.page.goto(f"{url}/sign-in#{create_link(world.database, 60.0)}")
        self.page.wait_for_url(f"{url}/jobs")

    def open(self, path: str) -> Any:
        """Go to a page and wait until it has loaded."""
        self.page.goto(f"{self.url}{path}")
        self.page.wait_for_load_state("load")
        return self.page


@pytest.fixture
def shoot() -> Callable[[Any, str], None]:
    """Save a picture of a page for docs/, below GFI_PICTURES (`make pictures`); without that variable, do nothing."""
    folder, theme = os.environ.get("GFI_PICTURES"), os.environ.get("GFI_PICTURES_THEME", "light")

    def keep(page: Any, name: str) -> None:
        if not folder:
            return
        page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(300)
        kind = "-phone" if page.viewport_size["width"] <= 400 else ""
        target = Path(folder) / f"dashboard-{name}{kind}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(io.BytesIO(page.screenshot())) as picture:
            plain = picture.convert("RGB")
            # 256 colours are a third of the bytes, and enough where there are no photographs.
            (plain if page.locator("main img").count() else plain.quantize(256)).save(target, optimize=True)

    return keep
