"""Signing in."""

from collections.abc import Callable
from typing import Any

from gfi.store.ledger.tokens import create_link
from tests.service.api.conftest import World


def test_a_link_pasted_into_the_page_that_asks_for_one_signs_in(
    browser: Any, site: tuple[str, World]
) -> None:
    url, world = site
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/sign-in")
    page.wait_for_load_state("networkidle")
    page.goto(
        f"{url}/sign-in#used-before"
    )  # only the part behind the # differs: the page is not loaded again
    page.wait_for_selector("text=has been used, has expired or is unknown")
    assert page.url == f"{url}/sign-in"
    page.goto(f"{url}/sign-in#{create_link(world.database, 60.0)}")
    page.wait_for_url(f"{url}/jobs")
    context.close()


def test_without_a_session_pages_lead_to_the_sign_in(
    browser: Any, site: tuple[str, World], shoot: Callable[[Any, str], None]
) -> None:
    url, _ = site
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/tokens")
    assert page.url == f"{url}/sign-in"
    shoot(page, "sign-in")
    page.fill("#secret", "gfi_wrong")
    page.click("[type=submit]")
    page.wait_for_selector("text=has been used, has expired or is unknown")
    context.close()
