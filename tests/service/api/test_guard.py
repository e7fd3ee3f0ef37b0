"""The checks of every request (token, size, address), and the secrets that the log never contains."""

import json
import os
from typing import Any

import pytest

from gfi.api import create_app
from tests.service.api.conftest import World, sign_in


def test_without_a_token_nothing_but_health_answers(one_world: World) -> None:
    client = one_world.client
    assert client.get("/livez").status_code == 200
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (200, True), ready.text
    paths = create_app().openapi()["paths"]
    for path, operations in paths.items():
        for method in operations:
            if path in ("/livez", "/readyz"):
                continue
            answer = client.request(method, path.replace("{job_id}", "x").replace("{row}", "0"))
            assert answer.status_code == 401, (method, path)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["www-authenticate"].startswith("Bearer")
    # Not even addresses that do not exist, and invalid bodies.
    assert client.get("/v1/nothing").status_code == 401
    assert client.post("/v1/jobs", content=b"{").status_code == 401
    assert client.get("/v1/openapi.json").status_code == 401
    for header in ("Bearer gfi_wrong", "Basic YTpi", "Bearer", "Bearer  ", "bearer \x80"):
        assert client.get("/v1/jobs", headers={"Authorization": header.encode("latin-1")}).status_code == 401


def test_bodies_above_the_limit_are_refused_whether_they_say_so_or_not(one_world: World) -> None:
    large = b'{"dataset": "' + b"x" * 2_000_000 + b'"}'
    headers = {"Content-Type": "application/json"}
    assert one_world.call("POST", "/v1/jobs", content=large, headers=headers).status_code == 413

    def chunks() -> Any:
        for at in range(0, len(large), 65536):
            yield large[at : at + 65536]

    assert one_world.call("POST", "/v1/jobs", content=chunks(), headers=headers).status_code == 413


def test_no_header_can_be_injected(one_world: World) -> None:
    job = one_world.explained()
    for path in (
        f"/v1/jobs/{job}/results/0/photo.jpg?v=%0d%0aSet-Cookie:%20a=b",
        "/v1/jobs?search=%0d%0aX:y",
    ):
        answer = one_world.call("GET", path)
        assert answer.status_code == 422
        assert "set-cookie" not in answer.headers
    key = one_world.submit(headers={"Idempotency-Key": "a b\tc"})
    assert key.status_code == 422


def test_no_token_appears_in_any_log(one_world: World, capfd: pytest.CaptureFixture[str]) -> None:
    made = one_world.call("POST", "/v1/tokens", json={"name": "quiet", "scopes": ["admin"]}).json()["token"]
    one_world.client.get("/v1/jobs", headers={"Authorization": f"Bearer {made}"})
    one_world.client.get(f"/v1/jobs?search={made}", headers={"Authorization": f"Bearer {made}"})
    sign_in(one_world)
    one_world.client.post("/sign-in", json={"secret": made})
    cookie = one_world.client.cookies["gfi_session"]
    out = "".join(capfd.readouterr())
    assert "/v1/jobs" in out  # there is a log
    for secret in (made, cookie, *one_world.tokens.values()):
        assert secret not in out
    audit = json.dumps(one_world.call("GET", "/v1/audit").json())
    assert made not in audit
    assert os.environ["GFI_S3_SECRET_KEY"] not in out


def test_a_request_whose_end_is_ambiguous_is_refused(one_world: World) -> None:
    token = {"Authorization": f"Bearer {one_world.tokens['submit']}"}
    both = {"Content-Length": "2", "Transfer-Encoding": "chunked", "Content-Type": "application/json"}
    answer = one_world.client.post("/v1/jobs", content=b"{}", headers=token | both)
    assert answer.status_code == 400
    assert "both Content-Length and Transfer-Encoding" in answer.json()["detail"]
    assert answer.headers["connection"] == "close"
