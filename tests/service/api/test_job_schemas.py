"""The remaining time of a job."""

from dataclasses import replace

from gfi.api.job_schemas import ProgressOut
from gfi.store import queries
from tests.service.api.conftest import World


def test_the_time_left_is_a_range_that_narrows(one_world: World) -> None:
    job = one_world.planned(total=400, size=20)
    doubts = []
    for _ in range(3):
        one_world.explain_shard()
        seen = one_world.call("GET", f"/v1/jobs/{job}").json()["progress"]
        assert seen["eta_low_s"] < seen["eta_s"] < seen["eta_high_s"]
        doubts.append((seen["eta_high_s"] - seen["eta_s"]) / seen["eta_s"])
    assert doubts == sorted(doubts, reverse=True)
    # The uncertainty depends on the images of the last minutes only, not on those done before.
    progress = replace(queries.job_progress(one_world.database, job), rate=0.02, eta_s=1000.0)
    slow = ProgressOut.of(replace(progress, done=1_000_000))
    assert slow.eta_high_s is not None
    assert slow.eta_high_s > 1300
    assert ProgressOut.of(replace(progress, done=1_000_000, rate=100.0)).eta_high_s < 1100  # type: ignore[operator]
