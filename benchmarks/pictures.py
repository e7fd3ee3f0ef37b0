"""The pictures with real masks, from what `make demo` left in .gfi: a part of `make pictures`.

masks.png                    photographs, masks and overlays of the report
report.png                   the report's page
dashboard-gallery.png        the same job in the dashboard, with the stack started again;
dashboard-viewer.png         one image of it;
dashboard-job.png            its page
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
    """The demo's job in a live dashboard."""
    _, database = open_stack()
    job = next(each for each in queries.list_jobs(database) if each.name == "Bundled photographs")
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


def keep(page: Any, name: str) -> None:
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1000)
    page.screenshot(path=PICTURES / f"{name}.png")
    print(PICTURES / f"{name}.png")


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
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
        sys.exit(f"no report in {images.parent}: make demo writes one")
    rows: dict[str, list[Cell]] = {"photograph": [], "mask": [], "overlay": []}
    for photo in photos[:: max(1, len(photos) // SHOWN)][:SHOWN]:
        rgb = np.asarray(Image.open(photo).convert("RGB"))
        grey = (
            Image.open(photo.with_name(photo.name.replace("-photo.jpg", "-mask.png")))
            .convert("LA")
            .getchannel(0)
        )
        mask = (
            np.asarray(grey.resize((rgb.shape[1], rgb.shape[0]), Image.Resampling.BILINEAR), np.float32) / 255
        )
        rows["photograph"].append(Cell(rgb))
        rows["mask"].append(Cell(colour(mask)))
        rows["overlay"].append(Cell(overlay(rgb, mask, 0.55)))
    target = PICTURES / "masks.png"
    target.write_bytes(contact_png([""] * SHOWN, list(rows.items())))
    print(target)


if __name__ == "__main__":
    main()
