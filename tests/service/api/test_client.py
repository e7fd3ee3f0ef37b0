"""The typed client against the API."""

import httpx
import pytest

from gfi.client import ApiError, Client
from tests.service.api.conftest import World


def test_the_typed_client_submits_waits_and_reads(
    one_world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    def through(request: httpx.Request) -> httpx.Response:
        answer = one_world.client.request(
            request.method, str(request.url), headers=dict(request.headers), content=request.read()
        )
        return httpx.Response(answer.status_code, headers=dict(answer.headers), content=answer.content)

    client = Client("http://testserver", one_world.tokens["submit"], transport=httpx.MockTransport(through))
    job = client.submit(str(one_world.photographs), "tiny", name="from a notebook")
    assert job.state == "queued"
    assert (job.progress.state, job.progress.done, job.progress.eta_high_s) == ("queued", 0, None)
    with pytest.raises(TimeoutError):
        job.wait(timeout_s=0.0, every_s=0.0)
    finished = client.job(one_world.explained(name="done")).wait(progress=True)
    frame = finished.results().to_pandas()
    assert len(frame) == len(one_world.names)
    assert frame.loc[0, "status"] == "ok"
    assert finished.mask(0).shape == (64, 64)
    assert finished.overlay(0, size=64).startswith(b"\x89PNG")
    assert "10 of 10 images" in capsys.readouterr().err
    finished.save_view("small", "metric=area&at_most=0.05&sort=area&descending=true")
    assert [row["row"] for row in finished.view("small")] == [2, 1, 0]
    with pytest.raises(KeyError, match="no view 'large'"):
        finished.view("large")
    assert finished.flag("wrong", where=["site=A"])["changed"] == 5
    finished.flag(None, rows=[0, 2])
    assert [flag["row"] for flag in finished.flags()] == [4, 6, 8]
    finished.delete_view("small")
    assert finished.views() == []
    assert len(finished.classes()["classes"]) == 4  # three targets, and the image without one
    assert finished.confusion()["pairs"] == []
    assert finished.histogram("area", where=["site=A"])["mean"]["count"] == 5
    assert len(finished.similar(0, limit=3)["images"]) == 3
    assert finished.boxes(0)["boxes"] == []
    assert [job.id for job in client.jobs(search="done")] == [finished.id]
    assert (
        client.job(finished.id).compare_with("grad-cam").id == finished.beside("grad-cam").id != finished.id
    )
    assert client.name_dataset("phones", str(one_world.photographs))["kind"] == "folder"
    assert "phones" in [named["name"] for named in client.datasets()["registered"]]
    assert client.preview("@phones", limit=2)["images"] == len(one_world.names)
    sent = client.upload(
        sorted(one_world.photographs.iterdir())[:2], model="tiny", save=[], overrides={"steps_class": 8}
    )
    assert sent.record["config"]["dataset"]["kind"] == "upload"
    assert client.submit(str(one_world.photographs), "tiny", new=True).cancel().state == "cancelled"
    with pytest.raises(ApiError, match="not registered") as refused:
        client.submit(str(one_world.photographs), "vgg99")
    assert refused.value.status == 422
    away = Client(
        "http://testserver", "x", transport=httpx.MockTransport(lambda _: httpx.Response(403, json={}))
    )
    with pytest.raises(ApiError):
        away.job("x")
