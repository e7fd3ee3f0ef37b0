"""Every page at 1280 and 400 px, light and dark: accessible, quiet, without layout shift; pictures for docs/."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit, audited, faults, the_job
from tests.service.api.conftest import World

PAGES = [
    "/jobs",
    "/jobs/{job}",
    "/jobs/{job}/gallery",
    "/jobs/{job}/classes?class=cat",
    "/jobs/{job}/confusion",
    "/jobs/{job}/histograms",
    "/audits",
    "/audits/{audit}",
    "/schedules",
    "/comparisons",
    "/comparisons/{comparison}",
    "/models",
    "/workers",
    "/tokens",
]


@pytest.mark.parametrize("visit", [(1280, 900), (400, 800)], indirect=True, ids=["1280px", "400px"])
def test_every_page_is_accessible_fits_and_is_quiet(
    visit: Visit, site: tuple[str, World], shoot: Callable[[Any, str], None], tmp_path: Path
) -> None:
    job = the_job(site[1])
    comparison = site[1].call("GET", "/v1/comparisons").json()[0]["id"]
    audit = audited(site[1], site[1].explained(total=12, name="Audited"))
    for path in PAGES:
        page = visit.open(path.format(job=job, comparison=comparison, audit=audit))
        page.wait_for_selector(
            ".card img" if "gallery" in path else "main td, main .figures strong, .brush rect"
        )
        for theme in ("light", "dark") if page.viewport_size["width"] > 400 else ("light",):
            page.evaluate("name => { document.documentElement.dataset.theme = name }", theme)
            assert faults(page) == [], f"{path} {theme}"
        moved = page.evaluate("moved")
        assert sum(share for share, *_ in moved) < 0.05, f"{path} jumps while it loads: {moved}"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} scrolls sideways"
        last = path.partition("?")[0].rpartition("/")[2]
        if last != "{audit}":  # its picture is of the demo's shapes: benchmarks/pictures.py
            shoot(page, {"{job}": "job", "{comparison}": "comparison"}.get(last, last))
    page = visit.open(f"/jobs/{job}/gallery")
    page.locator(".card").nth(3).click()
    page.wait_for_selector("dialog[open]")
    assert faults(page) == []
    shoot(page, "viewer")
    _check_report(visit, site[1], job, tmp_path)
    page = visit.open("/jobs")
    page.click("#new")
    page.wait_for_selector("#metrics input")
    page.fill("[name=dataset]", str(site[1].photographs))
    page.press("[name=dataset]", "Tab")
    page.wait_for_selector("#preview figure img")
    page.click("#estimate-button")
    page.wait_for_selector("#estimate dd")
    assert faults(page) == []
    shoot(page, "submit")


def _check_report(visit: Visit, world: World, job: str, folder: Path) -> None:
    """The report opens from disk: accessible, light and dark, without layout shift; its tools are not printed."""
    made = world.call("GET", f"/v1/jobs/{job}/report.zip", params={"limit": 12})
    with zipfile.ZipFile(io.BytesIO(made.content)) as archive:
        archive.extractall(folder)
    page = visit.page
    page.goto((folder / "index.html").as_uri())
    expect(page.locator(".card")).to_have_count(12)
    for theme in ("light", "dark"):
        page.evaluate("name => { document.documentElement.dataset.theme = name }", theme)
        assert faults(page) == [], f"report {theme}"
    assert sum(share for share, *_ in page.evaluate("moved")) < 0.05
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.emulate_media(media="print")
    expect(page.locator(".tools")).to_be_hidden()
    assert page.locator(".card").first.is_visible()
    page.emulate_media(media="screen")
