"""The gallery of a large job scrolled in Chromium, measured by Chromium's own trace; part of `make bench-api`.

Pictures are answered by the browser itself with one small JPEG, so that the page is measured and not the drawing of
masks, which needs the parts. The wheel turns by 400 px every 16 ms for some seconds, through several pages of results.
From the trace: the time between two frames that the compositor drew (`DrawFrame`), and how long the page's own thread
was busy without a pause (`RunTask` above 50 ms is what the browser calls a long task).
"""

import io
import json
import shutil
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
CATEGORIES = ["disabled-by-default-devtools.timeline", "disabled-by-default-devtools.timeline.frame"]
STEPS, STEP_PX, STEP_MS = 240, 400, 16
MOST_S = 10.0
"""A machine that is busy turns the wheel less often, and for no longer than this."""
LONG_MS = 50.0


def scroll(url: str, link: str, job: str, rows: int, add: Callable[..., None]) -> None:
    """Scroll the gallery and add two rows of figures: frames, and long tasks. Says so where chromium is missing.

    url: the address of a live API. link: the secret of a one-time sign-in. add: `Figures.add`, which takes seconds.
    """
    if CHROMIUM is None:
        print("the gallery is not scrolled: there is no chromium on this machine")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{url}/sign-in#{link}")
        page.wait_for_url(f"{url}/jobs")
        picture = _picture()
        for name in ("photo.jpg", "mask.png", "thumbnail.jpg"):
            page.route(f"**/{name}?*", lambda route: route.fulfill(body=picture, content_type="image/jpeg"))
        page.goto(f"{url}/jobs/{job}/gallery")
        page.wait_for_selector(".card img")
        page.mouse.move(640, 600)
        browser.start_tracing(page=page, categories=CATEGORIES)
        end = time.monotonic() + MOST_S
        for _ in range(STEPS):
            page.mouse.wheel(0, STEP_PX)
            page.wait_for_timeout(STEP_MS)
            if time.monotonic() > end:
                break
        trace = json.loads(browser.stop_tracing())
        cards = page.locator(".card").count()
        browser.close()
    frames, tasks = of_trace(trace["traceEvents"])
    add(f"gallery scrolled, {cards} cards: between frames", rows, frames, 33.4)
    add("gallery scrolled: tasks above 50 ms, or the longest", rows, tasks, LONG_MS)


def of_trace(events: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """The seconds between the frames that were drawn, and those of the main thread's long tasks.

    Without a long task, the longest one. Raises ValueError for a trace without frames.
    """
    thread = lambda event: (event.get("pid"), event["tid"])  # noqa: E731
    main = {thread(e) for e in events if e["name"] == "thread_name" and e["args"]["name"] == "CrRendererMain"}
    drawn = sorted(e["ts"] for e in events if e["name"] == "DrawFrame")
    tasks = [e["dur"] / 1e6 for e in events if e["name"] == "RunTask" and "dur" in e and thread(e) in main]
    if len(drawn) < 2 or not tasks:
        raise ValueError("the trace has no frames; does this chromium know the categories?")
    long = [seconds for seconds in tasks if seconds > LONG_MS / 1000]
    return [(b - a) / 1e6 for a, b in pairwise(drawn)], long or [max(tasks)]


def _picture() -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.effect_noise((256, 192), 60).convert("RGB").save(out, "JPEG", quality=80)
    return out.getvalue()
