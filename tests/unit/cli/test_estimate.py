"""`gfi estimate`: what it reads and prints. What it calculates: tests/service/jobs/test_estimate.py."""

import dataclasses
from typing import Any

import pytest
from click.testing import CliRunner

from gfi.cli import estimate as command
from gfi.cli.main import gfi
from gfi.jobs.estimate import Estimate, Speed, WorkersTime

PLAN = Estimate(
    images=12_000_000,
    complete=False,
    shards=100_000,
    images_per_s=None,
    device_seconds=None,
    bucket_bytes=12 * 10**9,
    forward_passes=500,
    backward_passes=240,
    speed=Speed(
        "cpu", 0.0412, 0.309, "range", "never measured: 4.1 billion operations a pass at the speeds of others"
    ),
    device_seconds_low=3.9e7,
    device_seconds_high=2.9e8,
    workers=(WorkersTime(16, 2.4e6, 1.8e7),),
    deadline_s=28_800,
    workers_for_deadline=(1350, None),
    database_bytes=13 * 10**9,
    put_requests=100_106,
    request_usd=0.50053,
    storage_usd_month=0.276,
    device_usd=(1083.3, 8055.5),
    worker_bytes=1_700_000_000,
    notes=("no number of workers ends within 28800 s at the lower speed: one piece of work takes longer",),
)


class Service:
    """Answers with PLAN, and keeps what was asked."""

    def __init__(self, plan: Estimate) -> None:
        self.plan = plan

    def estimate(self, options: Any, **how: Any) -> dict[str, Any]:
        self.asked = options, how
        return dataclasses.asdict(self.plan) | {"since": None}


def run(monkeypatch: pytest.MonkeyPatch, plan: Estimate, *arguments: str) -> tuple[str, Service]:
    service = Service(plan)
    monkeypatch.setattr(command, "open_service", lambda: service)
    done = CliRunner().invoke(gfi, ["estimate", "--dataset", "/data", "--model", "net", *arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output, service


def test_the_plan_is_read_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, service = run(monkeypatch, PLAN, "--deadline", "8h", "--workers", "16", "--price-put", "0.01")
    assert max(map(len, shown.splitlines())) <= 80
    assert service.asked[1] == {"images": None, "workers": 16, "deadline_s": 28_800, "prices": {"put": 0.01}}
    assert service.asked[0] == {"dataset": "/data", "model": "net"}
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines[0] == "images at least 12,000,000 in 100,000 shards"
    assert "within 8 h 0 min 1,350 to no number workers" in lines
    assert "16 workers at least 28 days to 208 days" in lines
    assert "devices 1,083 to 8,056 USD" in lines
    assert "memory about 1.7 GB a worker on the CPU, batch 4" in lines
    assert "requests 100,106 PUT, 0 GET, 0.501 USD" in lines


def test_what_is_not_known_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, _ = run(monkeypatch, Estimate(5, True, 1, None, None, 4_000, 500, 240, notes=("run it",)))
    assert "speed     not known" in shown
    assert "time" not in shown
    assert "- run it" in shown


@pytest.mark.parametrize("text", ["8", "0h", "h", "8 h", "-1h", "1w"])
def test_a_deadline_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(command, "open_service", lambda: Service(PLAN))
    done = CliRunner().invoke(gfi, ["estimate", "--dataset", "/data", "--deadline", text])
    assert "write 90m, 8h or 2d" in str(done.exception)


def test_a_dry_run_says_first_what_is_carried_over(capsys: pytest.CaptureFixture[str]) -> None:
    since = {"sentence": "5 images to explain (5 new, 0 changed), 3 carried over, 9 removed", "shrank": True}
    command.print_plan(
        dataclasses.asdict(Estimate(5, True, 1, None, None, 4_000, 500, 240)) | {"since": since}
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == since["sentence"]
    assert "--yes" in lines[1]
    assert lines[2].split() == ["images", "5", "in", "1", "shard"]
