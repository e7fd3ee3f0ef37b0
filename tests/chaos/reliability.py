# ruff: noqa: E501 - prose
"""docs/reliability.md: the state machines from `gfi.domain.states`, the figures from benchmarks/results/chaos.json.

Nothing in that page that can be wrong is written by hand: `make chaos` writes it, a test compares it with the code.
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
    """The states with the sentence that stands beneath each in `store/tables.py`."""
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

What happens when things die, what is promised, what is not, and what was measured.

## What is promised

- **No image is lost and none counted twice**, whatever is killed, emptied, frozen or delivered twice: workers,
  schedulers, planners, Redis with all its data, PostgreSQL with nothing but what it had committed, the bucket for a
  while. The database decides; Redis carries hints and may be lost at any time.
- **A mask does not depend on what went wrong on the way.** Every scenario below compares each mask with that of an
  undisturbed run, bit by bit.
- **A lease runs only while workers can renew it.** The time of an outage of the database, of every scheduler or of the whole
  machine does not count; where everything is slow and nothing is down, leases run slower and still run out.
- **A worker that lost its lease commits nothing.** A claim hands out a fence, and a commit is one transaction that
  requires it. What such a worker uploaded is an orphan, and the sweep (`gfi gc`) removes it.
- **A bad image costs itself.** One that cannot be read, prepared or measured is recorded as `error`. One that kills or
  hangs its workers is tried alone, and recorded as `error` after {FEWEST_DEATHS} deaths; where workers die for other
  reasons too, after as many as would happen by accident in fewer than one of {1 / ACCIDENT:,.0f} cases.
- **A good image is never given up.** Deaths of workers that had not begun, or that worked on something else, count against
  no image. A shard whose workers go on dying waits longer before each attempt, up to {LONGEST_PAUSE_S:g} s, and `gfi job JOB`
  says so.
- **A bad worker costs itself.** One whose disk is full, whose clock is wrong, whose model or data set is not the job's
  gives its shards back and rests, longer each time, as long as another is at work on the job. Alone with a model or data set it
  cannot have, it fails the job, with the reason.
- **What fails is not retried for ever.** A shard whose bucket or database is away is given back with growing pauses up to five
  minutes, {TRANSIENT_RELEASES} times in a row; one that fails for another reason, {OTHER_RELEASES} times. Then it is `failed`, with the
  reason; `gfi job JOB` lists such failures by class, `gfi retry JOB [--status …] [--class …]` tries them again.
- **A flood is refused or waits, and says so.** At most {USUAL.max_images_per_job:,} images a job (`GFI_MAX_IMAGES_PER_JOB`) and
  {USUAL.max_active_jobs:,} active jobs (`GFI_MAX_ACTIVE_JOBS`), in {MOST_SHARDS:,} shards a job; {USUAL.window} messages a queue are
  ahead of the workers (`GFI_WINDOW`), and none is added to a queue of {LONGEST_QUEUE:,}. `gfi doctor` and `/metrics` show what waits. Beside a
  job of 150,000 shards a small one is claimed next, in milliseconds.
- **A planner's death is no attempt.** A listing that cannot be read is tried {ATTEMPTS} times; one whose planner dies, as often as it
  takes, with pauses that double, until {DEATHS} workers have died over it and other planners did not.
- **Cancel, pause and resume are durable** and reach a running worker within 2 s and one optimiser step. What was
  finished by then is committed and stays readable.
- **A lost database costs no computing.** `gfi db rebuild` writes jobs and results back from `job.json`,
  `committed.json` (written every 1,000 shards and at the end) and the parts.

## What is not promised

- A power cut of the database's machine: PostgreSQL with its own settings survives it; the embedded stack's SQLite may
  forget the last commits, and these shards are then done again.
- What only a lost database knew: jobs that were not planned yet, models (`gfi models add` again), schedules, tokens, marks on
  images, webhooks, the audit. A job that was cancelled or paused comes back paused where images are left.
- Work in a dead worker's memory. What it had not committed is explained again: at most one shard, which is cut so that
  it takes about a minute.
- Speed while things are broken. Leases are 90 s by default (10 s in the embedded stack), so a dead worker's shard is
  idle for so long.
- Objects in the bucket that no job explains are reported by the sweep, never deleted.

## Jobs

{diagram(TRANSITIONS)}

{meanings(JobState)}

Terminal states are left by `gfi retry` alone, which writes a manifest of the rows concerned and keeps what it replaces
in the history.

## Shards

{diagram(SHARD_TRANSITIONS)}

{meanings(ShardState)}

## Measured

`make chaos` with leases of {LEASE_S:g} s on the two cores of a shared machine; real Celery workers, schedulers, Valkey, SeaweedFS and
PostgreSQL, and an optimiser that takes milliseconds. *Faults* counts kills, restarts, cuts and damaged requests. *Recovery* is:
after a worker's death (1, 9, 10) and after its silence (7, 8), the time until its shard is free for others, lease included; after a
planner's death (2), the time until another has its task, lease and pause included; after a scheduler's, the time until the next
tick of any (three at once are killed now and then); after a fault of Redis, the database or the bucket (3, 4, 5), the time until
the next commit. The raw figures are in `benchmarks/results/chaos.json`.

{figures(rows)}
{not_run}
To repeat one: `make chaos SCENARIO=4 SEED=7`. The short versions of all but 8 and 11 are in `make test`.
"""


def write(rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the page."""
    PAGE.write_text(page(rows))
