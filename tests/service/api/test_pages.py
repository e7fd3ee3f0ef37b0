"""The dashboard: its headers, and rules for its files."""

from pathlib import Path

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
