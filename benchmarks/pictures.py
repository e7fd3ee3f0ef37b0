"""The pictures of docs/pictures that show real masks: a part of `make pictures`, which runs `make demo` first.

masks.png                    photographs, masks and overlays of the report
report.png                   the report
dashboard-job.png            the page of the same job in the dashboard
dashboard-gallery.png        its gallery
dashboard-viewer.png         one image of the gallery
dashboard-audit.png          the audit of the drawn shapes
"""

import contextlib
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from gfi.cli.home import open_stack, running_stack
from gfi.cli.stack import Stack
from gfi.report.contact_sheet import Cell, contact_png
from gfi.report.overlays import colour, overlay
from gfi.store import queries
from gfi.store.ledger.tokens import create_link

SHOWN = 6
ROOT = Path(__file__).parents[1]
HOME = ROOT / ".gfi"
PICTURES = ROOT / "docs" / "pictures"


def main() -> None:
    """Draw masks.png, then photograph the pages in a browser."""
    masks()
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto((HOME / "demo" / "index.html").as_uri())
        keep(page, "report")
        stack = Stack(HOME, workers=0)
        stack.start()
        try:
            dashboard(browser)
        finally:
            stack.stop()


def dashboard(browser: Any) -> None:
    """The demo's job in the dashboard of a running service."""
    _, database = open_stack()
    job = next(j for j in queries.list_jobs(database) if j.name == "Bundled photographs")
    record = running_stack(HOME)
    assert record is not None
    url = record["api_url"]
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"{url}/livez")
            break
        assert time.monotonic() < deadline, "the API did not start"
        time.sleep(0.5)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{url}/sign-in#{create_link(database, 60.0)}")
    page.wait_for_url(f"{url}/jobs")
    page.goto(f"{url}/jobs/{job.id}")
    keep(page, "dashboard-job")
    page.goto(f"{url}/jobs/{job.id}/gallery")
    page.wait_for_selector("#grid img")
    keep(page, "dashboard-gallery")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    keep(page, "dashboard-viewer")
    shapes = next(j for j in queries.list_jobs(database) if j.name == "Drawn shapes")
    page.goto(f"{url}/audits/{queries.list_audits(database, shapes.id)[0].id}")
    page.wait_for_selector("main img")
    keep(page, "dashboard-audit")


def keep(page: Any, name: str) -> None:
    """Write what the browser shows to docs/pictures."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1000)
    page.screenshot(path=PICTURES / f"{name}.png")
    print(PICTURES / f"{name}.png")


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser, closed at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


def masks() -> None:
    """docs/pictures/masks.png."""
    images = HOME / "demo" / "images"
    photos = sorted(images.glob("*-photo.jpg"))
    if not photos:
        sys.exit(f"there is no report in {images.parent}; run `make demo`, which writes one")
    rows: dict[str, list[Cell]] = {"photograph": [], "mask": [], "overlay": []}
    for photo in photos[:: max(1, len(photos) // SHOWN)][:SHOWN]:
        rgb = np.asarray(Image.open(photo).convert("RGB"))
        file = photo.with_name(photo.name.replace("-photo.jpg", "-mask.png"))
        small = Image.open(file).convert("LA").getchannel(0)
        grey = small.resize((rgb.shape[1], rgb.shape[0]), Image.Resampling.BILINEAR)
        mask = np.asarray(grey, np.float32) / 255
        rows["photograph"].append(Cell(rgb))
        rows["mask"].append(Cell(colour(mask)))
        rows["overlay"].append(Cell(overlay(rgb, mask, 0.55)))
    target = PICTURES / "masks.png"
    target.write_bytes(contact_png([""] * SHOWN, list(rows.items())))
    print(target)


if __name__ == "__main__":
    main()
