"""Other methods beside a job's own."""

import sqlalchemy as sa

from gfi.api import create_app
from gfi.store import ledger
from gfi.store.tables import model_versions
from tests.service.api.conftest import DIGEST, MODEL, World, model_record


def test_another_method_is_a_job_of_its_own_submitted_once(world: World) -> None:
    job = world.explained(metrics=["deletion"], name="first", preset="paper")
    path = f"/v1/jobs/{job}/methods"
    world.explained(target="coffee", name="another target")
    offered = world.call("GET", path, "read").json()
    assert [(m["method"], m["own"], m["job"], m["reason"]) for m in offered["methods"]] == [
        ("paper", True, None, None),
        ("released", False, None, None),
        ("tuned", False, None, None),
        ("grad-cam", False, None, None),
        ("integrated-gradients", False, None, None),
        ("occlusion", False, None, None),
        ("rise", False, None, None),
        ("opti-cam", False, None, None),
    ]
    assert [job["name"] for job in offered["jobs"]] == ["another target"]
    assert world.call("POST", path, "read", json={"method": "tuned"}).status_code == 403
    assert world.call("POST", path, json={"method": "paper"}).status_code == 422
    assert world.call("POST", path, json={"method": "lime"}).status_code == 422
    made = world.call("POST", path, "submit", json={"method": "grad-cam"})
    assert made.status_code == 201, made.text
    other = made.json()["job"]
    assert (other["owner"], other["name"], other["method"]) == ("submit-test", "first: grad-cam", "grad-cam")
    config = other["config"]
    assert (config["method"], config["recipe"]["method"], config["preset"]) == ("grad-cam",) * 3
    assert config["layers"] == {"inverted": "features.4", "weighed": ["features.2:relu"]}
    same = ("dataset", "model", "target", "metrics")
    first = world.call("GET", f"/v1/jobs/{job}").json()["config"]
    assert [other["config"][name] for name in same] == [first[name] for name in same]
    again = world.call("POST", path, json={"method": "grad-cam"})
    assert (again.status_code, again.json()["job"]["id"]) == (200, other["id"])
    # Each of the two jobs lists the other.
    back = world.call("GET", f"/v1/jobs/{other['id']}/methods").json()["methods"]
    assert [
        (m["own"], m["job"] and m["job"]["id"]) for m in back if m["method"] in ("paper", "grad-cam")
    ] == [
        (False, job),
        (True, None),
    ]
    # A cancelled job is not used. The version of the job counts, also where other weights were registered since; where
    # that version was removed, nothing can be compared.
    world.call("DELETE", f"/v1/jobs/{other['id']}")
    anew = world.call("POST", path, json={"method": "grad-cam"})
    assert (anew.status_code, anew.json()["job"]["id"] != other["id"]) == (201, True)
    ledger.save_model(world.database, MODEL, "1" * 64, model_record() | {"digest": "1" * 64}, actor="test")
    tuned = world.call("POST", path, json={"method": "tuned"})
    assert (tuned.status_code, tuned.json()["job"]["config"]["model"]) == (201, first["model"])
    for made in (anew, tuned):
        world.call("DELETE", f"/v1/jobs/{made.json()['job']['id']}")
    ledger.delete_model(world.database, f"{MODEL}@{first['model']['version']}")
    refused = world.call("POST", path, json={"method": "released"})
    with world.database.begin() as connection:  # other tests go on with it
        connection.execute(sa.update(model_versions).values(deleted_at=None))
    ledger.save_model(world.database, MODEL, DIGEST, model_record(), actor="test")
    assert (refused.status_code, "was removed" in refused.json()["detail"]) == (422, True)


def test_the_former_addresses_still_answer_and_are_deprecated(one_world: World) -> None:
    job = one_world.explained()
    present = f"/v1/jobs/{job}/methods"
    paths = create_app().openapi()["paths"]
    assert not any("deprecated" in operation for operation in paths["/v1/jobs/{job_id}/methods"].values())
    made = one_world.call("POST", present, json={"method": "rise"})
    assert made.status_code == 201
    for name in ("comparisons", "beside"):
        former = f"/v1/jobs/{job}/{name}"
        answers = [one_world.call("GET", address).json()["methods"] for address in (former, present)]
        offered = [[(m["method"], m["job"] and m["job"]["id"]) for m in methods] for methods in answers]
        assert offered[0] == offered[1]
        again = one_world.call("POST", former, json={"method": "rise"})
        assert (again.status_code, again.json()["job"]["id"]) == (200, made.json()["job"]["id"])
        assert all(operation["deprecated"] for operation in paths[f"/v1/jobs/{{job_id}}/{name}"].values())
