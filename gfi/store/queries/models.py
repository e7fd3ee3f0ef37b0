"""Registered models and their versions."""

import re
from dataclasses import dataclass

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.job import ModelRef
from gfi.domain.states import ACTIVE, OPEN, ControlKind
from gfi.store.database import Database
from gfi.store.model_store import ModelFile, read_files
from gfi.store.queries.fetching import fetch
from gfi.store.tables import control_tasks, jobs, model_versions, models

_VERSION = re.compile(r"(.+)@([1-9][0-9]{0,8})")


@dataclass(frozen=True)
class Model:
    """A version of a registered model: everything that is known of it without loading torch."""

    reference: str
    version: int
    digest: str
    record: JSON
    note: str
    actor: str
    """Who registered it; empty where that was not recorded."""
    created_at: float
    """When this version was registered."""
    updated_at: float
    """When the model was last registered, be it without a change."""


def split_version(name: str) -> tuple[str, int | None]:
    """(reference, version) of NAME@3; None where no version is named."""
    match = _VERSION.fullmatch(name)
    return (match[1], int(match[2])) if match else (name, None)


def find_model(db: Database, name: str) -> Model | None:
    """A registered model, NAME for its newest version or NAME@3; None when there is none of this name."""
    reference, version = split_version(name)
    versions = list_versions(db, reference)
    return next((model for model in versions if version in (None, model.version)), None)


def model_of(db: Database, named: ModelRef) -> Model | None:
    """The version that a job names, the newest for jobs that are older than versions; None when it was removed."""
    version = "" if named.version is None else f"@{named.version}"
    return find_model(db, named.reference + version)


def list_versions(db: Database, reference: str) -> list[Model]:
    """The versions of a model that were not removed, newest first."""
    query = _registered().where(model_versions.c.reference == reference)
    return [Model(**row) for row in fetch(db, query.order_by(model_versions.c.version.desc()))]


def model_files(db: Database, model: ModelRef) -> list[ModelFile]:
    """The files in the bucket of the version that a job names; empty for one that is loaded without.

    Versions that were removed are found too: a job keeps the model with which it was submitted.
    """
    chosen = [model_versions.c.reference == model.reference, model_versions.c.digest == model.digest]
    if model.version is not None:
        chosen.append(model_versions.c.version == model.version)
    query = sa.select(model_versions.c.files).where(*chosen, model_versions.c.files.is_not(None))
    rows = fetch(db, query.order_by(model_versions.c.version.desc()).limit(1))
    return read_files(rows[0]["files"]) if rows else []


def needed_model_files(db: Database) -> set[str]:
    """The SHA-256 of every file and head of a version that was not removed, or that a job needs which has not ended;
    and of the files that were sent for a registration that no worker has done yet."""
    model = jobs.c.config["model"]
    names = [model[name].as_string().label(name) for name in ("reference", "digest")]
    active = sa.select(*names).where(jobs.c.state.in_(sorted(ACTIVE)))
    wanted = {(row["reference"], row["digest"]) for row in fetch(db, active)}
    head = model_versions.c.record["head"]["sha256"].as_string().label("head")
    names = [model_versions.c[name] for name in ("reference", "digest", "deleted_at", "files")]
    needed = [
        row
        for row in fetch(db, sa.select(*names, head))
        if row["deleted_at"] is None or (row["reference"], row["digest"]) in wanted
    ]
    heads = {row["head"] for row in needed if row["head"] is not None}
    asked = sa.select(control_tasks.c.payload).where(
        control_tasks.c.kind == ControlKind.REGISTER.value, control_tasks.c.state.in_(sorted(OPEN))
    )
    sent = {one["sha256"] for row in fetch(db, asked) for one in row["payload"].get("files") or ()}
    return sent | heads | {file.sha256 for row in needed for file in read_files(row["files"] or [])}


def list_models(db: Database) -> list[Model]:
    """The newest version of each registered model, by reference."""
    newest = (
        sa.select(model_versions.c.reference, sa.func.max(model_versions.c.version).label("version"))
        .where(model_versions.c.deleted_at.is_(None))
        .group_by(model_versions.c.reference)
        .subquery()
    )
    query = _registered().join(
        newest,
        sa.and_(
            newest.c.reference == model_versions.c.reference, newest.c.version == model_versions.c.version
        ),
    )
    return [Model(**row) for row in fetch(db, query.order_by(model_versions.c.reference))]


def _registered() -> sa.Select[tuple[object, ...]]:
    columns = ("reference", "version", "digest", "record", "note", "actor", "created_at")
    query: sa.Select[tuple[object, ...]] = sa.select(
        *(model_versions.c[name] for name in columns), models.c.updated_at
    )
    return query.join_from(model_versions, models, models.c.reference == model_versions.c.reference).where(
        model_versions.c.deleted_at.is_(None)
    )
