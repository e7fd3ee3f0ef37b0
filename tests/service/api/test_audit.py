"""The audit log."""

import hashlib
import json

from tests.service.api.conftest import (
    DIGEST,
    MODEL,
    World,
)


def test_the_audit_says_who_submitted_what_with_which_weights(one_world: World) -> None:
    job = one_world.explained(metrics=["deletion"])
    kept = one_world.call("GET", f"/v1/jobs/{job}/config")
    assert kept.headers["content-disposition"] == f'attachment; filename="gfi-{job}.json"'
    exported = kept.json()
    frozen = json.dumps(exported["config"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(frozen.encode()).hexdigest() == exported["config_digest"]
    assert exported["model"]["digest"] == exported["config"]["model"]["digest"] == DIGEST
    one_world.call("DELETE", f"/v1/jobs/{job}/data")  # the job is deleted, its record remains
    entries = one_world.call("GET", "/v1/audit").json()["items"]
    (submitted,) = [entry for entry in entries if entry["action"] == "job.submitted"]
    assert (submitted["actor"], submitted["job_id"]) == ("admin-test", job)
    assert submitted["details"] == {
        "config_digest": exported["config_digest"],
        "dataset": f"folder:{one_world.photographs}",
        "model": MODEL,
        "model_digest": DIGEST,
    }
