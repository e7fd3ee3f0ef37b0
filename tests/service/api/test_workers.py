"""Workers and queues."""

from gfi.store import ledger
from tests.service.api.conftest import World


def test_workers_are_listed_with_their_shard_and_queues_with_what_waits(one_world: World) -> None:
    facts = {"id": "w:1", "device": "cpu", "queues": ["explain"], "rate": 1.5, "memory_mib": 2048.0}
    facts["facts"] = {"device_name": "H100", "device_memory_mib": 81920}
    ledger.heartbeat(one_world.database, facts)
    job = one_world.planned(name="by hand")
    (worker,) = one_world.call("GET", "/v1/workers").json()
    assert (worker["id"], worker["alive"], worker["job_id"]) == ("w:1", True, None)
    shard = one_world.call("GET", f"/v1/jobs/{job}/shards").json()["items"][0]["id"]
    ledger.heartbeat(one_world.database, facts | {"shard_id": shard})
    (worker,) = one_world.call("GET", "/v1/workers").json()
    assert (worker["shard_id"], worker["job_id"], worker["job_name"]) == (shard, job, "by hand")
    assert (worker["rate"], worker["memory_mib"]) == (1.5, 2048.0)
    assert worker["facts"] == {"device_name": "H100", "device_memory_mib": 81920}
    assert worker["silent_s"] < 60
    assert one_world.call("GET", "/v1/queues").json()["explain"]["pending"] == 2
