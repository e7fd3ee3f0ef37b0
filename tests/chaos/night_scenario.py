"""Scenario 17: a night of a schedule, from its firing to the e-mail and the webhook, with everything killed."""

import contextlib
import http.server
import json
import os
import random
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count as whole_numbers
from typing import Any

import sqlalchemy as sa
from aiosmtpd.controller import Controller

from gfi.api.config import ApiSettings
from gfi.api.context import Context
from gfi.api.webhook_delivery import send_due
from gfi.cli.servers import free_port
from gfi.domain.digests import JSON
from gfi.jobs import schedules
from gfi.jobs.comparison_task import comparison_of
from gfi.jobs.submit import JobRequest
from gfi.store import queries
from gfi.store.database import now
from gfi.store.errors import StoreError
from gfi.store.tables import schedules as schedules_table
from tests.chaos.deployment import MODEL, Deployment
from tests.chaos.photographs import Photographs, make
from tests.chaos.verify import Verdict, verify_carried
from tests.chaos.world import SLOW, Row, World, lease, row

GATE = """
[floor]
level = "same_profile"
min_runs = 2
[limits]
flips = 0.05
[audit]
no_new_shortcuts = true
"""
NIGHTLY = "nightly"
EVERY_S = 366 * 86400.0
"""The schedule's interval: it fires only when a test makes it due."""


@dataclass
class Inbox:
    """What a webhook and a mailbox received: by channel, delivery → the message."""

    webhook: dict[str, JSON] = field(default_factory=dict)
    email: dict[str, str] = field(default_factory=dict)

    def followed(self, job: str) -> bool:
        """Whether both were told what followed this job."""
        told = [m for m in self.webhook.values() if m["event"] == "job.followed" and m["job"] == job]
        return bool(told) and any(job in text and "gate" in text for text in self.email.values())


@contextlib.contextmanager
def receiving(deployment: Deployment) -> Iterator[Inbox]:
    """A webhook's server and a mail server, and the delivery that an API process does, for the length of the block."""
    inbox, ended = Inbox(), threading.Event()

    class Webhook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            inbox.webhook[message["delivery"]] = message
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    class Mailbox:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            text = envelope.content.decode()
            inbox.email[text.partition("Message-ID: ")[2].partition("\r\n")[0]] = text
            return "250 taken"

    hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    mail = Controller(Mailbox(), hostname="127.0.0.1", port=free_port())
    mail.start()
    context = Context()
    context.__dict__["database"] = deployment.database
    context.__dict__["api"] = ApiSettings.load(
        {
            "GFI_WEBHOOK_HOSTS": "127.0.0.1",
            "GFI_WEBHOOK_SECRET": "s3cret",
            "GFI_WEBHOOK_PRIVATE": "true",
            "GFI_SMTP_HOST": "127.0.0.1",
            "GFI_SMTP_PORT": str(mail.port),
            "GFI_SMTP_TLS": "none",
            "GFI_SMTP_FROM": "gfi@example.org",
            "GFI_SMTP_DOMAINS": "example.org",
        }
    )

    def deliver() -> None:
        while not ended.wait(0.2):
            with contextlib.suppress(StoreError):
                send_due(context)

    threads = [threading.Thread(target=work, daemon=True) for work in (hook.serve_forever, deliver)]
    for thread in threads:
        thread.start()
    deployment.directory.joinpath("webhook").write_text(f"http://127.0.0.1:{hook.server_port}/night")
    try:
        yield inbox
    finally:
        ended.set()
        hook.shutdown()
        for thread in threads:
            thread.join()
        mail.stop()
        hook.server_close()


def night_of_a_schedule(world: World, seed: int, full: bool) -> Row:
    """17. A schedule fires → an incremental job → workers → audit → gate against last night → e-mail and webhook, while
    workers, schedulers, control workers, Redis and PostgreSQL are killed: the verdict of an undisturbed run.
    """
    rng = random.Random(seed)
    count, changed = (2000, 300) if full else (200, 60)
    undisturbed = _night(world, None, count, changed)[0] if full else _expected(count, changed)
    found, verdict, deployment = _night(world, rng, count, changed)
    assert found == undisturbed, f"{found}\nundisturbed: {undisturbed}"
    kills = deployment.kills + deployment.own_deaths
    recoveries = [seconds for many in deployment.recoveries.by_role.values() for seconds in many]
    detail = f"gate {found['verdict']} of {found['pairs']:,} pairs, audit, one e-mail and one webhook"
    return row(17, seed, [verdict], kills, recoveries, detail)


def _expected(count: int, changed: int) -> JSON:
    """By construction: half of the changed images are new, half have another version, and all others were carried. The
    stand-in for the network tests nothing, so whether there are new shortcuts is not known."""
    checks = [("pooled", "pass"), ("class a", "pass"), ("limit flips", "pass"), ("audit", "undecided")]
    return {"verdict": "undecided", "pairs": count - changed, "moved": 0, "checks": checks}


def _night(
    world: World, rng: random.Random | None, count: int, changed: int
) -> tuple[JSON, Verdict, Deployment]:
    """Two nights of a schedule; rng: kills in the second one, None for none."""
    photographs = make(world.servers.directory / f"night-{count}", count)
    aside = world.servers.directory / f"night-{count}-aside"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    added, touched = photographs.keys()[: changed // 2], photographs.keys()[changed // 2 : changed]
    for key in added:
        (photographs.folder / key).rename(aside / key)
    with (
        Deployment(world.servers, "postgres", lease_s=lease(count > 1000)) as deployment,
        receiving(deployment) as inbox,
    ):
        deployment.start("scheduler", 2)
        deployment.start("control", 2)
        deployment.start("worker", 2, pace=SLOW)
        floor = deployment.submit(photographs)
        deployment.wait(floor, 300)
        schedule = _schedule(deployment, photographs, floor)
        first = _fired(deployment, schedule, set())
        deployment.eventually(lambda: inbox.followed(first), 120, "the first night's messages")
        for key in added:
            (aside / key).rename(photographs.folder / key)
        for key in touched:
            os.utime(photographs.folder / key, (time.time() + 10, time.time() + 10))
        with everything_killed(deployment, rng) if rng is not None else contextlib.nullcontext():
            second = _fired(deployment, schedule, {first})
            deployment.eventually(
                lambda: _followed(deployment, second, inbox), 300, "the second night's messages"
            )
        verdict = verify_carried(deployment, second, photographs, world.undisturbed)
        firing = schedules.firings_of(deployment.database, NIGHTLY, 10)[0]
        assert set(firing["followed"]) == {"audit", "compare", "notify"}, firing
        task, made = comparison_of(
            deployment.database, deployment.bucket, firing["followed"]["compare"]["comparison"]
        )
        assert made is not None, task.reason
        gate = made["gate"]
        found = {
            "verdict": gate["verdict"],
            "pairs": made["comparison"]["pairs"],
            "moved": made["comparison"]["moved"],
            "checks": [(check["name"], check["verdict"]) for check in gate["checks"]],
        }
        told = [m for m in inbox.webhook.values() if m["event"] == "job.followed" and m["job"] == second]
        assert len(told) == 1, told  # one delivery, however often it was sent
        assert told[0]["verdict"] == gate["verdict"]
        assert sum("gate" in text and second in text for text in inbox.email.values()) == 1
        return found, verdict, deployment


def _schedule(deployment: Deployment, photographs: Photographs, floor: str) -> str:
    webhook = (deployment.directory / "webhook").read_text()
    options = {"preset": "paper", "target": "predicted", "save": (), "batch": 8, "owner": "ada"}
    request = JobRequest(
        dataset=str(photographs.folder), model=MODEL, webhook=webhook, email="ada@example.org", **options
    )
    made = schedules.add_schedule(
        *(deployment.database, deployment.settings_here, NIGHTLY, None, "UTC", request),
        **{"every": "366d", "actor": "chaos", "audit": True, "notify": True},
        compare={"gate": GATE, "floor": [floor]},
    )
    return str(made.id)


def _fired(deployment: Deployment, schedule: str, known: set[str]) -> str:
    """Make the schedule due once, now; the job that the schedulers submit."""

    def due() -> bool:
        with contextlib.suppress(StoreError), deployment.database.begin() as connection:
            instant = connection.execute(sa.select(now())).scalar_one()
            mine = sa.update(schedules_table).where(schedules_table.c.id == schedule)
            connection.execute(mine.values(created_at=instant - EVERY_S, next_due=instant))
            return True
        return False

    def job() -> str | None:
        with contextlib.suppress(StoreError):
            fired = schedules.firings_of(deployment.database, NIGHTLY, 10)
            new = [one["job_id"] for one in fired if one["job_id"] and one["job_id"] not in known]
            assert len(new) <= 1, new
            return new[0] if new else None
        return None

    deployment.eventually(due, 60, "the database")
    return str(deployment.eventually(job, 60, "the firing"))


def _followed(deployment: Deployment, job: str, inbox: Inbox) -> bool:
    with contextlib.suppress(StoreError):
        return inbox.followed(job) and queries.get_job(deployment.database, job).ended
    return False


@contextlib.contextmanager
def everything_killed(
    deployment: Deployment, rng: random.Random, rounds: int | None = None
) -> Iterator[None]:
    """Processes at random, and Redis, with and without its data, and PostgreSQL: so many times, None for as long as the
    block lasts."""
    servers, ended = deployment.servers, threading.Event()

    def servers_killed() -> None:
        keep = True
        for _ in whole_numbers() if rounds is None else range(rounds):
            if ended.wait(rng.uniform(1.0, 2.0)):
                return
            servers.redis.kill()
            time.sleep(rng.uniform(0.1, 0.5))
            servers.redis.restart(keep=keep)
            keep = not keep
            deployment.kills += 2
            servers.postgres.crash()
            time.sleep(rng.uniform(0.1, 0.5))
            servers.postgres.restart()
            ended.wait(4.0)

    thread = threading.Thread(target=servers_killed, daemon=True)
    thread.start()
    try:
        with deployment.killing(rng, "worker", "scheduler", "control", every=(0.5, 1.5)):
            yield
    finally:
        ended.set()
        thread.join()
