"""The page of models."""

import pytest
from playwright.sync_api import expect

from gfi.store import ledger, queries
from tests.browser.conftest import Visit, faults
from tests.service.api.conftest import World, model_record


@pytest.mark.parametrize("visit", [(1280, 900), (400, 800)], indirect=True, ids=["1280px", "400px"])
def test_versions_of_a_model_are_shown_and_removed(visit: Visit, site: tuple[str, World]) -> None:
    database, name = site[1].database, f"birds-{visit.page.viewport_size['width']}"
    record = model_record() | {"nondeterministic": "the outputs of one image differ by 0.3"}
    for number, note in enumerate(("epoch 30", "x" * 1000, "")):
        ledger.save_model(database, name, f"{number}" * 64, record, actor="ann", note=note)
    ledger.delete_model(database, f"{name}@1")
    page = visit.open("/models")
    row = page.locator("#rows tr", has_text=name)
    expect(row).to_contain_text("Not repeatable: the outputs of one image differ by 0.3")
    row.get_by_role("button", name="Versions").click()
    shown = page.locator("#versions tr")
    expect(shown).to_have_count(2)
    expect(shown.first).to_contain_text("@3")
    expect(shown.first).to_contain_text("ann")
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.on("dialog", lambda dialog: dialog.accept())
    for left in (1, 0):
        shown.first.get_by_role("button", name="Remove").click()
        expect(shown if left else row).to_have_count(left)
    expect(page.locator("#versions-panel")).to_be_hidden()
    assert queries.find_model(database, name) is None
