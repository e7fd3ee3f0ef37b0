"""Registered models and their versions."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import canonical
from gfi.domain.states import ACTIVE
from gfi.store.database import Database, insert, now
from gfi.store.errors import Conflict, NotFound
from gfi.store.ledger.audit import record
from gfi.store.model_store import ModelFile
from gfi.store.queries.models import split_version
from gfi.store.tables import jobs, model_versions, models


def save_model(
    db: Database,
    reference: str,
    digest: str,
    model: Mapping[str, Any],
    *,
    actor: str,
    note: str = "",
    files: Sequence[ModelFile] | None = None,
) -> int:
    """Register a model; see `write_model`. Jobs keep the record with which they were submitted."""
    with db.begin() as connection:
        return write_model(connection, reference, digest, model, actor=actor, note=note, files=files)


def write_model(
    connection: sa.Connection,
    reference: str,
    digest: str,
    model: Mapping[str, Any],
    *,
    actor: str,
    note: str = "",
    files: Sequence[ModelFile] | None = None,
) -> int:
    """Store a new version of a model, and return its number; numbers are never used again.

    files: in the bucket, from which workers load it; None: it is loaded without (from a library, or as in earlier
    versions from the models folder).

    Where digest and record are those of the newest version, no version is added, and its number is returned; it has
    the new files then, and the new note, if there is one. Within a transaction of the caller, such as the commit of
    the registration.
    """
    stored = None if files is None else [file.to_json() for file in files]
    statement = insert(connection, models).values(
        reference=reference, digest=digest, record=dict(model), created_at=now(), updated_at=now()
    )
    names = ("digest", "record", "updated_at")
    changes = {name: statement.excluded[name] for name in names}
    # First, because it locks the model's row: two registrations at once have two numbers.
    connection.execute(statement.on_conflict_do_update(index_elements=["reference"], set_=changes))
    newest = connection.execute(
        sa.select(model_versions)
        .where(model_versions.c.reference == reference)
        .order_by(model_versions.c.version.desc())
        .limit(1)
    ).first()
    kept = newest if newest is not None and newest.deleted_at is None else None
    if kept is not None and kept.digest == digest and canonical(kept.record) == canonical(dict(model)):
        changed = ({"files": stored} if stored else {}) | ({"note": note} if note else {})
        if changed:
            this = (
                model_versions.c.reference == reference,
                model_versions.c.version == kept.version,
            )
            connection.execute(sa.update(model_versions).where(*this).values(**changed))
        record(connection, actor, "model.saved", None, {"reference": reference, "digest": digest})
        return int(kept.version)
    version = 1 if newest is None else newest.version + 1
    connection.execute(
        sa.insert(model_versions).values(
            reference=reference,
            version=version,
            digest=digest,
            record=dict(model),
            note=note,
            actor=actor,
            created_at=now(),
            files=stored,
        )
    )
    details = {"reference": reference, "version": version, "digest": digest}
    record(connection, actor, "model.saved", None, details)
    return version


def delete_model(db: Database, name: str, *, actor: str = "local") -> None:
    """Remove a registered model, NAME with all versions or NAME@3 alone.

    Raises NotFound when there is none of this name, and Conflict, which names the job, while a job that has not ended
    needs it.
    """
    reference, version = split_version(name)
    with db.begin() as connection:
        chosen = [model_versions.c.reference == reference, model_versions.c.deleted_at.is_(None)]
        if version is not None:
            chosen.append(model_versions.c.version == version)
        digests = set(connection.execute(sa.select(model_versions.c.digest).where(*chosen)).scalars())
        if not digests:
            raise NotFound(f"no model {name}; `gfi models` lists them")
        for job in connection.execute(
            sa.select(jobs.c.id, jobs.c.config).where(jobs.c.state.in_(sorted(ACTIVE)))
        ):
            model = job.config.get("model", {})
            if model.get("reference") == reference and (version is None or model["digest"] in digests):
                raise Conflict(f"job {job.id} needs model {name}; cancel the job or wait for its end")
        connection.execute(sa.update(model_versions).where(*chosen).values(deleted_at=now()))
        left = connection.execute(
            sa.select(model_versions.c.digest, model_versions.c.record)
            .where(model_versions.c.reference == reference, model_versions.c.deleted_at.is_(None))
            .order_by(model_versions.c.version.desc())
            .limit(1)
        ).first()
        if left is None:
            connection.execute(sa.delete(models).where(models.c.reference == reference))
        else:
            values = {"digest": left.digest, "record": left.record}
            connection.execute(sa.update(models).where(models.c.reference == reference).values(values))
        record(connection, actor, "model.deleted", None, {"reference": name})
