"""An auditor who follows docs/audit.md gets from the page of a job to the images of a shortcut."""

import re
import zipfile

import pytest
import sqlalchemy as sa

from gfi.domain.states import ControlKind
from gfi.store.tables import audits
from tests.browser.conftest import AUDITED_ROWS, Visit, audited, faults, perform_task
from tests.service.api.conftest import World


def test_an_auditor_exports_the_images_of_a_shortcut_in_four_clicks_from_the_page_of_a_job(
    visit: Visit, site: tuple[str, World]
) -> None:
    world = site[1]
    job = world.explained(total=12, name="Audited")
    made = audited(world, job)
    page = visit.open(f"/jobs/{job}")
    page.click(f"a[href='/audits/{made}']")  # first click: the audit
    shortcut = page.locator("#finding-0123456789ab")
    shortcut.wait_for()
    assert "grown" in shortcut.inner_text()
    assert "Before: suspected, seen in 1 of 9 images." in shortcut.inner_text()
    assert (
        "Found by the audit before, and not by this one."
        in page.locator("#finding-ba9876543210").inner_text()
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert faults(page) == []
    shortcut.get_by_text("Show these 3 images in the gallery").click()  # second click: its images
    page.wait_for_selector(".card img")
    assert sorted(int(card.get_attribute("data-row")) for card in page.locator(".card").all()) == AUDITED_ROWS
    page.locator("#grid").focus()
    page.keyboard.press("a")  # selects them
    page.select_option("#export-format", "cvat")  # third click: the format
    with page.expect_download() as download, page.expect_response("**/exports") as asked:
        page.click("#export-selected")  # fourth click: a task makes it, and it is downloaded
        assert asked.value.status == 202
        perform_task(world, ControlKind.EXPORT)
    with zipfile.ZipFile(download.value.path()) as archive:
        annotations = archive.read("annotations.xml").decode()
    assert sorted(map(int, re.findall(r'<image id="(\d+)"', annotations))) == AUDITED_ROWS
    assert annotations.count("<mask ") == annotations.count("<box ") == 3


@pytest.mark.parametrize("visit", [(400, 800)], indirect=True)
def test_an_audit_is_asked_for_on_the_page_of_a_job(visit: Visit, site: tuple[str, World]) -> None:
    world = site[1]
    job = world.explained(total=12, name="To audit")
    page = visit.open(f"/jobs/{job}")
    page.click("#actions >> text=Audit")
    page.fill("[name=classes]", "rocket")
    page.fill("[name=training]", job)  # its own images: refused, and the form stays
    page.click("text=Start the audit")
    refused = page.locator("#refused")
    refused.wait_for()
    assert "is over the audited images" in refused.inner_text()
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    visit.complaints.clear()  # the browser's own line about the answer 422
    page.fill("[name=training]", "")
    page.click("text=Start the audit")
    page.wait_for_url("**/audits/*")
    made = world.call("GET", "/v1/audits").json()[0]
    assert (made["id"], made["options"]["classes"]) == (page.url.rsplit("/", 1)[1], [2])
    assert world.call("DELETE", f"/v1/audits/{made['id']}").json()["state"] == "cancelled"


@pytest.mark.parametrize("visit", [(400, 800)], indirect=True)
def test_an_audit_until_settled_is_estimated_before_it_begins(visit: Visit, site: tuple[str, World]) -> None:
    world = site[1]
    page = visit.open("/audits")
    page.wait_for_selector("[name=model] option", state="attached")
    page.fill("[name=dataset]", str(world.photographs))
    page.fill("[name=margin]", "0.3")
    page.click("text=Estimate")
    page.wait_for_selector("#estimate dd")
    assert "at most" in page.locator("#estimate").inner_text()
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.click("text=Start the audit")
    page.wait_for_url("**/audits/*")
    made = world.call("GET", "/v1/audits").json()[0]
    assert made["id"] == page.url.rsplit("/", 1)[1]
    assert made["options"]["until_settled"]["margin"] == 0.3
    assert world.call("DELETE", f"/v1/audits/{made['id']}").json()["state"] == "cancelled"


@pytest.mark.parametrize("visit", [(400, 800)], indirect=True)
def test_an_audit_is_asked_for_again_where_that_is_the_same_question(
    visit: Visit, site: tuple[str, World]
) -> None:
    world = site[1]
    job = world.explained(total=12, name="Asked once")
    for options, shown in (
        ({"dry_run": False, "classes": [], "patch": None}, 1),
        ({"dry_run": False, "classes": [2], "patch": "audits/x/patches/y.png"}, 0),
        ({"dry_run": False, "classes": [], "patch": None, "until_settled": {"first": 40}}, 0),
    ):
        made = audited(world, job)
        with world.database.begin() as connection:
            connection.execute(sa.update(audits).where(audits.c.id == made).values(options=options))
        page = visit.open(f"/audits/{made}")
        page.locator("text=Verify").wait_for()
        assert page.locator("text=Audit again").count() == shown
