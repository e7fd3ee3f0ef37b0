"""The dashboard: its headers, and rules for its files."""

from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from tests.service.api.conftest import World


def test_pages_forbid_everything_from_elsewhere(one_world: World) -> None:
    page = one_world.client.get("/sign-in")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "no-referrer"
    static = Path(__file__).parents[3] / "gfi" / "web"
    for file in (*static.rglob("*.html"), *static.rglob("*.js"), *static.rglob("*.css")):
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text
        assert "http://" not in text
        assert "innerHTML" not in text
        assert " style=" not in text


PAGES = {
    "jobs": (20, ["", "?limit=50"]),
    "job": (50, ["/J", "/J/audits", "/J/shards?limit=1000", "/J/failures", "/J/summary"]),
    "gallery": (
        130,
        [
            *("/J", "/J/results?limit=200", "/J/labels", "/J/methods", "/J/flags/counts", "/J/views"),
            *("/J/results?wrong=true&sort=area", "/J/histogram?number=area&label=cat", "/J/results/0/boxes"),
        ],
    ),
    "classes": (40, ["/J", "/J/by-class", "/J/mean-mask.png?class=cat", "/J/intervals?by=site"]),
    "confusion": (20, ["/J", "/J/confusion"]),
    "histograms": (40, ["/J", "/J/summary", "/J/by-class", "/J/histogram?number=area&where=site%3DA"]),
}
"""Of each page of the dashboard: the most statements, and the addresses that it asks below /v1/jobs; J is the job."""


def test_the_statements_of_a_page_are_few_and_do_not_grow_with_its_images(one_world: World) -> None:
    context = one_world.client.app.state.context  # type: ignore[attr-defined]
    labelled = replace(one_world, labelled=True)
    jobs = [labelled.explained(total=total, metrics=["deletion"]) for total in (20, 200)]
    said: list[str] = []
    count = lambda *given: said.append(given[2])  # noqa: E731
    sa.event.listen(context.database.engine, "before_cursor_execute", count)
    try:
        for page, (most, addresses) in PAGES.items():
            taken = []
            for job in jobs:
                said.clear()
                for address in addresses:
                    answer = one_world.call("GET", f"/v1/jobs{address.replace('J', job)}")
                    assert answer.status_code == 200, answer.text
                taken.append(len(said))
            assert max(taken) <= most, f"{page} takes {taken} statements"
            assert taken[1] <= taken[0], f"{page} takes {taken} statements for 20 and 200 images"
    finally:
        sa.event.remove(context.database.engine, "before_cursor_execute", count)
