"""Tokens, scopes and sessions."""

from gfi.store import ledger
from tests.service.api.conftest import World, sign_in


def test_scopes_contain_each_other_and_no_more(one_world: World) -> None:
    assert one_world.submit("read").status_code == 403
    assert one_world.submit("submit").status_code == 201
    assert one_world.call("GET", "/v1/tokens", "submit").status_code == 403
    assert one_world.call("POST", "/v1/models", "submit", json={"reference": "x"}).status_code == 403
    assert one_world.call("GET", "/v1/audit", "admin").status_code == 200


def test_a_revoked_or_expired_token_is_worth_nothing(one_world: World) -> None:
    made = one_world.call("POST", "/v1/tokens", json={"name": "brief", "scopes": ["read"]}).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert one_world.client.get("/v1/me", headers=headers).json()["name"] == "brief"
    again = one_world.call("POST", "/v1/tokens", json={"name": "brief", "scopes": ["read"]})
    assert again.status_code == 409  # names own jobs
    assert one_world.call("DELETE", f"/v1/tokens/{made['id']}").status_code == 204
    assert one_world.client.get("/v1/me", headers=headers).status_code == 401
    _, expired = ledger.create_token(one_world.database, "old", ["read"], expires_in_s=-1.0)
    assert one_world.client.get("/v1/me", headers={"Authorization": f"Bearer {expired}"}).status_code == 401


def test_a_browser_changes_nothing_for_another_site(one_world: World) -> None:
    headers = sign_in(one_world)
    body = {"dataset": str(one_world.photographs), "model": "tiny"}
    post = one_world.client.post
    assert post("/v1/jobs", json=body).status_code == 403
    assert post("/v1/jobs", json=body, headers={"X-GFI-CSRF": "0" * 64}).status_code == 403
    assert (
        post("/v1/jobs", json=body, headers=headers | {"Origin": "https://evil.example"}).status_code == 403
    )
    assert post("/v1/jobs", json=body, headers=headers | {"Sec-Fetch-Site": "cross-site"}).status_code == 403
    fine = post("/v1/jobs", json=body, headers=headers | {"Origin": "http://testserver"})
    assert fine.status_code == 201
    evil = {"Origin": "https://evil.example"}
    assert post("/sign-in", json={"secret": "x"}, headers=evil).status_code == 403
    assert post("/sign-out", headers=headers).status_code == 200
    assert one_world.client.get("/v1/me").status_code == 401


def test_the_cookie_of_who_signs_in_with_a_token_is_not_the_token(one_world: World) -> None:
    made = one_world.call("POST", "/v1/tokens", json={"name": "browsing", "scopes": ["submit"]}).json()
    client = one_world.client
    assert client.post("/sign-in", json={"secret": made["token"]}).status_code == 200
    cookie = client.cookies["gfi_session"]
    assert made["token"] not in cookie
    me = client.get("/v1/me").json()
    assert (me["id"], me["name"], me["scopes"]) == (made["id"], "browsing", ["read", "submit"])
    assert client.get("/v1/me", headers={"Authorization": f"Bearer {cookie}"}).status_code == 401
    assert client.post("/sign-out", headers={"X-GFI-CSRF": me["csrf"]}).status_code == 200
    client.cookies.set("gfi_session", cookie)
    assert client.get("/v1/me").status_code == 401  # the session has ended
    client.cookies.set("gfi_session", made["token"])
    assert client.get("/v1/me").status_code == 401  # a token of the API is not accepted as a cookie
    client.cookies.clear()
    assert client.get("/v1/me", headers={"Authorization": f"Bearer {made['token']}"}).status_code == 200
