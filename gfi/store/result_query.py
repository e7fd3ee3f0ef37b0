"""What is asked of a job's results, as addresses and saved views write it: `wrong=true&label=cat&sort=area`.

    query = ResultQuery.of("wrong=true&label=cat&sort=area")
    page = queries.list_results(database, job.id, filters=filters_of(database, job, query), sort=query.sort)

The API's parameters are the fields of `ResultQuery`; a view is such a query under a name.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import parse_qs

from pydantic import BaseModel, Field, StringConstraints, ValidationError

from gfi.domain.class_index import ClassIndex
from gfi.domain.manifest_columns import parse_where
from gfi.domain.metrics import PRIMARY_METHOD
from gfi.domain.result import Result
from gfi.domain.row_ranges import MOST_ROWS, rows_of
from gfi.domain.states import ControlKind
from gfi.domain.statuses import UNUSABLE, ImageStatus
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.queries import SORTABLE, Agreement, Filters, Job

LARGEST = 2**31 - 1
LONGEST = 100_000
"""Characters of a query as text."""
_PAGING = ("after", "limit", "format")
"""Parameters of an address that say nothing about which results."""
_Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=200)]
Condition = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=400)]
_Number = Annotated[int, Field(ge=0, le=LARGEST)]
Sort = StrEnum("Sort", {name.upper(): name for name in SORTABLE})  # type: ignore[misc]


class ResultQuery(BaseModel):
    """Which results, and in which order."""

    status: ImageStatus | None = None
    prediction: _Number | None = None
    target: _Number | None = None
    label: _Text | None = None
    wrong: bool | None = Field(
        None,
        description="true: the prediction is not the class that the label names; false: it is. Images whose label names"
        " no class of the model are in neither.",
    )
    error_class: _Text | None = None
    method: Annotated[_Text, Field(min_length=1)] = PRIMARY_METHOD
    target_rank: _Number | None = Field(
        None, description="For a job that explains several classes: only the class with this rank."
    )
    metric: Sort | None = Field(None, description="The number that `at_least` and `at_most` bound.")
    at_least: float | None = Field(None, allow_inf_nan=False)
    at_most: float | None = Field(None, allow_inf_nan=False)
    search: _Text | None = Field(None, description="A part of the key.")
    flagged: bool = False
    flag: _Text | None = Field(None, description="Only images with this flag.")
    finding: _Text | None = Field(
        None,
        description="AUDIT:FINDING, the ids of a finding of an audit of this job: the images that its test used.",
    )
    comparison: _Text | None = Field(
        None,
        description="The id of a comparison with this job: the images that flipped, or whose masks moved beyond its"
        " floor, the first 2,000 of each.",
    )
    rows: list[_Number] = Field(
        default=[], max_length=MOST_ROWS, description="Only these rows of the manifest: a selection."
    )
    differs_from: _Text | None = Field(
        None, description="The id of a job that predicted another class for the same key."
    )
    carried: bool | None = Field(None, description="Whether the result was carried over from an earlier job.")
    where: list[Condition] = Field(
        default=[],
        max_length=16,
        description="Conditions on further columns of the manifest, all of which hold: `site=A`, `age>=40`, `site!=A`;"
        " `site=` finds images without a value.",
    )
    sort: Sort = Sort("row")
    descending: bool = False

    @classmethod
    def of(cls, text: str) -> "ResultQuery":
        """The query of an address, what follows its `?`. Raises ValueError with a sentence for anything else.

        `rows` may be given as `1,5-9`. The size of a page (`limit`, `after`, `format`) is accepted and left out.
        """
        if len(text) > LONGEST:
            raise ValueError(f"a query has at most {LONGEST:,} characters; this one has {len(text):,}")
        try:
            given = parse_qs(text.removeprefix("?"), keep_blank_values=True, strict_parsing=bool(text))
        except ValueError:
            raise ValueError(f"{text[:100]!r} is not a query such as wrong=true&sort=area") from None
        # an empty field is left out, as a form sends it; but a choice of no rows is not all of them
        given = {
            name: found
            for name, found in given.items()
            if name not in _PAGING and (found[-1] != "" or name == "rows")
        }
        if unknown := sorted(set(given) - set(cls.model_fields)):
            known = ", ".join(cls.model_fields)
            raise ValueError(f"a query has no field {unknown[0][:100]!r}; choose from {known}")
        values: dict[str, Any] = {
            name: found if name == "where" else rows_of(",".join(found)) if name == "rows" else found[-1]
            for name, found in given.items()
        }
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    @property
    def filtered(self) -> bool:
        """Whether it asks for less than all results."""
        return bool(self.model_dump(exclude_defaults=True, exclude={"sort", "descending"}))


def filters_of(database: Database, job: Job, query: ResultQuery) -> Filters:
    """The filters of a query for this job. Raises ValueError for a column that the job does not have and for bounds of
    no number, NotFound for an unknown finding or comparison."""
    if query.metric is None and (query.at_least is not None or query.at_most is not None):
        raise ValueError("at_least and at_most bound a number: name it, such as metric=area")
    kinds = queries.kinds_of(job.metadata)
    rows, target = tuple(query.rows) or None, query.target
    if query.finding is not None:
        found, of_class = _rows_of_finding(database, job, query.finding)
        if (
            job.config.each_label and of_class is not None
        ):  # of several labels of an image, the one that was tested
            found = found if target in (None, of_class) else ()
            target = of_class
        rows = found if rows is None else tuple(sorted(set(found) & set(rows)))
    if query.comparison is not None:
        found = _rows_that_differ(database, job, query.comparison)
        rows = found if rows is None else tuple(sorted(set(found) & set(rows)))
    same = ("status", "prediction", "label", "method", "target_rank", "error_class", "metric")
    numbers = ("at_least", "at_most", "search", "flagged", "flag", "carried")
    other = None if query.differs_from is None else queries.get_job(database, query.differs_from)
    return Filters(
        **{name: getattr(query, name) for name in (*same, *numbers)},
        target=target,
        where=tuple(parse_where(text, kinds) for text in query.where),
        rows=rows,
        differs_from=None if other is None else other.id,
        by_label=other is not None and job.config.decides_each_label and other.config.decides_each_label,
        sigmoid=other is not None and (job.sigmoid or other.sigmoid),
        agreement=None if query.wrong is None else _agreement(database, job, query.wrong),
    )


def view_of(database: Database, job: Job, text: str) -> ResultQuery:
    """A view as people name it: a query (`wrong=true&label=cat`), or the name of a saved view. Raises ValueError for
    what is no query, NotFound for a name that the job does not have."""
    if text and "=" not in text:
        text = queries.find_view(database, job.id, text)["query"]
    return ResultQuery.of(text)


def results_of_view(database: Database, job: Job, name: str) -> Iterator[Result]:
    """The results of a view of the job (`view_of`), in its order, a thousand read at a time."""
    query = view_of(database, job, name)
    filters = filters_of(database, job, query)
    order: dict[str, Any] = {"sort": query.sort.value, "descending": query.descending}

    def pages() -> Iterator[Result]:
        after = None
        while page := queries.list_results(
            database, job.id, filters=filters, limit=1000, after=after, **order
        ):
            yield from page
            after = queries.page_key(page[-1], query.sort.value)

    return pages()


def rows_to_json(database: Database, job: Job, rows: Sequence[Result]) -> list[dict[str, Any]]:
    """Results as the API returns them: with the names of their classes, their flags, and whether the prediction is the
    class that the label names (`right`; None where no prediction is known, or the label names no
    class; a label that was not found is wrong)."""
    flags = queries.flags_of(database, job.id, [row.row for row in rows])
    classes = class_index(job)

    def right(row: Result) -> bool | None:
        missed = job.config.decides_each_label and row.prediction is None and row.status not in UNUSABLE
        unknown = row.label is None or (row.prediction is None and not missed)
        meant = None if row.label is None or unknown else classes.find(row.label)
        return None if meant is None else meant == row.prediction

    return [row.to_json(job.class_names) | {"flag": flags.get(row.row), "right": right(row)} for row in rows]


def class_index(job: Job) -> ClassIndex:
    """Maps labels to the classes of the job's model."""
    model = job.model or {}
    return ClassIndex.of(
        model.get("class_names") or (), model.get("wordnet_ids") or (), model.get("classes", 0)
    )


def _agreement(database: Database, job: Job, wrong: bool) -> Agreement:
    """What each label of the job means. The labels are those of the maintained sums; no result is read."""
    classes = class_index(job)
    found = ((label, classes.find(label)) for label in sorted(queries.job_labels(database, job.id)))
    named = tuple((label, index) for label, index in found if index is not None)
    return Agreement(wrong, named, job.config.decides_each_label)


def _rows_of_finding(database: Database, job: Job, name: str) -> tuple[tuple[int, ...], int | None]:
    """The rows of the images that its test used, and its class."""
    audit_id, _, finding_id = name.partition(":")
    audit = queries.get_audit(database, audit_id)
    if audit.job_id != job.id:
        raise ValueError(f"audit {audit_id} is of another job, {audit.job_id}")
    finding = queries.get_finding(database, audit.id, finding_id)
    return tuple(sorted({int(row) for row in finding.record.get("rows", ())})), finding.class_index


def _rows_that_differ(database: Database, job: Job, comparison: str) -> tuple[int, ...]:
    task = queries.get_task(database, comparison)
    sides = [side for side in ("a", "b") if task.payload.get(side) == job.id]
    if task.kind != ControlKind.COMPARE or not sides:
        raise ValueError(f"{comparison} is no comparison of job {job.id}")
    if task.result is None:
        raise ValueError(f"comparison {comparison} is {task.state.value}; wait for its end")
    return tuple(task.result.get("differing", {}).get(sides[0], ()))
