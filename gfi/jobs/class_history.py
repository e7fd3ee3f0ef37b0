"""A class over the last runs of a schedule: its images, its numbers, and how many of its masks moved from run to run.

The numbers of a run come from its maintained sums, and what moved from the comparison that followed it; no result is
read. A run whose comparison had no floor, failed or was not asked for has no moved masks to show.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gfi.domain.digests import JSON
from gfi.domain.states import JobState
from gfi.jobs.class_summary import ClassSummary, class_summaries
from gfi.jobs.comparison_task import comparison_of
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.errors import NotFound
from gfi.store.objects import Bucket
from gfi.store.queries import Job
from gfi.store.result_query import class_index

RUNS = 30
MOST_RUNS = 365


@dataclass(frozen=True)
class ClassRun:
    """A class in one run. images: all of it, explained: with the status `ok`. means: of each number over those.

    Against the run before: pairs of masks, moved of them, flips of compared images; None where nothing was compared, or
    without a floor. verdict: of the run's gate.
    """

    job: str
    at: float
    images: int
    explained: int
    accuracy: float | None
    means: Mapping[str, float] = field(default_factory=dict)
    pairs: int | None = None
    moved: int | None = None
    compared: int | None = None
    flips: int | None = None
    verdict: str | None = None

    def to_json(self) -> JSON:
        """All fields."""
        return asdict(self)


def class_history(
    database: Database, bucket: Bucket, schedule_id: str, name: str, runs: int = RUNS
) -> list[ClassRun]:
    """The last runs of a schedule that have results, oldest first. name: a label, or the name or index of a class.

    A run without an image of the class has 0 images. NotFound if no run has one.
    """
    found: list[ClassRun] = []
    for firing in queries.list_firings(database, schedule_id, MOST_RUNS):
        if len(found) == runs:
            break
        if firing["job_id"] and firing["state"] in (JobState.SUCCEEDED, JobState.PARTIAL):
            job = queries.get_job(database, firing["job_id"])
            found.append(_run(database, bucket, job, firing, name))
    if found and not any(run.images for run in found):
        raise NotFound(f"no run of this schedule has an image of class {name!r}")
    return found[::-1]


def _run(database: Database, bucket: Bucket, job: Job, firing: Mapping[str, Any], name: str) -> ClassRun:
    sums = queries.job_sums(database, job.id, cells=True)
    summaries = class_summaries(sums, class_index(job), each_label=job.config.decides_each_label)
    one = next((s for s in summaries if name in _names(s, job)), None)
    run: JSON = {"job": job.id, "at": firing["at"], "images": 0, "explained": 0, "accuracy": None}
    if one is not None:
        run |= {
            "images": one.images,
            "explained": one.explained,
            "accuracy": one.accuracy.mean if one.accuracy is not None else None,
            "means": {number: estimate.mean for number, estimate in one.means.items()},
        }
    return ClassRun(**run, **_compared(database, bucket, firing, one.index if one is not None else None))


def _names(summary: ClassSummary, job: Job) -> set[str]:
    """What a class may be called: its label, or else its index and its name in the model."""
    if summary.label is not None:
        return {summary.label}
    index = summary.target
    return (
        {str(index), job.class_names[index]}
        if index is not None and index < len(job.class_names)
        else {str(index)}
    )


def _compared(database: Database, bucket: Bucket, firing: Mapping[str, Any], index: int | None) -> JSON:
    task_id = ((firing["followed"] or {}).get("compare") or {}).get("comparison")
    if task_id is None:
        return {}
    try:
        task, made = comparison_of(database, bucket, task_id)
    except NotFound:  # deleted with its job
        return {}
    if made is None:
        return {}
    compared: JSON = {"verdict": (task.result or {}).get("verdict")}
    moves = made["comparison"]["classes"].get(str(index))
    if moves is not None:
        with_floor = made["comparison"]["threshold"] is not None
        compared |= {"pairs": moves["n"], "moved": moves["moved"] if with_floor else None}
        compared |= {"compared": moves["images"], "flips": moves["flips"]}
    return compared
