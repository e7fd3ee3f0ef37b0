"""Readiness and metrics."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from fastapi.testclient import TestClient

from gfi.api import create_app
from gfi.domain.ids import new_id
from gfi.store import ledger
from gfi.store.tables import control_tasks, incidents, jobs, outbox, shards
from tests.programs import installed
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
    for name, state in (("w:2", "up"), ("w:3", "stopping")):
        ledger.heartbeat(one_world.database, {"id": name, "queues": ["gpu"], "state": state})
    one_world.planned()
    assert one_world.explain_shard(broken=0)
    metrics = one_world.call("GET", "/metrics", "read")
    samples = dict(line.rsplit(" ", 1) for line in metrics.text.splitlines() if not line.startswith("#"))
    assert samples['gfi_jobs{state="running"}'] == "1.0"
    assert samples['gfi_worker_up{device="cpu",worker="w:1"}'] == "1.0"
    assert samples['gfi_queue_workers{queue="gpu"}'] == "1.0"
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


MONITORING = Path(__file__).parents[3] / "deploy" / "monitoring"


def test_causes_in_the_ledger_fire_their_alerts_and_no_others(
    one_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a cause to the text of `/metrics`, and from the text to the alert, by promtool."""
    database, long_ago = one_world.database, time.time() - 7200
    gate = {"kind": "compare", "state": "done", "result": {"verdict": "fail"}, "created_at": long_ago}
    with database.begin() as connection:
        connection.execute(sa.insert(control_tasks).values(gate | {"id": "old", "done_at": long_ago}))
    well = series(one_world.call("GET", "/metrics", "read").text)
    ledger.heartbeat(
        database, {"id": "c:1", "queues": ["control"], "state": "up", "clock_skew_s": 60.0}
    )  # it takes no shard
    job = one_world.planned()
    with database.begin() as connection:
        connection.execute(sa.update(jobs).values(created_at=long_ago, planned_at=long_ago))
        incident = {"job_id": job, "shard_id": "s", "fence": 1, "at": long_ago}
        kinds = ["death"] * 6 + ["failed"] + ["convicted"] * 11
        connection.execute(
            sa.insert(incidents), [incident | {"id": new_id(), "kind": kind} for kind in kinds]
        )
        connection.execute(
            sa.update(shards)
            .where(shards.c.start == 0)
            .values(state="leased", claim_fence=shards.c.fence, leased_at=long_ago, lease_until=long_ago)
        )
        unsent = {"id": new_id(), "job_id": job, "kind": "job.finished", "payload": {}, "not_before": 4e9}
        connection.execute(sa.insert(outbox).values(unsent | {"created_at": long_ago}))
        # A new failure, as retention deletes the oldest: as many as before.
        connection.execute(sa.delete(control_tasks).where(control_tasks.c.id == "old"))
        connection.execute(sa.insert(control_tasks).values(gate | {"id": new_id(), "done_at": time.time()}))
    monkeypatch.setenv("GFI_REDIS_URL", "redis://127.0.0.1:1/0")  # it does not answer
    with TestClient(create_app()) as client:
        token = {"Authorization": f"Bearer {one_world.tokens['read']}"}
        ill = series(client.get("/metrics", headers=token).text)
        refused = series(client.get("/metrics").text)
    assert refused == {}
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"][0]["rules"]
    names = [rule["alert"] for rule in rules if rule["alert"] != "GfiApiDown"]
    # A quarter of an hour in order, then the causes; and an API that gives nothing.
    both = {name: f"{well.get(name, '_')}x15 {ill.get(name, '_')}x45" for name in well | ill}
    cases = [alerts(both, {"10m": [], "50m": names}), alerts(refused, {"50m": ["GfiApiDown"]})]
    file = tmp_path / "test.yaml"
    file.write_text(json.dumps({"rule_files": [str(MONITORING / "alerts.yaml")], "tests": cases}))
    command = [installed("promtool"), "test", "rules", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def series(text: str) -> dict[str, str]:
    """The values of a text in the format of Prometheus."""
    lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith("gfi_"))
    return {name: value for name, _, value in lines}


def alerts(values: dict[str, str], fired: dict[str, list[str]]) -> dict[str, Any]:
    """A case for promtool: these alerts fire once at these times, and no others."""
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": of} for name, of in values.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": at,
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(names)],
            }
            for at, names in fired.items()
        ],
    }
