"""The page of a job."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from gfi.store import ledger
from tests.browser.conftest import Visit, faults, the_job
from tests.service.api.conftest import World
from tests.speed import slowness


def test_a_job_that_is_tried_again_is_watched_again(visit: Visit, site: tuple[str, World]) -> None:
    job = site[1].explained(name="Again")
    page = visit.open(f"/jobs/{job}")
    page.click("text=Try failed images again")
    expect(page.locator("#sub")).to_contain_text("Planning")
    site[1].call("DELETE", f"/v1/jobs/{job}")
    ended = "Partial — its retry was cancelled; 1 of 10 images are error"
    expect(page.locator("#sub")).to_have_text(ended, timeout=10_000 * slowness())  # without a reload


@pytest.mark.parametrize("visit", [(1280, 900), (400, 800)], indirect=True, ids=["1280px", "400px"])
def test_a_job_says_why_it_waits_and_an_image_who_flagged_it(
    visit: Visit, site: tuple[str, World], shoot: Callable[[Any, str], None]
) -> None:
    world, page = site[1], visit.page
    refused = (
        "http://minio.internal.example.org:9000/gfi/" + "parts/" * 12 + "x.parquet: the store has no room"
    )

    def says(job: str, text: str, name: str) -> None:
        visit.open(f"/jobs/{job}")
        expect(page.locator("#sub")).to_contain_text(f"waits: {text}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert faults(page) == []
        shoot(page, name)

    shard = world.planned(total=8, size=4, name="Shards wait", priority=100)
    claim = ledger.claim_shard(world.database, "w", "explain", 60.0)
    assert claim is not None
    ledger.release_shard(world.database, claim, refused, failure_class="store", transient=True)
    says(shard, f"4 images: {refused}", "waits-shard")
    assert refused in page.inner_text("#failures")
    plan = str(world.submit(name="Planning waits").json()["job"]["id"])
    task = ledger.claim_control(world.database, "host-2:5", 60.0)
    assert task is not None
    ledger.fail_control(world.database, task, refused, outage=True)
    says(plan, f"list a dataset: {refused}; it is tried again", "waits-plan")
    for job in (shard, plan):
        world.call("DELETE", f"/v1/jobs/{job}")
    expect(page.locator("#sub")).to_have_text("Cancelled", timeout=30_000 * slowness())
    first = the_job(world)
    world.call(
        "PUT", f"/v1/jobs/{first}/results/2/flag", json={"flag": "look", "note": "a frame at the edge"}
    )
    visit.open(f"/jobs/{first}/gallery")
    page.locator(".card").nth(2).click()
    owner = page.locator("#flag-owner")
    expect(owner).to_contain_text("Flagged by admin-test")
    owner.scroll_into_view_if_needed()
    expect(owner).to_be_in_viewport()
    assert faults(page) == []
    shoot(page, "flagged")
    world.call("DELETE", f"/v1/jobs/{first}/results/2/flag")
