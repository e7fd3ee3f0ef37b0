"""Progress as server-sent events, from a live server."""

import json
from typing import Any

import httpx
import pytest

from gfi.store import ledger
from tests.service.api.conftest import World, serving, wait_until
from tests.speed import slowness


def test_a_stream_tells_progress_until_the_end(one_world: World) -> None:
    job = one_world.planned(size=4)
    events: list[tuple[str, Any]] = []
    headers = {"Authorization": f"Bearer {one_world.tokens['read']}"}
    with serving() as url, httpx.stream("GET", f"{url}/v1/jobs/{job}/events", headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        kind = ""
        for line in stream.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                told = [data["progress"]["done"] for _, data in events]
                events.append((kind, json.loads(line.removeprefix("data: "))))
                if events[-1][1]["progress"]["done"] not in told:  # the next shard, after the last report
                    one_world.explain_shard()
                    ledger.finish_jobs(one_world.database)
    done = [data["progress"]["done"] for _, data in events]
    assert list(dict.fromkeys(done)) == [0, 4, 8, len(one_world.names)]
    assert [kind for kind, _ in events[:-1]] == ["progress"] * (len(events) - 1)
    assert events[-1][0] == "end"
    assert events[-1][1]["state"] == "partial"
    assert one_world.call("GET", "/v1/jobs/none/events").status_code == 404


def test_streams_are_counted(one_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = one_world.planned()
    headers = {"Authorization": f"Bearer {one_world.tokens['read']}"}
    monkeypatch.setenv("GFI_API_MAX_STREAMS", "2")
    with serving() as url, httpx.Client(base_url=url, headers=headers) as client:
        path = f"/v1/jobs/{job}/events"

        def status() -> int:
            with client.stream("GET", path) as answer:
                return answer.status_code

        with client.stream("GET", path) as one, client.stream("GET", path) as other:
            begun = [one.iter_lines(), other.iter_lines()]
            assert [next(lines) for lines in begun] == ["retry: 2000"] * 2
            assert status() == 429
        wait_until(lambda: status() == 200)  # a reader that has disconnected frees its stream


def test_the_stream_of_an_ended_job_ends(one_world: World) -> None:
    job = one_world.explained()
    headers = {"Authorization": f"Bearer {one_world.tokens['read']}"}
    with serving() as url:
        told = httpx.get(f"{url}/v1/jobs/{job}/events", headers=headers, timeout=60.0 * slowness()).text
    assert [line for line in told.splitlines() if line.startswith("event: ")] == ["event: end"]
