"""A job by class: the table of classes, the matrix of label and prediction, and the histogram of a number."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from gfi.api.access import Reader
from gfi.api.body import StrictRoute
from gfi.api.context import Context, ContextDep
from gfi.api.lookup import JobId, find_job
from gfi.api.problems import checked, documented
from gfi.audit.verdicts import SHORTCUTS
from gfi.domain.metrics import NUMBERS, is_bounded
from gfi.domain.states import AuditState
from gfi.jobs import class_summary
from gfi.store import queries
from gfi.store.queries import Job
from gfi.store.result_query import ResultQuery, Sort, class_index, filters_of

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], route_class=StrictRoute)
Rows = Annotated[int, Query(ge=1, le=10_000, description="Entries of the answer, at most.")]


class EstimateOut(BaseModel):
    """A mean or a share over `count` images, with its 95 % interval; null where it is not known."""

    model_config = ConfigDict(
        from_attributes=True
    )  # `asdict` of all estimates takes longer than all the rest

    mean: float
    count: int
    low: float | None
    high: float | None


class ClassOut(BaseModel):
    """The images of one class."""

    label: str | None = Field(
        description="Null for a class of images without label: then `target` says which."
    )
    target: int | None
    index: int | None = Field(description="Of the class in the model; null where the label names none.")
    name: str = Field(description="For people: the label, otherwise the name of the target.")
    images: int
    explained: int = Field(description="Images with status `ok`.")
    accuracy: EstimateOut | None = Field(description="Null without labels.")
    coverage: EstimateOut = Field(description="The share of images with status `ok`.")
    means: dict[str, EstimateOut] = Field(description="Of each number, over images with status `ok`.")
    findings: int = Field(
        description="Findings of the newest audit that is done, in this class, without dismissed ones."
    )
    shortcuts: int = Field(description="Those of them that are confirmed as shortcuts.")


class ByClassOut(BaseModel):
    """The largest classes of a job. total: how many there are. audit: the audit whose findings are counted."""

    classes: list[ClassOut]
    total: int
    labelled: bool = Field(description="Whether images have labels; otherwise classes are targets.")
    audit: str | None


@router.get("/by-class", responses=documented(404))
def by_class(job_id: JobId, context: ContextDep, caller: Reader, limit: Rows = 1000) -> ByClassOut:
    """Each class with its images, accuracy, coverage, means with intervals, and findings; the most images first."""
    job = find_job(context, job_id)
    sums = queries.job_sums(context.database, job.id, cells=True)
    found = class_summary.class_summaries(sums, class_index(job), each_label=job.config.decides_each_label)
    audit, findings = _findings(context, job)
    classes = []
    for one in found[:limit]:
        name = one.label if one.label is not None else _name(job, one.target)
        mine = findings.get(name, findings.get(_name(job, one.index), (0, 0)))
        classes.append(ClassOut(**vars(one), name=name, findings=mine[0], shortcuts=mine[1]))
    return ByClassOut(
        classes=classes,
        total=len(found),
        labelled=any(one.label is not None for one in found),
        audit=audit,
    )


class LabelsOut(BaseModel):
    """The labels of a job's images, in order. total: how many there are."""

    labels: list[str]
    total: int


@router.get("/labels", responses=documented(404))
def list_labels(job_id: JobId, context: ContextDep, caller: Reader, limit: Rows = 1000) -> LabelsOut:
    """The labels of the images that have a result, in alphabetical order."""
    labels = sorted(queries.job_labels(context.database, find_job(context, job_id).id))
    return LabelsOut(labels=labels[:limit], total=len(labels))


def _findings(context: Context, job: Job) -> tuple[str | None, dict[str, tuple[int, int]]]:
    """The newest audit that is done, and how many findings and shortcuts it has by class name."""
    done = [
        audit for audit in queries.list_audits(context.database, job.id) if audit.state is AuditState.DONE
    ]
    if not done:
        return None, {}
    counts: dict[str, tuple[int, int]] = {}
    for finding in queries.list_findings(context.database, done[0].id):
        if not finding.dismissed:
            findings, shortcuts = counts.get(finding.class_name, (0, 0))
            counts[finding.class_name] = (findings + 1, shortcuts + (finding.verdict in SHORTCUTS))
    return done[0].id, counts


def _name(job: Job, index: int | None) -> str:
    if index is None:
        return "no class"
    return job.class_names[index] if index < len(job.class_names) else str(index)


class ConfusedOut(BaseModel):
    """The images with one label and one prediction."""

    label: str
    index: int | None = Field(description="Of the class that the label names; null where it names none.")
    prediction: int
    prediction_name: str
    images: int
    right: bool | None


class ConfusionOut(BaseModel):
    """Label and prediction. Wrong pairs come first. total: how many pairs there are."""

    pairs: list[ConfusedOut]
    total: int
    right: int = Field(description="Images whose prediction is the class that the label names.")
    wrong: int
    unknown: int = Field(description="Images whose label names no class of the model.")


@router.get("/confusion", responses=documented(404))
def confusion(job_id: JobId, context: ContextDep, caller: Reader, limit: Rows = 1000) -> ConfusionOut:
    """How often images with a label have which prediction: wrong pairs first, the most images first."""
    job = find_job(context, job_id)
    pairs = class_summary.confusion(queries.job_sums(context.database, job.id, cells=True), class_index(job))

    def images(right: bool | None) -> int:
        return sum(pair.images for pair in pairs if pair.right is right)

    return ConfusionOut(
        pairs=[
            ConfusedOut(**vars(pair), prediction_name=_name(job, pair.prediction)) for pair in pairs[:limit]
        ],
        total=len(pairs),
        right=images(True),
        wrong=images(False),
        unknown=images(None),
    )


class HistogramQuery(ResultQuery):
    """The number, and of which results."""

    number: Sort = Field(description="A number of results; not `row`.")


class HistogramOut(BaseModel):
    """A number over images with status `ok`. bins: the left edge and the images of each bin that is not empty."""

    number: str
    width: float
    bins: list[tuple[float, int]]
    mean: EstimateOut | None


@router.get("/histogram", responses=documented(404))
def histogram(
    job_id: JobId, context: ContextDep, caller: Reader, query: Annotated[HistogramQuery, Query()]
) -> HistogramOut:
    """The histogram of a number, of all results (from their sums) or of those that satisfy the filters."""
    job = find_job(context, job_id)
    checked(lambda: _is_number(query.number))
    filters = checked(lambda: filters_of(context.database, job, query)) if query.filtered else None
    found = queries.histogram(context.database, job.id, query.number.value, filters)
    mean = None
    if found.mean is not None:
        estimate = class_summary.mean_estimate(
            found.mean, found.count, found.variance, share=is_bounded(query.number)
        )
        mean = EstimateOut(**asdict(estimate))
    return HistogramOut(number=query.number.value, width=found.width, bins=found.bins, mean=mean)


def _is_number(number: str) -> None:
    if number not in NUMBERS:
        raise ValueError(f"results have no number {number!r}; choose one of {', '.join(NUMBERS)}")
