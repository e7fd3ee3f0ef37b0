"""Kinds of tasks. A task is leased work other than a shard.

A task is claimed, renewed, fenced, retried and given up as a shard is. What differs between kinds:

- its entry in `KINDS`;
- its handler: in `scheduler.tasks` where it needs no network, in `workers.handlers` where it does;
- what its handler writes when it commits, including tables of its own: `TaskRun.finish(result, write)` calls `write` in
  the transaction that requires the fence.
"""

from dataclasses import dataclass
from typing import Literal

from gfi.domain.queues import CONTROL_QUEUE, EXPLAIN_QUEUE, INTERACTIVE_QUEUE
from gfi.domain.states import ControlKind

ROUTED = "routed"
"""In the payload of a `plan` task: see `gfi.domain.records.JobSpec.routed`."""
INTERACTIVE = 1000
"""Added to the priority of a task that somebody waits for. Priorities of jobs are between −100 and 100."""


@dataclass(frozen=True)
class TaskKind:
    """A kind of task.

    needs: `network` for workers with torch, `none` for control workers. queue: its default queue. words: a description
    for users. long: it may take minutes, so a control worker keeps one slot free of such tasks. of_job: it is a step of
    a job, and only the job can be cancelled or retried.
    """

    name: str
    needs: Literal["none", "network"]
    words: str
    queue: str = CONTROL_QUEUE
    long: bool = False
    of_job: bool = False


KINDS: dict[str, TaskKind] = {
    kind.name: kind
    for kind in (
        TaskKind(ControlKind.PLAN, "none", "list a dataset", long=True, of_job=True),
        TaskKind(ControlKind.RETRY, "none", "collect what is retried", long=True, of_job=True),
        TaskKind(ControlKind.REPORT, "none", "sum up a job"),
        TaskKind(ControlKind.LIST, "none", "list the parts of a job"),
        TaskKind(ControlKind.ORDER, "none", "sort the results of a large job", long=True),
        TaskKind(ControlKind.COMPARE, "none", "compare two jobs", long=True),
        TaskKind(ControlKind.EXPORT, "none", "export results", long=True),
        TaskKind(ControlKind.SWEEP, "none", "delete orphaned parts"),
        TaskKind(ControlKind.KEEP, "none", "delete old jobs of a schedule", long=True),
        TaskKind(ControlKind.LOOK, "none", "look whether a dataset has changed", long=True),
        TaskKind(ControlKind.REGISTER, "network", "register a model", INTERACTIVE_QUEUE),
        TaskKind(ControlKind.SCREEN, "none", "screen masks for an audit", long=True),
        TaskKind(ControlKind.CONFIRM, "network", "test an audit's candidates", EXPLAIN_QUEUE),
        TaskKind(ControlKind.VERIFY, "network", "explain a sample again", EXPLAIN_QUEUE),
        TaskKind(ControlKind.IMPORT, "network", "import masks", EXPLAIN_QUEUE),
        TaskKind(ControlKind.TRANSFER, "network", "show a model the masks of another", EXPLAIN_QUEUE),
    )
}


def long_kinds() -> list[str]:
    """The kinds whose tasks can take minutes."""
    return [kind.name for kind in KINDS.values() if kind.long]


def priority_in(queue: str, priority: int) -> int:
    """The priority of the tasks of a job with this queue and priority; tasks of interactive jobs come first."""
    return priority + (INTERACTIVE if queue == INTERACTIVE_QUEUE else 0)
