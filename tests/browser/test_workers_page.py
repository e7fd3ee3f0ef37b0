"""The page of workers."""

from playwright.sync_api import expect

from tests.browser.conftest import Visit


def test_workers_are_shown_with_their_devices(visit: Visit) -> None:
    page = visit.open("/workers")
    expect(page.locator("#rows")).to_contain_text("NVIDIA H200")
    expect(page.locator("#rows")).to_contain_text("140 GiB, torch 2.9.1, 16 CPUs")
