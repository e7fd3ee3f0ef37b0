"""The small rows beside the jobs: workers, models, rates, schedules, tokens, flags, the outbox."""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from gfi.domain.digests import JSON
from gfi.domain.ids import new_id
from gfi.domain.records import JobSpec, Submitted
from gfi.store.database import Database, insert, now, upsert
from gfi.store.errors import Conflict, NotFound, StoreError
from gfi.store.ledger.jobs import lock_job, record, submit_in
from gfi.store.tables import firings, flags, models, outbox, rates, schedules, tokens, workers

SCOPES = ("read", "submit", "admin")


def heartbeat(db: Database, facts: Mapping[str, Any]) -> None:
    """A worker says that it lives: `id`, and any other columns of table `workers` (device, rate, shard_id,
    memory_mib …). People look at this; nothing relies on it.
    """
    with db.begin() as connection:
        statement = insert(connection, workers).values(started_at=now(), seen_at=now(), **facts)
        changes = {name: statement.excluded[name] for name in ("seen_at", *facts) if name != "id"}
        connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changes))


def forget_workers(db: Database, silent_s: float) -> int:
    """Remove workers not heard of for `silent_s` seconds. Returns how many."""
    with db.begin() as connection:
        gone = connection.execute(sa.delete(workers).where(workers.c.seen_at < now() - silent_s))
        return gone.rowcount


def save_model(db: Database, reference: str, digest: str, model: Mapping[str, Any], *, actor: str) -> None:
    """Register a model's record, or replace it; jobs keep the record they were submitted with."""
    with db.begin() as connection:
        statement = insert(connection, models).values(
            reference=reference, digest=digest, record=dict(model), created_at=now(), updated_at=now()
        )
        names = ("digest", "record", "updated_at")
        changes = {name: statement.excluded[name] for name in names}
        connection.execute(statement.on_conflict_do_update(index_elements=["reference"], set_=changes))
        record(connection, actor, "model.saved", None, {"reference": reference, "digest": digest})


def delete_model(db: Database, reference: str, *, actor: str = "local") -> None:
    """Remove a model from the list; NotFound when it is not there."""
    with db.begin() as connection:
        if not connection.execute(sa.delete(models).where(models.c.reference == reference)).rowcount:
            raise NotFound(f"no model {reference}; `gfi models` lists them")
        record(connection, actor, "model.deleted", None, {"reference": reference})


def save_rate(db: Database, digest: str, device_kind: str, images_per_s: float) -> None:
    """Keep a measured rate, smoothed over the last few reports."""
    with db.begin() as connection:
        same = sa.and_(rates.c.digest == digest, rates.c.device_kind == device_kind)
        before = connection.execute(sa.select(rates.c.images_per_s).where(same)).scalar()
        rate = images_per_s if before is None else 0.7 * before + 0.3 * images_per_s
        row = {
            "digest": digest,
            "device_kind": device_kind,
            "images_per_s": rate,
            "updated_at": connection.execute(sa.select(now())).scalar_one(),
        }
        upsert(connection, rates, [row], ("digest", "device_kind"))


def add_schedule(
    db: Database, name: str, cron: str, zone: str, request: Mapping[str, Any], *, actor: str = "local"
) -> str:
    """A schedule under a name of its own. Returns its id. The caller has checked `cron`, `zone` and `request`,
    which is frozen into a job's configuration anew at each firing: a changed model is explained as it is then.
    """
    with db.begin() as connection:
        if connection.execute(sa.select(schedules.c.id).where(schedules.c.name == name)).scalar():
            raise Conflict(f"a schedule named {name!r} exists; gfi schedule rm {name}")
        schedule_id = new_id()
        connection.execute(
            sa.insert(schedules).values(
                id=schedule_id,
                name=name,
                owner=request.get("owner", ""),
                cron=cron,
                zone=zone,
                request=dict(request),
                created_at=now(),
            )
        )
        record(connection, actor, "schedule.added", None, {"name": name, "cron": cron, "zone": zone})
        return schedule_id


def remove_schedule(db: Database, name: str, *, actor: str = "local") -> None:
    """Remove a schedule by name or id; jobs it started stay. NotFound when there is none."""
    with db.begin() as connection:
        named = sa.or_(schedules.c.name == name, schedules.c.id == name)
        if not connection.execute(sa.delete(schedules).where(named)).rowcount:
            raise NotFound(f"no schedule {name!r}; `gfi schedule list` shows them")
        record(connection, actor, "schedule.removed", None, {"name": name})


def fire(
    db: Database,
    schedule_id: str,
    firing_key: str,
    spec: JobSpec | StoreError,
    *,
    max_active_jobs: int | None = None,
) -> Submitted | None:
    """Submit the job of one firing, exactly once whoever calls: the key is unique per schedule.

    `spec`: the job, or why there can be none (its dataset is gone). Returns None when this firing was had
    already, or the schedule is gone. A refusal (that one, or a limit) is kept with the firing and raised.
    """
    with db.begin() as connection:
        if not _first(connection, schedule_id, firing_key):
            return None
        refused: StoreError | None = None
        try:
            if isinstance(spec, StoreError):
                raise spec
            with connection.begin_nested():
                submitted = submit_in(connection, spec, max_active_jobs=max_active_jobs)
        except StoreError as error:
            refused = error
            outcome = {"error": str(error)}
        else:
            outcome = {"job_id": submitted.job_id}
        connection.execute(
            sa.update(firings)
            .where(firings.c.schedule_id == schedule_id, firings.c.firing_key == firing_key)
            .values(**outcome)
        )
    if refused is not None:
        raise refused
    return submitted


def _first(connection: sa.Connection, schedule_id: str, firing_key: str) -> bool:
    known = sa.select(schedules.c.id).where(schedules.c.id == schedule_id)
    if connection.execute(known).scalar() is None:
        return False
    statement = insert(connection, firings).values(schedule_id=schedule_id, firing_key=firing_key, at=now())
    # RETURNING, not rowcount: psycopg's is -1 here, whatever was inserted.
    inserted = statement.on_conflict_do_nothing().returning(firings.c.firing_key)
    return connection.execute(inserted).scalar() is not None


@dataclass(frozen=True)
class Token:
    """Who calls, and what they may."""

    id: str
    name: str
    scopes: tuple[str, ...]
    limits: JSON


def create_token(
    db: Database,
    name: str,
    scopes: Iterable[str],
    *,
    expires_in_s: float | None = None,
    limits: Mapping[str, Any] | None = None,
    actor: str = "local",
) -> tuple[str, str]:
    """(id, the token itself). The token is shown this once: only its SHA-256 is kept."""
    wanted = tuple(sorted(set(scopes)))
    if unknown := set(wanted) - set(SCOPES):
        raise StoreError(f"no scope {sorted(unknown)[0]!r}; there are {', '.join(SCOPES)}")
    token_id, plain = new_id(), f"gfi_{secrets.token_urlsafe(32)}"
    with db.begin() as connection:
        connection.execute(
            sa.insert(tokens).values(
                id=token_id,
                name=name,
                sha256=_hash(plain),
                scopes=list(wanted),
                limits=dict(limits or {}),
                created_at=now(),
                expires_at=None if expires_in_s is None else now() + expires_in_s,
            )
        )
        record(connection, actor, "token.created", None, {"id": token_id, "scopes": list(wanted)})
    return token_id, plain


def verify_token(db: Database, plain: str) -> Token | None:
    """Whose token this is; None when it is unknown, expired or revoked."""
    valid = sa.and_(
        tokens.c.sha256 == _hash(plain),
        tokens.c.revoked_at.is_(None),
        sa.or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now()),
    )
    with db.read() as connection:
        found = connection.execute(sa.select(tokens, now().label("now")).where(valid)).one_or_none()
    if found is None:
        return None
    if found.used_at is None or found.now - found.used_at > 60.0:  # not a write per request
        with db.begin() as connection:
            connection.execute(sa.update(tokens).where(tokens.c.id == found.id).values(used_at=now()))
    return Token(found.id, found.name, tuple(found.scopes), found.limits or {})


def revoke_token(db: Database, token_id: str, *, actor: str = "local") -> bool:
    """Make a token worthless from now on. False when it was so already: of two callers who redeem a one-time
    token, one gets True. NotFound when there is none with this id.
    """
    with db.begin() as connection:
        mine = tokens.c.id == token_id
        changed = connection.execute(
            sa.update(tokens).where(mine, tokens.c.revoked_at.is_(None)).values(revoked_at=now())
        )
        if changed.rowcount:
            record(connection, actor, "token.revoked", None, {"id": token_id})
            return True
        if connection.execute(sa.select(tokens.c.id).where(mine)).scalar() is None:
            raise NotFound(f"no token {token_id}; `gfi tokens` lists them")
        return False


def _hash(plain: str) -> str:
    # Tokens are 256 random bits: there is nothing to guess, so a fast hash is enough.
    return hashlib.sha256(plain.encode()).hexdigest()


def set_flag(db: Database, job_id: str, row: int, flag: str | None, note: str = "", owner: str = "") -> None:
    """Mark one image of a job with a flag and a note; None takes the mark away."""
    with db.begin() as connection:
        lock_job(connection, job_id, shared=True)
        if flag is None:
            same = sa.and_(flags.c.job_id == job_id, flags.c.row == row)
            connection.execute(sa.delete(flags).where(same))
            return
        values = {"job_id": job_id, "row": row, "flag": flag, "note": note, "owner": owner}
        values["at"] = connection.execute(sa.select(now())).scalar_one()
        upsert(connection, flags, [values], ("job_id", "row"))


def audited(
    db: Database, actor: str, action: str, job_id: str | None = None, details: JSON | None = None
) -> None:
    """Add a line to the audit for something that is no change of state here."""
    with db.begin() as connection:
        record(connection, actor, action, job_id, details)


def take_outbox(db: Database, limit: int, hold_s: float) -> list[JSON]:
    """Messages due to be sent, held from other senders for `hold_s` seconds, oldest first."""
    with db.begin() as connection:
        due = (
            sa.select(outbox.c.id)
            .where(outbox.c.sent_at.is_(None), outbox.c.not_before <= now())
            .order_by(outbox.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        taken = connection.execute(
            sa.update(outbox)
            .where(outbox.c.id.in_(due))
            .values(not_before=now() + hold_s, attempts=outbox.c.attempts + 1)
            .returning(outbox)
        ).all()
        return sorted((dict(row._mapping) for row in taken), key=lambda row: row["id"])


def settle_outbox(db: Database, message_id: str, error: str | None = None, delay_s: float = 0.0) -> None:
    """Mark a message sent, or to be tried again after `delay_s` because of `error`."""
    values: dict[str, Any] = {"error": error}
    values |= {"sent_at": now()} if error is None else {"not_before": now() + delay_s}
    with db.begin() as connection:
        connection.execute(sa.update(outbox).where(outbox.c.id == message_id).values(**values))
