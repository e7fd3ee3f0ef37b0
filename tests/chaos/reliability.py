# ruff: noqa: E501 - prose
"""docs/reliability.md: the state machines from `gfi.domain.states`, the figures from benchmarks/results/chaos.json.

`make chaos` writes the page, and a test compares it with the code.
"""

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Any

from gfi.domain.states import SHARD_TRANSITIONS, TRANSITIONS, JobState, ShardState
from gfi.jobs.sharding import MOST_SHARDS
from gfi.store.broker import LONGEST_QUEUE
from gfi.store.ledger.control import ATTEMPTS, DEATHS
from gfi.store.ledger.death_rate import ACCIDENT, FEWEST_DEATHS, LONGEST_PAUSE_S
from gfi.store.ledger.leases import OTHER_RELEASES, TRANSIENT_RELEASES
from gfi.store.settings import Settings
from tests.chaos.deployment import LEASE_S, here

USUAL = Settings()
PAGE = here() / "docs" / "reliability.md"

WHAT = {
    1: "`kill -9` of workers at random, and aimed: right after a claim, during a renewal, between upload and commit, during a commit, after a commit before its answer",
    2: "`kill -9` of three schedulers and of the planning worker, also while a retry is planned and a job is paused, on PostgreSQL and SQLite",
    3: "Redis killed and restarted with and without its data, away while every worker ends its shard, `FLUSHALL`, memory full, frozen for longer than a lease",
    4: "PostgreSQL killed (`-9`) and restarted under commits, connections cut, connections swallowed; SQLite locked by another writer for 20 s",
    5: "S3: 500, 503, resets before and after the request was carried out, half-written uploads, bodies damaged both ways, delays, a full disk",
    6: "every message delivered three times, and again after 5 s while a shard takes 30 s",
    7: "a worker's clock 5 minutes and one hour wrong; workers frozen past their lease and resumed",
    8: "a worker on another host (network namespace), its cable pulled and plugged in again",
    9: "an image that kills its process, one that hangs the decoder, one that hangs the engine, with random kills going on",
    11: "`kill -9` of workers at ten times the rate of scenario 1, on a machine made a quarter as fast: most die before they have finished anything",
    12: "everything slow and nothing down: ticks of six seconds, a database that answers late, and workers that die",
    13: "workers killed over tasks of two kinds beside a job: after a piece is saved, inside a commit, at random",
    14: "planners of incremental jobs killed between two pieces of carried results and at random, beside the sweep; the earlier job deleted",
    15: "`kill -9` of three schedulers while a schedule fires every second for two minutes, on PostgreSQL and SQLite",
    16: "old jobs of a schedule deleted by two sweepers and by a person while incremental jobs are planned from them and planners are killed",
    17: "a night of a schedule, from its firing to the e-mail and the webhook: workers, schedulers, control workers, Redis and PostgreSQL killed; the gate's verdict is that of an undisturbed night",
    18: "comparisons judged by a nightly gate, and transfers: those who make them killed after taking a number in the year, after storing the result, between two models, in a commit and at random, Redis and PostgreSQL twice; each counted once, with the numbers and the verdict of an undisturbed run",
    10: "soak: mixed jobs, some cancelled and retried, some paused, under random faults of all kinds",
}


def diagram(table: Mapping[Any, frozenset[Any]]) -> str:
    """A state machine as a Mermaid diagram, from its table of transitions."""
    lines = ["```mermaid", "stateDiagram-v2"]
    order = list(table)
    lines.append(f"    [*] --> {order[0]}")
    for before, afters in table.items():
        lines += [f"    {before} --> {after}" for after in sorted(afters, key=order.index)]
    return "\n".join([*lines, "```"])


def meanings(states: type[StrEnum]) -> str:
    """The states, each with its docstring."""
    (body,) = (
        node.body
        for node in ast.parse(textwrap.dedent(inspect.getsource(states))).body
        if isinstance(node, ast.ClassDef)
    )
    said = {}
    for assignment, words in pairwise(body):
        if (
            isinstance(assignment, ast.Assign)
            and isinstance(words, ast.Expr)
            and isinstance(words.value, ast.Constant)
        ):
            said[ast.literal_eval(assignment.value)] = " ".join(str(words.value.value).split())
    return "\n".join(f"- **{state}**: {said[state]}" for state in states)


def figures(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of results."""

    def seconds(value: float | None) -> str:
        return "–" if value is None else f"{value:.1f} s"

    lines = [
        "| | what went wrong | seed | images | faults | lost | twice | orphans | recovery, median | worst |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each['scenario']} | {_what(each)} | {each['seed']} | {each['images']:,} | {each['kills']:,} "
        f"| {each['lost']} | {each['duplicates']} | {each['orphans']} "
        f"| {seconds(each['recovery_median_s'])} | {seconds(each['recovery_worst_s'])} |"
        for each in rows
    ]
    return "\n".join(lines)


def _what(each: Mapping[str, Any]) -> str:
    detail = each.get("detail")
    return WHAT[each["scenario"]] + (f" (*{detail}*)" if detail else "")


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """All of docs/reliability.md."""
    missing = [str(number) for number in WHAT if number not in {each["scenario"] for each in rows}]
    not_run = f"\nNot run for this page: scenario {', '.join(missing)}.\n" if missing else ""
    return f"""# Reliability

<!-- Written by `make chaos` (tests/chaos/reliability.py). Edit that, not this. -->

What gfi guarantees when processes, servers or networks fail, what it does not guarantee, and what was measured.

## What is promised

- **No image is lost and none is counted twice** when workers, schedulers or planners are killed or frozen, when messages are
  delivered twice, when Redis loses all its data, when PostgreSQL crashes, or when the bucket is unavailable for a while. The state
  is in the database alone; Redis carries only hints and may be lost at any time.
- **A mask does not depend on the faults during its job.** Every scenario below compares each mask with that of an
  undisturbed run, bit by bit.
- **A full disk costs time only.** While the bucket or the folder for temporary files has no room, shards and tasks are tried again with
  growing pauses, for about two hours, and `gfi job` and `gfi doctor` say so. No part is half-written: a part is one request, and a row of the ledger names it
  only afterwards.
- **A lease runs only while workers can renew it.** The duration of an outage of the database, of all schedulers or of the
  whole machine does not count. Where everything is slow and nothing is down, leases expire later, but they do expire.
- **A worker that lost its lease commits nothing.** A claim returns a fence, and a commit is one transaction that
  requires it. Objects that such a worker uploaded are orphans, and the sweep (`gfi gc`) removes them.
- **A bad image affects only its own result.** An image that cannot be read, prepared or measured is recorded as `error`. An image
  that kills or hangs its workers is tried alone, and recorded as `error` after {FEWEST_DEATHS} deaths. Where workers die for other
  reasons too, more deaths are needed: so many that chance alone would cause them in fewer than one of {1 / ACCIDENT:,.0f} cases.
- **A good image is never marked `error` because workers die.** The death of a worker that had not begun, or that processed
  something else, counts against no image. A shard whose workers keep dying waits longer before each attempt, up to {LONGEST_PAUSE_S:g} s,
  and `gfi job JOB` says so.
- **A faulty worker does not fail a job that others can do.** A worker with a full disk, a wrong clock, or another version of the
  model or dataset than the job requires returns its shards and pauses, longer each time, while another worker processes the job. If
  no other worker does, and the model or dataset cannot be obtained, the job fails with that reason.
- **Retries are limited.** A shard is returned with growing pauses of up to five minutes when the bucket or the database is
  unavailable, up to {TRANSIENT_RELEASES} times in a row, and up to {OTHER_RELEASES} times when it fails for another reason. Then it is `failed`,
  with the reason; `gfi job JOB` lists such failures by class, and `gfi retry JOB [--status …] [--class …]` tries them again.
- **Overload is refused or queued, and reported.** The limits are {USUAL.max_images_per_job:,} images per job (`GFI_MAX_IMAGES_PER_JOB`),
  {USUAL.max_active_jobs:,} active jobs (`GFI_MAX_ACTIVE_JOBS`) and {MOST_SHARDS:,} shards per job. Each queue holds {USUAL.window} messages ahead
  of the workers (`GFI_WINDOW`), and nothing is added to a queue of {LONGEST_QUEUE:,}. `gfi doctor` and `/metrics` show how much is waiting.
  While a job of 150,000 shards runs, the shards of a small job are still claimed next, within milliseconds.
- **The death of a planner does not count as a failed attempt**, nor does an outage of the database count as its death: a worker
  gives its task back when the database answers. A listing that cannot be read is tried {ATTEMPTS} times. When the planner
  dies, planning is repeated, with pauses that double, until {DEATHS} workers have died planning this job while other planners did not die.
- **Cancel, pause and resume are durable** and reach a running worker within 2 s and one optimiser step. Images
  finished by then are committed and remain readable.
- **After the loss of the database no image is computed again.** `gfi db rebuild` restores jobs and results from `job.json`,
  `committed.json` (written every 1,000 shards and at the end) and the parts.

## What is not promised

- The last commits before a power cut of the database's machine, with SQLite: the embedded stack may lose them, and these shards are
  then processed again. PostgreSQL with its default settings loses nothing.
- Data that only a lost database contained: jobs that were not planned yet, models (run `gfi models add` again), schedules, tokens,
  flags on images, the audit log. A cancelled or paused job with unfinished images is restored as paused.
- Uncommitted work of a worker that died. It is repeated: at most one shard, whose size is chosen so that it takes about a minute.
- Speed during a fault. Leases are 90 s by default (10 s in the embedded stack); the shard of a worker that died is idle for so long.
- Deletion of every unused object: the sweep reports objects in the bucket that belong to no job, and never deletes them.

## Jobs

{diagram(TRANSITIONS)}

{meanings(JobState)}

Only `gfi retry` leaves the terminal states. It writes a manifest of the rows to repeat and keeps the replaced results in the history.
A commit that arrives after the end is recorded, and succeeded, partial or failed is judged again; a cancelled job stays cancelled.

## Shards

{diagram(SHARD_TRANSITIONS)}

{meanings(ShardState)}

## Measured

`make chaos` with leases of {LEASE_S:g} s on the two cores of a shared machine; real Celery workers, schedulers, Valkey, SeaweedFS and
PostgreSQL, and a substitute for the optimiser that takes milliseconds. *Faults* counts kills, restarts, cut connections and damaged
requests. *Recovery* is, after the death of a worker (1, 9, 10) or the loss of its renewals (7, 8), the time until its shard is
pending again, including the lease; after the death of a planner (2), the time until another has its task, including lease and pause;
after the death of a scheduler, the time until the next tick of any scheduler (sometimes all three are killed at once); after a fault
of Redis, the database or the bucket (3, 4, 5), the time until the next commit. The raw figures are in `benchmarks/results/chaos.json`.

{figures(rows)}
{not_run}
To repeat one: `make chaos SCENARIO=4 SEED=7`. The short versions of all but 8, 11 and 14 are in `make test`.
"""


def write(rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the page."""
    PAGE.write_text(page(rows))
