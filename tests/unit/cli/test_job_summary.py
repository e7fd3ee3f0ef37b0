"""What `gfi job` prints of a job; the two services answer with the same records."""

from typing import Any

import pytest

from gfi.cli.job_summary import print_summary

WAITS = (
    "7 workers died with this shard while they worked on none of its images; the next attempt comes after 5 s"
)


class _Waiting:
    """A service whose one job has a shard that all workers die with."""

    def job(self, job_id: str) -> dict[str, Any]:
        layers = {"inverted": "a", "weighed": ["b"]}
        config = {
            "model": {"reference": "tiny"},
            "preset": "tuned",
            "layers": layers,
            "dataset": {"spec": "folder:/x"},
        }
        named = {"id": job_id, "name": "", "shown_state": "running", "error": None, "created_at": 0.0}
        times = {"finished_at": None, "planned_at": None}
        return {**named, **times, "config": config, "progress": {"done": 0, "total": 4}}

    def summary(self, job_id: str) -> dict[str, Any]:
        return {"counts": {}, "means": []}

    def failures(self, job_id: str) -> list[dict[str, Any]]:
        return [{"status": "pending", "error_class": "worker died", "images": 4, "example": WAITS}]


def test_a_job_says_why_its_shard_waits(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(_Waiting(), "j1")  # type: ignore[arg-type]
    said = " ".join(capsys.readouterr().out.split())
    assert "waiting after images for example worker died 4 " + WAITS[:60] in said


class _OfLabels(_Waiting):
    """A job whose four images have seven labels."""

    def summary(self, job_id: str) -> dict[str, Any]:
        return {"counts": {"ok": 7}, "means": []}


def test_results_of_several_labels_are_not_called_images(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(_OfLabels(), "j1")  # type: ignore[arg-type]
    assert "status results explained 7" in " ".join(capsys.readouterr().out.lower().split())
