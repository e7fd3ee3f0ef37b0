"""A comparison of two finished jobs as a task: requested by the API, done by a control worker, kept in the bucket.

    jobs/{b}/comparisons/{task}.json      all numbers, sentences, the gate's checks, JUnit XML

It belongs to the second job and is deleted with it. `gfi compare` with a database computes the same without a task.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from gfi.domain.digests import JSON, canonical
from gfi.domain.records import ControlClaim
from gfi.domain.states import ControlKind, ShardState
from gfi.domain.tasks import INTERACTIVE
from gfi.drift.gate import GATE, GateSpec, parse_gate
from gfi.drift.junit import junit_xml
from gfi.jobs.compare import compare_jobs
from gfi.jobs.looks import take_look
from gfi.jobs.submit import Invalid
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import NotFound
from gfi.store.objects import Bucket

_TOLD = 10
"""Sentences of a comparison that its task, and so a message, repeats."""


def request_comparison(
    database: Database,
    a: str,
    b: str,
    *,
    floor_jobs: Sequence[str] = (),
    gate: str | None = None,
    gate_name: str = GATE,
    look: int | None = None,
    owner: str,
) -> tuple[str, bool]:
    """Request the comparison of job b with job a. Returns the id of the task, and whether it is a new one.

    Raises as `comparison_payload`.
    """
    payload = comparison_payload(
        database, a, b, floor_jobs=floor_jobs, gate=gate, gate_name=gate_name, look=look
    )
    return ledger.request_task(
        database, ControlKind.COMPARE, payload, owner=owner, job_id=payload["b"], priority=INTERACTIVE
    )


def comparison_payload(
    database: Database,
    a: str,
    b: str,
    *,
    floor_jobs: Sequence[str] = (),
    gate: str | None = None,
    gate_name: str = GATE,
    look: int | None = None,
) -> JSON:
    """What the task of a comparison is asked. gate_name: of the file, for errors. A floor that only the gate names
    is in it too, with whole ids: retention keeps what a comparison refers to.

    Raises NotFound, Invalid for a job that has not ended or a look that means nothing, DriftError for a gate that
    cannot be read.
    """
    spec = parse_gate(gate, gate_name) if gate is not None else None
    floor_jobs = floor_jobs or (spec.floor.jobs if spec is not None else ())
    jobs = [queries.get_job(database, job_id) for job_id in (a, b, *floor_jobs)]
    for job in jobs:
        if not job.ended:
            raise Invalid(f"job {job.id} is {job.shown_state}; wait for its end")
    _check_look(look, spec, gate_name)
    return {
        "a": jobs[0].id,
        "b": jobs[1].id,
        "floor": [job.id for job in jobs[2:]],
        "gate": gate,
        "gate_name": gate_name,
        "look": look,
    }


def compare(database: Database, bucket: Bucket, claim: ControlClaim, check: Callable[[], None]) -> JSON:
    """Do a requested comparison and store it. Returns the result of the task."""
    asked = claim.payload
    made = compared_json(
        database,
        bucket,
        asked["a"],
        asked["b"],
        floor_jobs=asked["floor"],
        gate=asked["gate"],
        gate_name=asked.get("gate_name", GATE),
        look=asked["look"],
        judged_for=("schedule", asked["schedule"]) if "schedule" in asked else ("owner", claim.owner),
        check=check,
    )
    bucket.put(_key(asked["b"], claim.task_id), canonical(made).encode(), content_type="application/json")
    gate = made["gate"]
    return {
        "verdict": gate["verdict"] if gate is not None else None,
        "pairs": made["comparison"]["pairs"],
        "moved": made["comparison"]["moved"],
        "sentences": _most_important(made)[:_TOLD],
        "differing": made["differing"],
    }


def _most_important(made: Mapping[str, Any]) -> list[str]:
    """What a message says of a comparison: the gate's checks that did not pass, or else what moved."""
    gate = made["gate"]
    if gate is None:
        return list(made["sentences"])
    open_checks = [check for check in gate["checks"] if check["verdict"] != "pass" and not check["waived"]]
    said = [f"{check['verdict']}: {check['sentence']}" for check in open_checks]
    return [*(said or [f"all {len(gate['checks'])} checks passed"]), *gate["notes"]]


def comparison_of(database: Database, bucket: Bucket, task_id: str) -> tuple[queries.Task, JSON | None]:
    """A requested comparison: its task, and the result once it is done. NotFound for another task."""
    task = queries.get_task(database, task_id)
    if task.kind != ControlKind.COMPARE:
        raise NotFound(f"task {task_id} is no comparison")
    if task.state is not ShardState.DONE:
        return task, None
    return task, json.loads(bucket.get(_key(task.payload["b"], task_id)))


def compared_json(
    database: Database,
    bucket: Bucket,
    a: str,
    b: str,
    *,
    floor_jobs: Sequence[str] = (),
    gate: str | None = None,
    gate_name: str = GATE,
    look: int | None = None,
    judged_for: Sequence[str] = (),
    check: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """The comparison as JSON values, with `junit`, the gate as JUnit XML. gate: the text of a gate file. look: by
    default the number that this comparison has in the year of a nightly gate, or the next, for `judged_for`
    (`gfi.jobs.looks`). Raises Invalid where a look means nothing, Conflict where it is taken."""
    today = datetime.now(UTC).date()
    spec = parse_gate(gate, gate_name) if gate is not None else None
    _check_look(look, spec, gate_name)
    number = None
    if gate is not None and spec is not None and spec.nightly is not None:
        number = partial(take_look, bucket, gate, judged_for, today.year, wanted=look)
    compared = compare_jobs(
        database,
        bucket,
        a,
        b,
        floor_jobs=floor_jobs,
        gate=spec,
        gate_name=gate_name,
        today=today,
        take_look=number,
        check=check,
    )
    suite = f"{compared.a.id} and {compared.b.id}"
    junit = junit_xml(compared.gate, suite) if compared.gate is not None else None
    return compared.to_json() | {"junit": junit}


def _check_look(look: int | None, gate: GateSpec | None, name: str) -> None:
    if look is not None and (gate is None or gate.nightly is None):
        lacks = f"{name} has no section [nightly]" if gate is not None else "there is no gate"
        raise Invalid(f"look {look} means nothing: {lacks}; leave it out")


def _key(job_id: str, task_id: str) -> str:
    return f"jobs/{job_id}/comparisons/{task_id}.json"
