"""The words of this service: states, statuses, metrics, presets, queues and options, each with its meaning.

Pages and programs read them here instead of containing their own copies.
"""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from gfi.api.access import Reader
from gfi.api.body import StrictRoute
from gfi.api.problems import documented
from gfi.domain.job import JobOptions
from gfi.domain.methods import OWN, PEERS, TITLES, fields_of, passes
from gfi.domain.metrics import BASE_COLUMNS, CATALOGUE, Column
from gfi.domain.presets import DEFAULT_PRESET, PRESETS
from gfi.domain.queues import QUEUES
from gfi.domain.states import AUDIT_OPEN, TERMINAL, AuditState, JobState, ShardState
from gfi.domain.statuses import STATUS_WORDS
from gfi.jobs.audits.words import GONE, GROUPS

router = APIRouter(prefix="/v1", tags=["vocabulary"], route_class=StrictRoute)


class StateOut(BaseModel):
    """A state of a job or an audit. ended: it no longer changes by itself."""

    name: str
    ended: bool


class StatusOut(BaseModel):
    """A status of an image. severity: `ok`, `note` or `bad`."""

    name: str
    title: str
    meaning: str
    severity: str


class ColumnOut(BaseModel):
    """A number of a result. better: `higher`, `lower` or null."""

    name: str
    title: str
    meaning: str
    better: str | None
    per_class: bool

    @classmethod
    def of(cls, column: Column) -> "ColumnOut":
        """From the catalogue."""
        return cls(**{name: getattr(column, name) for name in cls.model_fields})


class MetricOut(BaseModel):
    """A metric that a job can ask for. needs: `network`, `boxes`, `mask` or `grids`."""

    name: str
    needs: str
    version: int
    columns: list[ColumnOut]


class PresetOut(BaseModel):
    """A named recipe and its digest."""

    name: str
    digest: str
    recipe: dict[str, Any]


class MethodOut(BaseModel):
    """A method of a job. forward_passes, backward_passes: of the network, at most, for one mask with its status; with
    the recipe that is used when none is given."""

    name: str
    title: str
    forward_passes: int
    backward_passes: int
    fields: list[str]


class VerdictsOut(BaseModel):
    """A group of the verdicts of an audit, in the order of reading. verdicts: names; none of findings that are gone."""

    verdicts: list[str]
    title: str
    meaning: str


class VocabularyOut(BaseModel):
    """All words of the service with their meanings."""

    job_states: list[StateOut]
    shard_states: list[str]
    statuses: list[StatusOut]
    columns: list[ColumnOut]
    metrics: list[MetricOut]
    methods: list[MethodOut]
    presets: list[PresetOut]
    queues: list[str]
    audit_states: list[StateOut]
    audit_verdicts: list[VerdictsOut]
    job_options: dict[str, Any]


@router.get("/vocabulary", responses=documented())
def vocabulary(caller: Reader) -> VocabularyOut:
    """States, statuses, metrics, presets, queues and the options of a job, with their meanings."""
    return VocabularyOut(
        job_states=[StateOut(name=state, ended=state in TERMINAL) for state in JobState],
        shard_states=list(ShardState),
        statuses=[
            StatusOut(name=status, title=words.title, meaning=words.meaning, severity=words.severity)
            for status, words in STATUS_WORDS.items()
        ],
        columns=[ColumnOut.of(column) for column in BASE_COLUMNS],
        metrics=[
            MetricOut(
                name=metric.name,
                needs=metric.needs,
                version=metric.version,
                columns=[ColumnOut.of(column) for column in metric.columns],
            )
            for metric in CATALOGUE.values()
        ],
        methods=[
            MethodOut(
                name=name,
                title=TITLES[name],
                forward_passes=passes(recipe).forward,
                backward_passes=passes(recipe).backward,
                fields=list(fields_of(name)),
            )
            for name, recipe in {OWN: PRESETS[DEFAULT_PRESET], **PEERS}.items()
        ],
        presets=[
            PresetOut(name=name, digest=recipe.digest(), recipe=recipe.to_json())
            for name, recipe in PRESETS.items()
        ],
        queues=list(QUEUES),
        audit_states=[StateOut(name=state, ended=state not in AUDIT_OPEN) for state in AuditState],
        audit_verdicts=[
            VerdictsOut(verdicts=list(verdicts), title=title, meaning=meaning)
            for verdicts, title, meaning in (*GROUPS, ((), *GONE))
        ],
        job_options=JobOptions.model_json_schema(),
    )
