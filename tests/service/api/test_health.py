"""Readiness and metrics."""

import pytest
from fastapi.testclient import TestClient

from gfi.api import create_app
from gfi.store import ledger
from tests.service.api.conftest import World


def test_readiness_says_what_is_wrong(one_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GFI_REDIS_URL", "redis://:hunter2@127.0.0.1:1/0")
    with TestClient(create_app()) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["database"] == "ok"
        assert "not answering" in answer.json()["checks"]["redis"]
        assert "hunter2" not in answer.text
        assert client.get("/livez").status_code == 200


def test_metrics_are_in_the_format_of_prometheus(one_world: World) -> None:
    ledger.heartbeat(
        one_world.database,
        {"id": "w:1", "device": "cpu", "queues": ["explain"], "facts": {"stage_s": {"fetch": 1.5}}},
    )
    one_world.planned()
    assert one_world.explain_shard(broken=0)
    metrics = one_world.call("GET", "/metrics", "read")
    samples = dict(line.rsplit(" ", 1) for line in metrics.text.splitlines() if not line.startswith("#"))
    assert samples['gfi_jobs{state="running"}'] == "1.0"
    assert samples['gfi_worker_up{device="cpu",worker="w:1"}'] == "1.0"
    assert samples['gfi_worker_stage_seconds_total{stage="fetch",worker="w:1"}'] == "1.5"
    assert samples['gfi_shards{queue="explain",state="pending"}'] == "1.0"
    assert samples['gfi_images{status="ok"}'] == "8.0"
    assert samples["gfi_images_left"] == "2.0"
    assert float(samples['gfi_oldest_waiting_seconds{queue="explain"}']) >= 0
    assert samples["gfi_leases_overdue"] == "0.0"
    for service in ("database", "bucket", "redis"):
        assert samples[f'gfi_service_up{{service="{service}"}}'] == "1.0"
        assert 0 < float(samples[f'gfi_service_seconds{{service="{service}"}}']) < 3600
    assert one_world.client.get("/metrics").status_code == 401
