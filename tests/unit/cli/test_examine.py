"""`gfi doctor` on the workers that report."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gfi.cli import examine
from gfi.cli.examine import CLOCK_WARN_S, workers_line
from gfi.store.settings import Settings


def worker(name: str, *queues: str, alive: bool = True, skew_s: float = 0.0) -> dict[str, Any]:
    return {"id": name, "queues": list(queues), "alive": alive, "clock_skew_s": skew_s}


CONTROL = worker("c", "control")


def test_workers_are_shown_by_queue() -> None:
    workers = [
        worker("b", "explain", "interactive"),
        CONTROL,
        worker("a", "explain"),
        worker("z", "explain", alive=False),
    ]
    assert workers_line(workers) == "control: 1 (c); explain: 2 (a, b); interactive: 1 (b)"


def test_a_worker_is_shown_with_its_device() -> None:
    card = {"device_name": "NVIDIA H100", "device_memory_mib": 81920, "torch": "2.9.1", "cpus": 16}
    workers = [
        CONTROL | {"device": None, "facts": {"cpus": 2}},
        worker("a", "explain") | {"device": "cuda:NVIDIA H100", "facts": card},
        worker("b", "explain") | {"device": "cpu", "facts": None},  # of an earlier version
    ]
    assert (
        workers_line(workers)
        == "control: 1 (c); explain: 2 (a on NVIDIA H100, 80 GiB, torch 2.9.1, b on cpu)"
    )


def test_a_full_disk_says_what_to_delete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 30))
    found = examine._disk(Settings(home=tmp_path))
    assert (found.ok, "gfi jobs delete JOB" in found.says) == (False, True)


def test_of_many_workers_five_are_named() -> None:
    workers = [CONTROL, *(worker(f"w{number}", "explain") for number in range(7))]
    assert workers_line(workers).endswith("explain: 7 (w0, w1, w2, w3, w4, …)")


@pytest.mark.parametrize(
    ("workers", "advice"),
    [
        ([], "start one with `gfi worker`"),
        ([CONTROL], "start one with `gfi worker`"),
        ([CONTROL, worker("a", "explain", alive=False)], "start one with `gfi worker`"),
        ([CONTROL, worker("a", "explain") | {"state": "stopping"}], "start one with `gfi worker`"),
        ([worker("a", "explain")], "gfi worker --queues control"),
        ([CONTROL, worker("a", "explain", skew_s=CLOCK_WARN_S + 1.0)], "clock of worker a"),
        (
            [
                CONTROL,
                worker("a", "explain"),
                worker("h:cuda:1") | {"state": "quarantined", "facts": {"reason": "r"}},
            ],
            "device h:cuda:1 is quarantined: r",
        ),
    ],
)
def test_what_is_missing_is_named_with_the_command_that_starts_it(
    workers: list[dict[str, Any]], advice: str
) -> None:
    with pytest.raises(RuntimeError, match=advice):
        workers_line(workers)
