"""The page of tokens."""

from tests.browser.conftest import Visit


def test_a_token_is_made_shown_once_and_revoked(visit: Visit) -> None:
    page = visit.open("/tokens")
    page.fill("[name=name]", "ci")
    page.click("text=Create")
    page.wait_for_selector("#made")
    token = page.inner_text("#plain")
    assert token.startswith("gfi_")
    row = page.locator("tr", has_text="ci").first
    page.once("dialog", lambda dialog: dialog.accept())
    row.locator("text=Revoke").click()
    page.wait_for_selector("tr:has-text('ci') >> text=revoked")
    visit.open("/tokens")
    page.wait_for_selector("tr:has-text('ci')")
    assert token not in page.content()
