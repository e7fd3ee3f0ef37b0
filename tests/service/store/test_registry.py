"""Schedules, tokens, models, workers, flags, the outbox; and what is read of them."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from gfi.domain.metrics import METRICS
from gfi.domain.records import WEBHOOK, JobSpec, NotifyTarget, ResultRecord
from gfi.domain.states import ControlKind
from gfi.domain.statuses import ImageStatus
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.errors import Conflict, LimitExceeded, NotFound, StoreError
from gfi.store.tables import firings, outbox, tokens
from tests.service.store.acting import claim, claim_task, commit, finish_all, part, plan, submit


def test_a_firing_starts_one_job_however_many_schedulers_see_it_due(database: Database) -> None:
    spec = JobSpec(config={"a": 1}, new=True)
    schedule = ledger.add_schedule(
        database, "nightly", "30 2 * * *", "Europe/Vienna", {"dataset": "x"}, next_due=0.0
    )
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda _: ledger.fire(database, schedule, "2026-10-25T02:30", spec, next_due=1.0), range(8)
            )
        )
    assert sum(answer is not None for answer in answers) == 1
    assert len(queries.list_jobs(database)) == 1
    assert ledger.fire(database, schedule, "2026-10-26T02:30", spec, next_due=1.0) is not None


def test_a_firing_that_is_refused_is_not_tried_for_ever(database: Database) -> None:
    submit(database)
    spec = JobSpec(config={"a": 1})
    schedule = ledger.add_schedule(database, "nightly", "30 2 * * *", "UTC", {"owner": "ann"}, next_due=0.0)
    with pytest.raises(LimitExceeded):
        ledger.fire(database, schedule, "k", spec, next_due=1.0, max_active_jobs=1)
    assert ledger.fire(database, schedule, "k", spec, next_due=1.0, max_active_jobs=1) is None
    with database.read() as connection:
        assert "GFI_MAX_ACTIVE_JOBS" in connection.execute(sa.select(firings.c.error)).scalar_one()


def test_schedules_have_names_of_their_own_and_leave_their_jobs_behind(database: Database) -> None:
    spec = JobSpec(config={"a": 1}, priority=2)
    schedule = ledger.add_schedule(database, "nightly", "30 2 * * *", "UTC", {"owner": "ann"}, next_due=0.0)
    with pytest.raises(Conflict, match="nightly"):
        ledger.add_schedule(database, "nightly", "0 3 * * *", "UTC", {}, next_due=0.0)
    (found,) = queries.list_schedules(database)
    assert (found["request"], found["owner"]) == ({"owner": "ann"}, "ann")
    ledger.fire(database, schedule, "k", spec, next_due=1.0)
    ledger.remove_schedule(database, "nightly")
    with pytest.raises(NotFound):
        ledger.remove_schedule(database, "nightly")
    assert ledger.fire(database, schedule, "later", spec, next_due=1.0) is None
    assert len(queries.list_jobs(database)) == 1


def test_a_token_is_shown_once_and_kept_hashed(database: Database) -> None:
    token_id, plain = ledger.create_token(database, "ci", ["submit", "read"], limits={"images": 10})
    known = ledger.verify_token(database, plain)
    assert known is not None
    assert (known.scopes, known.limits) == (("read", "submit"), {"images": 10})
    assert ledger.verify_token(database, plain + "x") is None
    assert "sha256" not in queries.list_tokens(database)[0]
    with database.read() as connection:
        stored = connection.execute(sa.select(tokens)).one()
    assert plain not in str(stored)
    assert ledger.revoke_token(database, token_id)
    assert not ledger.revoke_token(database, token_id)
    assert ledger.verify_token(database, plain) is None
    with pytest.raises(NotFound):
        ledger.revoke_token(database, "nosuch")


def test_a_token_expires_and_scopes_are_checked(database: Database) -> None:
    _, plain = ledger.create_token(database, "short", ["read"], expires_in_s=0.2)
    assert ledger.verify_token(database, plain) is not None
    time.sleep(0.25)
    assert ledger.verify_token(database, plain) is None
    with pytest.raises(StoreError, match="no scope 'root'"):
        ledger.create_token(database, "x", ["root"])


def test_workers_are_seen_by_their_last_heartbeat(database: Database) -> None:
    ledger.heartbeat(database, {"id": "host:1", "device": "cpu", "queues": ["explain"]})
    ledger.heartbeat(database, {"id": "host:1", "rate": 2.5})
    (worker,) = queries.list_workers(database)
    assert (worker.name, worker.device, worker.rate, worker.alive) == ("host:1", "cpu", 2.5, True)
    assert ledger.forget_workers(database, 3600.0) == 0
    assert ledger.forget_workers(database, -1.0) == 1


def test_models_and_rates_are_kept(database: Database) -> None:
    ledger.save_model(database, "net", "d1", {"classes": 3}, actor="ann")
    ledger.save_model(database, "net", "d2", {"classes": 4}, actor="ann")
    model = queries.find_model(database, "net")
    assert model is not None
    assert (model.digest, model.record) == ("d2", {"classes": 4})
    assert [each.reference for each in queries.list_models(database)] == ["net"]
    ledger.delete_model(database, "net")
    assert queries.find_model(database, "net") is None
    assert queries.measured_rate(database, "work") is None
    ledger.save_rate(database, "work", "cpu", 2.0)
    ledger.save_rate(database, "work", "cuda:H200", 20.0)
    assert queries.measured_rate(database, "work") == 2.0
    assert queries.measured_rate(database, "work", "cuda:H200") == 20.0


def test_a_message_is_held_by_one_sender_and_sent_once(database: Database) -> None:
    told = (NotifyTarget(WEBHOOK, "https://a.example/"), NotifyTarget("mail", "ann@a.example"))
    job = plan(database, total=1, notify=told)
    finish_all(database)
    ledger.finish_jobs(database)
    (message,) = ledger.take_outbox(database, 10, 60.0, WEBHOOK)
    (mail,) = ledger.take_outbox(database, 10, 60.0, "mail")
    assert mail["job_id"] == job
    assert mail["id"] != message["id"]
    assert queries.address_on(database, job, WEBHOOK) == "https://a.example/"
    assert message["payload"] == {"job": job, "state": "succeeded"}
    assert ledger.take_outbox(database, 10, 60.0, WEBHOOK) == []
    ledger.settle_outbox(database, message["id"], "503", delay_s=0.0)
    (again,) = ledger.take_outbox(database, 10, 60.0, WEBHOOK)
    assert again["attempts"] == 2
    ledger.settle_outbox(database, message["id"])
    time.sleep(0.01)
    assert ledger.take_outbox(database, 10, 0.0, WEBHOOK) == []


def test_a_job_that_tells_nobody_leaves_no_message(database: Database) -> None:
    plan(database, total=1)
    finish_all(database)
    ledger.finish_jobs(database)
    with database.begin() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(outbox)).scalar() == 0


def test_flags_come_with_their_notes_and_go_again(database: Database) -> None:
    job = plan(database, total=2)
    finish_all(database)
    ledger.set_flag(database, job, 1, "wrong", "looks at the sky", "ann")
    ledger.set_flag(database, job, 1, "wrong", "looks at the grass", "ann")
    (flag,) = queries.list_flags(database, job)
    assert (flag["row"], flag["note"], flag["key"]) == (1, "looks at the grass", "1.jpg")
    flagged = queries.Filters(flagged=True)
    assert [row["row"] for row in queries.list_results(database, job, filters=flagged)] == [1]
    ledger.set_flag(database, job, 1, None)
    assert queries.list_flags(database, job) == []
    with pytest.raises(NotFound):
        ledger.set_flag(database, "nosuch", 1, "wrong")


def test_a_sweep_waits_once(database: Database) -> None:
    first = ledger.request_sweep(database, 0.0)
    assert ledger.request_sweep(database, 0.0) is None
    task = claim_task(database, ControlKind.SWEEP)
    assert task.task_id == first
    assert ledger.finish_control(database, task, {"deleted": 3})
    assert ledger.finish_control(database, task)
    assert ledger.request_sweep(database, 3600.0) is None
    assert ledger.request_sweep(database, 0.0) not in (None, first)


def test_pages_by_key_show_every_result_once_in_any_order(database: Database) -> None:
    job = plan(database, total=25, size=25)
    held = claim(database)
    rows = [
        ResultRecord(
            row=row,
            key=f"{row}",
            status=ImageStatus.OK if row % 3 else ImageStatus.EMPTY,
            prediction=row % 4,
            metrics={"deletion": (row * 7 % 5) / 5} if row % 6 else {},
        )
        for row in range(25)
    ]
    assert ledger.commit_shard(database, held, 25, part(held, 25), rows)
    for sort in ("row", "deletion"):
        for descending in (False, True):
            seen, after = [], None
            while page := queries.list_results(
                database, job, sort=sort, descending=descending, limit=4, after=after
            ):
                seen += page
                after = queries.page_key(page[-1], sort)
            assert sorted(row["row"] for row in seen) == list(range(25))
            numbers = [row[sort] for row in seen if row[sort] is not None]
            assert numbers == sorted(numbers, reverse=descending)
            assert all(row[sort] is None for row in seen[len(numbers) :])
    narrowed = queries.Filters(status=ImageStatus.EMPTY, prediction=0)
    assert [r["row"] for r in queries.list_results(database, job, filters=narrowed)] == [0, 12, 24]
    ranged = queries.Filters(metric="deletion", at_least=0.5, at_most=0.7)
    assert {r["deletion"] for r in queries.list_results(database, job, filters=ranged)} == {0.6}
    assert len(list(queries.iterate_results(database, job, limit=7))) == 7
    with pytest.raises(StoreError, match="cannot be sorted"):
        queries.list_results(database, job, sort="key; DROP TABLE jobs")


def test_a_page_in_any_order_is_read_from_an_index(database: Database) -> None:
    statements: list[tuple[str, Any]] = []
    job = _a_thousand_results(database)
    sa.event.listen(
        database.engine, "before_cursor_execute", lambda *given: statements.append((given[2], given[3]))
    )
    for sort in queries.SORTABLE:
        for descending in (False, True):
            page = queries.list_results(
                database, job, filters=queries.Filters(), sort=sort, descending=descending, limit=5
            )
            deep = queries.page_key(page[-1], sort)
            queries.list_results(database, job, sort=sort, descending=descending, limit=5, after=deep)
    asked = [each for each in statements if each[0].startswith("SELECT results")]
    assert len(asked) >= 4 * len(queries.SORTABLE)
    for statement, values in asked:
        with database.read() as connection:
            explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
            if not database.is_sqlite:  # a thousand rows are sorted as quickly; make bench-api has a million
                connection.exec_driver_sql("SET LOCAL enable_sort = off")
                connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            plan = "\n".join(str(row) for row in connection.exec_driver_sql(explain + statement, values))
        if " IS NOT NULL" in statement:
            assert "ix_results_by_" in plan, plan
        assert "USE TEMP B-TREE FOR ORDER BY" not in plan, plan
        assert "'Sort" not in plan, (
            plan
        )  # a few equal numbers may be sorted (Incremental Sort), never the job


def _a_thousand_results(database: Database) -> str:
    job = plan(database, total=1000, size=1000)
    held = claim(database)
    rows = [
        ResultRecord(
            row=row, key=f"{row}", status=ImageStatus.OK, prediction=row % 4, area=row / 1000, probability=0.5,
            kept=row % 7 / 7, removed=row % 9 / 9, iterations=80,
            metrics=dict.fromkeys(METRICS, row * 7 % 501 / 501),
        )
        for row in range(1000)
    ]  # fmt: skip
    assert ledger.commit_shard(database, held, 1000, part(held, 1000), rows)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    return job


def test_jobs_are_found_by_the_beginning_of_their_id_and_paged_newest_first(database: Database) -> None:
    made = []
    for _ in range(5):
        made.append(submit(database, name=f"number {len(made)}"))
        time.sleep(0.002)
    assert queries.get_job(database, made[0]).id == made[0]
    assert queries.get_job(database, made[0][:10]).id in made
    for wrong in ("", "zzz", "%", made[0][:2]):
        with pytest.raises(NotFound):
            queries.get_job(database, wrong)
    first = queries.list_jobs(database, limit=3)
    rest = queries.list_jobs(database, limit=3, after=first[-1].id)
    assert [job.id for job in first + rest] == made[::-1]
    assert [job.id for job in queries.list_jobs(database, search="ber 3")] == [made[3]]


def test_progress_counts_what_is_under_way_and_how_long_it_will_take(database: Database) -> None:
    job = plan(database, total=12)
    assert queries.job_progress(database, job).eta_s is None
    assert commit(database, claim(database))
    held = claim(database)
    ledger.renew_lease(database, held, 60.0, step=5, in_flight=[5, 6], finished=1)
    progress = queries.job_progress(database, job)
    assert (progress.total, progress.done, progress.finished, progress.in_flight) == (12, 4, 1, 2)
    assert progress.rate is not None
    assert progress.eta_s == pytest.approx(7 / progress.rate)
    assert progress.to_json()["by_status"]["ok"] == 4
    assert queries.waiting(database)["explain"] == {"pending": 1, "leased": 1, "delayed": 0}
