"""Comparisons and transfers: a wait that is over is an error, and not a result without content."""

from collections.abc import Callable

import httpx
import pytest

from gfi.client import ApiError, Client


def service(state: str) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(202, json={"id": "t1", "url": "/v1/transfers/t1"})
        if request.url.path == "/v1/tasks/t1":
            return httpx.Response(
                200, json={"id": "t1", "kind": "comparison", "state": state, "reason": "no part"}
            )
        return httpx.Response(200, json={"result": {"sentences": ["equal"]} if state == "done" else None})

    return answer


@pytest.mark.parametrize("ask", [Client.compare, Client.transfer])
def test_a_result_is_there_or_the_reason_is_said(ask: Callable[..., object]) -> None:
    def answer(state: str) -> object:
        with Client("http://service", transport=httpx.MockTransport(service(state))) as client:
            return ask(client, "a", "b", wait_s=0)

    assert answer("done") == {"sentences": ["equal"]}
    with pytest.raises(ApiError, match="comparison t1 is leased after 0 s"):
        answer("leased")
    with pytest.raises(ApiError, match="no part"):
        answer("failed")
