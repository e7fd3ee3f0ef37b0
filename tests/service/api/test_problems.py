"""Errors as problem details."""

import errno
from typing import Any

import pytest

from gfi.store import queries
from tests.service.api.conftest import World


def test_every_error_is_a_problem_with_advice(one_world: World) -> None:
    call = one_world.call
    answers = [
        call("GET", "/v1/jobs/none"),
        call("GET", "/v1/nothing"),
        call("PATCH", "/v1/jobs"),
        call("POST", "/v1/jobs", json={"dataset": 5, "colour": "red"}),
        call("POST", "/v1/jobs", content=b"{", headers={"Content-Type": "application/json"}),
        call("POST", "/v1/jobs", content=b'{"dataset": NaN}', headers={"Content-Type": "application/json"}),
        call("POST", "/v1/jobs", content=b"[" * 100_000, headers={"Content-Type": "application/json"}),
        call("GET", "/v1/jobs?after=%00"),
        call("POST", "/v1/uploads", content=b"x"),
    ]
    assert [answer.status_code for answer in answers] == [404, 404, 405, 422, 422, 400, 400, 422, 415]
    for answer in answers:
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == answer.status_code
        assert problem["title"]
        assert problem["detail"]
        assert problem["advice"]
    assert answers[2].headers["allow"] == "GET, POST"
    assert {error["at"] for error in answers[3].json()["errors"]} == {"body.dataset", "body.colour"}


def test_an_unexpected_exception_is_a_problem_without_a_traceback(
    one_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of the implementation")

    monkeypatch.setattr(queries, "list_jobs", fail)
    answer = one_world.call("GET", "/v1/jobs")
    assert (answer.status_code, answer.json()["title"]) == (500, "Internal error")
    assert answer.headers["x-request-id"] in answer.json()["detail"]
    assert "rolled back" in answer.json()["advice"]
    assert "secret" not in answer.text


def test_a_full_disk_of_the_server_is_said_and_nothing_else_about_its_files(
    one_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = one_world.explained()

    def fail(error: OSError) -> Any:
        def write(*_: object) -> None:
            raise error

        monkeypatch.setattr("gfi.api.reports.write_report", write)
        return one_world.call("GET", f"/v1/jobs/{job}/report.zip")

    answer = fail(OSError(errno.ENOSPC, "No space left on device", "/tmp/secret"))
    assert answer.status_code == 503
    assert answer.json()["detail"] == "the disk of the server has no room for temporary files"
    assert fail(OSError(errno.EIO, "Input/output error")).status_code == 500
