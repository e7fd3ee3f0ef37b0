"""The dashboard in headless Chromium, against a live server; the tests themselves act as the worker.

Without Chromium these tests are skipped with a reason; with CI=true that is a failure.
"""

import io
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from gfi.api import create_app
from gfi.cli.servers import Server
from gfi.datasets import manifest
from gfi.datasets.annotations.boxes import Box
from gfi.datasets.manifest import Entry
from gfi.domain.records import ControlClaim
from gfi.domain.states import ControlKind
from gfi.store import ledger
from gfi.store.ledger.tokens import create_link
from scheduler.services import ControlServices
from scheduler.tasks import perform
from tests.programs import installed
from tests.service.api.conftest import World, environment, make_world, serving
from tests.speed import slowness

AXE = (Path(__file__).parent / "assets" / "axe.min.js").read_text()
expect.set_options(timeout=5_000 * slowness())
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

AUDITED_ROWS = [2, 5, 8]
"""The images of the shortcut of `audited`."""

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

SCRIPTS = (
    "Promise.all([...document.scripts].filter(({ type }) => type === 'module').map(({ src }) => import(src)))"
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, driven by Playwright."""
    path = installed("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
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
    first = replace(world, labelled=True)
    boxed = first.explained(name="First look", total=400, preset="paper", metrics=["deletion", "insertion"])
    _with_boxes(world, boxed, 400)
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
                "state": "up",
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


def _with_boxes(world: World, job: str, images: int) -> None:
    """Upload a manifest in which each image has two boxes, one of them of the class coffee."""
    boxes = (
        Box(None, 0.2, 0.25, 0.6, 0.75, unit="fraction"),
        Box("coffee", 0.5, 0.1, 0.95, 0.4, unit="fraction"),
    )
    path = world.settings.home / "boxes.parquet"
    manifest.write((Entry(row, f"{row}.jpg", 1, "v", boxes=boxes) for row in range(images)), path, {})
    world.bucket.put(f"jobs/{job}/manifest.parquet", path)


def _compared(world: World, a: str, b: str) -> None:
    """A comparison that is done."""
    made = world.call("POST", "/v1/comparisons", json={"a": a, "b": b})
    assert made.status_code == 202, made.text
    assert perform_task(world, ControlKind.COMPARE) == "compared"


def audited(world: World, job: str) -> str:
    """An audit of the job that is done, compared with an earlier one: a shortcut, and a finding that is gone."""
    made = world.call("POST", f"/v1/jobs/{job}/audit", json={}).json()["audit"]["id"]
    finding = {
        "id": "0123456789ab",
        "class_index": 2,
        "class_name": "rocket",
        "kind": "place",
        "verdict": "repeated_mark_shortcut",
        "history": "grown",
        "sentence": 'A shortcut: "rocket" relies on the same pixels again and again, at the top left.',
        "record": {
            **{"number_tested": 0, "pictures": [], "rows": AUDITED_ROWS, "where": "top left"},
            "before": "suspected, seen in 1 of 9 images",
            "view": f"/jobs/{job}/gallery?finding={made}:0123456789ab",
            "command": f"gfi audit {job} --class rocket",
        },
        **{
            "accepted": False,
            "dismissed": "",
            "note": "",
            "assignee": "",
            "decided_by": "",
            "decided_at": None,
        },
    }
    gone = finding | {"id": "ba9876543210", "history": "gone", "class_name": "cat"}
    counts = {"shortcuts": 1, "verdicts": {"repeated_mark_shortcut": 1}, "history": {"grown": 1, "gone": 1}}
    told = {"notes": ["A note."], "limits": [], "number_tested": 1, "proposed": 1, "images": 12, "classes": 3}
    summary = counts | told | {"answers": 62, "boxed": 0, "previous": "earlier"}
    plan = {"candidates": 1, "answers": 62, "estimate_s": None, "photographs": True}

    def claimed(queue: str, kind: ControlKind) -> ControlClaim:
        claim = ledger.claim_control(world.database, "w", 60.0, wanted=ledger.Wanted(queue, kinds=[kind]))
        assert claim is not None
        return claim

    claim = claimed("control", ControlKind.SCREEN)
    ledger.finish_control(
        *(world.database, claim, plan),
        lambda c: ledger.write_screened(c, made, claim.task_id, plan, True),
    )
    tests = claimed("explain", ControlKind.CONFIRM)
    ledger.finish_control(
        *(world.database, tests, plan),
        lambda c: ledger.write_findings(c, made, tests.task_id, summary, [finding, gone]),
    )
    return str(made)


def perform_task(world: World, kind: ControlKind) -> str:
    """Perform the next task of this kind as a control worker does. Returns what became of it."""
    claim = ledger.claim_control(world.database, "w", 60.0, wanted=ledger.Wanted(kinds=[kind]))
    assert claim is not None
    services = ControlServices(world.settings, world.database, world.bucket)
    return perform(services, claim, threading.Event())


class Visit:
    """A page of a signed-in browser, the errors in its console, and the hosts to which it sent requests."""

    def __init__(self, browser: Any, url: str, signed_in: Any, width: int = 1280, height: int = 900) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, storage_state=signed_in
        )
        self.context.set_default_timeout(5_000 * slowness())
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

    def open(self, path: str) -> Any:
        """Go to a page and wait until its scripts have run: before that a click does nothing.

        The event `load` does not wait for a module that itself waits, as for the vocabulary; importing it again does.
        """
        self.page.goto(f"{self.url}{path}")
        self.page.evaluate(SCRIPTS)
        return self.page


@pytest.fixture(scope="session")
def signed_in(browser: Any, site: tuple[str, World]) -> Any:
    """The cookie of a session, for the contexts of all tests: signing in through the page takes half a second."""
    url, world = site
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/sign-in#{create_link(world.database, 600.0)}")
    page.wait_for_url(f"{url}/jobs")
    state = context.storage_state()
    context.close()
    return {"cookies": state["cookies"], "origins": []}


@pytest.fixture
def visit(
    browser: Any, site: tuple[str, World], signed_in: Any, request: pytest.FixtureRequest
) -> Iterator[Visit]:
    """A signed-in browser, as wide as the test's parameter says. At the end its console must have no errors."""
    url = site[0]
    made = Visit(browser, url, signed_in, *getattr(request, "param", (1280, 900)))
    yield made
    made.context.close()
    assert made.complaints == []
    assert made.hosts <= {url.partition("//")[2], ""}, "a request left the host"  # "": a file


def the_job(world: World) -> str:
    """The furnished job with 400 images, labels and a column `site`."""
    found = world.call("GET", "/v1/jobs", params={"search": "First look"}).json()["items"]
    return str(next(job["id"] for job in found if job["name"] == "First look"))


def faults(page: Any) -> list[str]:
    """What axe finds on a page that is serious or critical."""
    # Evaluated by the driver, not loaded by the page: the content security policy is not changed.
    page.evaluate(AXE)
    report = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{fault['id']}: {fault['nodes'][0]['html'][:200]} {fault['nodes'][0]['failureSummary']}"
        for fault in report["violations"]
        if fault["impact"] in ("serious", "critical")
    ]


def frames(page: Any) -> None:
    """Wait until the effects of events and observers have been drawn."""
    frame = "new Promise((then) => requestAnimationFrame(then))"
    for _ in range(4):
        page.evaluate(frame)


def wait_for(page: Any, true: Callable[[], bool], patience_s: float = 10.0) -> None:
    """Process the browser's events until this is true."""
    end = time.monotonic() + patience_s * slowness()
    while not true():
        assert time.monotonic() < end, "it never became true"
        page.wait_for_timeout(20)


def cards(page: Any, number: int) -> None:
    """Wait until the gallery has this many cards."""
    # wait_for_function would evaluate a string in the page, which its content security policy forbids.
    expect(page.locator(".card")).to_have_count(number)


def play(world: World) -> None:
    """Plan the jobs that wait, and explain them."""
    while (claim := ledger.claim_control(world.database, "planner", 60.0)) is not None:
        if claim.kind is ControlKind.PLAN:
            bounds = [(at, min(at + 4, 10)) for at in range(0, 10, 4)]
            assert ledger.finish_planning(
                world.database, claim, manifest_key="m", manifest_digest="m" * 64, total=10, shards=bounds
            )
        else:
            assert ledger.finish_control(world.database, claim)
    while world.explain_shard():
        pass
    ledger.finish_jobs(world.database)


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
