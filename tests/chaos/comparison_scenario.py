"""Scenario 18: comparisons that a nightly gate judges, and transfers, while those who make them are killed."""

import contextlib
import random
from collections import Counter
from pathlib import Path

from gfi.domain.digests import JSON
from gfi.domain.states import ShardState
from gfi.jobs.comparison_task import comparison_of, request_comparison
from gfi.jobs.transfer import request_transfer
from gfi.store import ledger, queries
from gfi.store.errors import Conflict, StoreError
from tests.chaos.deployment import Deployment
from tests.chaos.fake import MOVED, MOVED_DIGEST, RECORD
from tests.chaos.misbehaviour import AFTER_COMPARISON, AFTER_LOOK, AFTER_PIECE, IN_TASK_COMMIT
from tests.chaos.night_scenario import everything_killed
from tests.chaos.verify import verify
from tests.chaos.world import Row, World, lease, row

GATE = """
[floor]
level = "same_profile"
min_runs = 2
[limits]
flips = 0.05
[nightly]
comparisons_per_year = 100
"""
CALM = "calm"
"""Who asks while nothing is disturbed; a nightly gate counts the comparisons of each owner by themselves."""
OWNER = "owner"
"""Who asks while everybody is killed."""

WANTED = ("fail", "pass")
"""The verdicts on a model half of whose masks are elsewhere, and on the same model again."""

Asked = list[list[str]]
"""The tasks of each owner: the two comparisons, and the transfer to the other model."""


def comparisons_killed(world: World, seed: int, full: bool) -> Row:
    """18. `kill -9` of those who make comparisons and transfers, at the worst moments and at random; at full length of
    schedulers, Redis and PostgreSQL too. Each is counted once in its gate's year and says what an undisturbed one does.
    """
    rng = random.Random(seed)
    photographs = world.photographs(1000 if full else 64)
    with Deployment(world.servers, "postgres", lease_s=lease(full)) as deployment:
        ledger.save_model(
            deployment.database, MOVED, MOVED_DIGEST, RECORD | {"digest": MOVED_DIGEST}, actor="chaos"
        )
        deployment.start("scheduler", 2 if full else 1)
        calm = [*deployment.start("control"), *deployment.start("worker", 2)]
        jobs = [deployment.submit(photographs, **more) for more in ({}, {}, {}, {"model": MOVED})]
        for job in jobs:
            deployment.wait(job, 300)
        numbers = range(4 if full else 1)
        undisturbed = _made(
            deployment, _ended(deployment, [_asked(deployment, jobs, CALM, number) for number in numbers])
        )
        for made in undisturbed:
            assert tuple(gate["verdict"] for gate in made["gates"]) == WANTED, made
        for member in calm:
            deployment.dismiss(member)
        quiet = deployment.kills
        hits = _start_aimed(deployment, 0.2 if full else 0.0)
        asked = [_asked(deployment, jobs, OWNER, number) for number in numbers]
        random_kills = deployment.killing(rng, "worker", "control", every=(1.0, 2.0))
        with everything_killed(deployment, rng, 2) if full else random_kills:
            _ended(deployment, asked)
        found = _made(deployment, asked)
        assert found == undisturbed, f"{found}\nundisturbed: {undisturbed}"
        missed = [path.name for path in hits if not path.exists()]
        assert not missed, f"nobody died at {missed}"
        _each_is_counted_once(deployment, 2 * len(numbers))
        references = (*[world.undisturbed] * 3, None)
        verdicts = [
            verify(deployment, job, photographs, reference)
            for job, reference in zip(jobs, references, strict=True)
        ]
        kills = deployment.kills - quiet + deployment.own_deaths
        detail = f"{2 * len(numbers)} comparisons, half fail and half pass, and {len(numbers)} transfers"
        return row(18, seed, verdicts, kills, deployment.recoveries.by_role["control"], detail)


def _start_aimed(deployment: Deployment, chance: float) -> list[Path]:
    """Control workers and workers that die at each of these moments once, and from then on with `chance`. Returns the
    files that say that they did."""
    files: list[Path] = []
    for role, aims in (
        ("control", (AFTER_LOOK, AFTER_COMPARISON, IN_TASK_COMMIT)),
        ("worker", (AFTER_PIECE, IN_TASK_COMMIT)),
    ):
        first = {aim: deployment.directory / f"{role} {aim}.first" for aim in aims}
        deployment.start(role, 2, aims={aim: str(path) for aim, path in first.items()}, chance=chance)
        files += first.values()
    return files


def _asked(deployment: Deployment, jobs: list[str], who: str, number: int) -> list[str]:
    """Requests of an owner of its own. Every request is another one: the same again would be the task that waits."""
    first, again, third, moved = jobs
    owner = f"{who}-{number}"

    def transfer() -> str | None:
        with contextlib.suppress(Conflict):  # until a worker has said that it is alive
            return request_transfer(
                deployment.database, first, moved, floor_jobs=[again], images=100, seed=number, owner=owner
            )
        return None

    compared = [
        request_comparison(
            *(deployment.database, first, second), floor_jobs=floor, gate=f"{GATE}# {owner}", owner=owner
        )[0]
        for second, floor in ((moved, [again, third]), (again, [third]))
    ]
    return [*compared, str(deployment.eventually(transfer, 60, "a worker that measures transfer"))]


def _ended(deployment: Deployment, asked: Asked) -> Asked:
    """Waits until every task has ended."""
    tasks = [task for many in asked for task in many]
    assert len(tasks) == len(set(tasks)), "one task for two requests"

    def ended() -> bool:
        with contextlib.suppress(StoreError):  # while the database is away
            return all(queries.get_task(deployment.database, task).ended for task in tasks)
        return False

    deployment.eventually(ended, 400, "every task ends")
    return asked


def _made(deployment: Deployment, asked: Asked) -> list[JSON]:
    """Of each owner: what the comparisons and the transfer say, without the number in the year and what follows from
    it."""
    found: list[JSON] = []
    for *compared, transfer in asked:
        results = [comparison_of(deployment.database, deployment.bucket, task) for task in compared]
        assert {task.state for task, _ in results} == {ShardState.DONE}, results
        made = [result for _, result in results if result is not None]
        assert sorted(one["look"] for one in made) == [1, 2], "two comparisons of an owner's gate"
        said: JSON = {
            "comparisons": [
                [one[name] for name in ("comparison", "floor", "level", "differing")] for one in made
            ],
            "gates": [
                {
                    "verdict": one["gate"]["verdict"],
                    "checks": [[check["name"], check["verdict"]] for check in one["gate"]["checks"]],
                }
                for one in made
            ],
            "transfer": queries.get_task(deployment.database, transfer).result,
        }
        pairs = [(one["first"], one["second"]) for one in said["transfer"]["floor"]]
        assert len(pairs) == len(set(pairs)) == 2, "each pair of the floor's runs once"
        found.append(said)
    return found


def _each_is_counted_once(deployment: Deployment, owners: int) -> None:
    """Two numbers of each owner, each with its mark, and one result for each comparison."""
    numbers = Counter("-" in entry.key for entry in deployment.bucket.list("gates/"))
    assert numbers == {False: 2 * owners, True: 2 * owners}, numbers
    results = [entry.key for entry in deployment.bucket.list("jobs/") if "/comparisons/" in entry.key]
    assert len(results) == 2 * owners, results
