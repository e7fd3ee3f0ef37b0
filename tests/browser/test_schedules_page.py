"""The page of schedules."""

from playwright.sync_api import expect

from tests.browser.conftest import Visit, faults
from tests.service.api.conftest import World


def test_a_gate_that_nobody_hears_of_is_named_when_it_is_added_and_in_the_list(
    visit: Visit, site: tuple[str, World]
) -> None:
    page = visit.open("/schedules")
    for name, value in (("name", "weekend"), ("cron", "60h"), ("dataset", str(site[1].photographs))):
        page.locator(f"[name={name}]").fill(value)
    expect(page.locator("[name=model] option[value=tiny]")).to_have_count(1)
    page.locator("[name=model]").select_option("tiny")
    page.locator("[name=gate]").fill("[limits]\nflips = 0.05")
    page.locator("[name=notify]").select_option("fail undecided")
    page.get_by_role("button", name="Add").click()
    expect(page.locator("#toasts")).to_contain_text("Nobody is told what follows the jobs of weekend")
    row = page.locator("#rows tr", has_text="weekend")
    expect(row).to_contain_text("every 60h UTC")  # not rounded to days
    expect(row).to_contain_text("then compare, then notify, tells nobody")
    assert faults(page) == []
    page.on("dialog", lambda dialog: dialog.accept())
    row.get_by_role("button", name="Remove").click()
    expect(row).to_have_count(0)
