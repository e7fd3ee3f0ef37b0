"""The list of jobs and its form."""

import threading
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import Visit, cards, frames, play, wait_for
from tests.service.api.conftest import World
from tests.speed import slowness


def test_submit_progress_gallery_flag(visit: Visit, site: tuple[str, World]) -> None:
    url, world = site
    page = visit.open("/jobs")
    page.click("#new")
    page.fill("[name=dataset]", str(world.photographs))
    page.press("[name=dataset]", "Tab")
    page.wait_for_selector("#preview figure img")
    page.fill("#plan-hours", "2")
    page.click("#estimate-button")
    page.wait_for_selector("#estimate dd")
    assert "gfi bench tiny" in page.inner_text("#estimate")  # it never ran, and says what to do
    page.fill("#composer [name=rather_than]", "coffee")
    page.fill("#composer [name=name]", "By hand")
    page.click("#composer [type=submit]")
    page.wait_for_url(f"{url}/jobs/*")
    job = page.url.rpartition("/")[2]
    page.wait_for_selector("text=Queued")
    page.wait_for_selector("text=Rather than")
    assert world.call("GET", f"/v1/jobs/{job}").json()["config"]["rather_than"] is not None
    played = threading.Thread(target=play, args=(world,), daemon=True)
    played.start()
    page.wait_for_selector(
        "text=Partial", timeout=20_000 * slowness()
    )  # from the event stream, without a reload
    played.join()
    assert "10 / 10" in page.inner_text("#figures")
    page.click("text=Gallery")
    page.wait_for_selector(".card img")
    page.locator("#grid").press("ArrowRight")
    page.wait_for_selector("#card-1.current")
    page.locator("#grid").press("Enter")
    page.wait_for_selector("dialog[open]")
    assert page.inner_text("#place") == "2 of 10"
    expect(page.locator("#viewer-about")).to_contain_text("0 is black and 1023 white (10 bits by the file)")
    expect(page.locator("#viewer-about")).to_contain_text("a box is cut")
    expect(page.locator("#viewer-close")).to_be_focused()  # Enter opens, Enter closes
    page.click("#after")
    expect(page.locator("#place")).to_have_text("3 of 10")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#place")).to_have_text("2 of 10")
    page.locator("#viewer-opacity").fill("30")
    expect(page.locator("#opacity-value")).to_have_text("30 %")
    page.fill("#flag-note", "the tripod, not the man")
    page.click("#flag-form [type=submit]")
    page.wait_for_selector(".mark", state="attached")
    page.keyboard.press("Escape")
    page.click("#more-tools")
    page.check("#flagged")
    cards(page, 1)
    assert world.call("GET", f"/v1/jobs/{job}/flags").json()[0]["note"] == "the tripod, not the man"
    with page.expect_download() as download:
        page.click("#export")
    assert "the tripod" in Path(download.value.path()).read_text()


def test_photographs_from_this_computer_become_an_interactive_job(
    visit: Visit, site: tuple[str, World]
) -> None:
    url, world = site
    page = visit.open("/jobs")
    page.click("#new")
    expect(page.locator("[name=photographs]")).to_be_enabled()
    page.set_input_files("[name=photographs]", [world.photographs / name for name in world.names[:2]])
    expect(page.locator("#preview figure img")).to_have_count(2)
    assert "deleted after 24 hours" in page.inner_text("#preview")
    assert page.is_disabled("[name=dataset]")
    page.fill("#composer [name=name]", "From here")
    page.click("#composer [type=submit]")
    page.wait_for_url(f"{url}/jobs/*")
    job = world.call("GET", f"/v1/jobs/{page.url.rpartition('/')[2]}").json()
    assert (job["queue"], job["name"], job["config"]["metrics"]) == (
        "interactive",
        "From here",
        ["deletion", "insertion"],
    )
    uploaded = f"uploads/{job['dataset'].removeprefix('upload:')}/"
    assert len(list(world.bucket.list(uploaded))) == 2


def test_an_answer_that_comes_late_replaces_no_newer_one(visit: Visit, site: tuple[str, World]) -> None:
    page = visit.open("/jobs")
    page.wait_for_selector("#jobs td")
    held: list[Any] = []
    page.route("**/v1/jobs?limit=50", lambda route: held.append(route))
    wait_for(page, lambda: len(held) == 1)  # the list is read again every two seconds
    page.fill("#search", "By class")
    expect(page.locator("#jobs tbody tr")).to_have_count(1)
    with page.expect_response("**/v1/jobs?limit=50"):
        held.pop().continue_()
    frames(page)
    assert page.locator("#jobs tbody tr").count() == 1
