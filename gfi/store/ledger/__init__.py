"""The ledger: every change in the database is one function and one transaction of this package.

- Jobs: `submission`, `planning`, `frozen` (the execution profile), `jobs` (pause, cancel, retry, delete), `endings`.
- Shards: `shards` (their rows), `dispatch` (hints in Redis), `claims`, `leases`, `commits`, `reaper` (leases that ran
  out), `death_rate`, `incidents`.
- Tasks: `control_requests` (requested, cancelled, retried), `task_claims`, `control` (their lease and their commit).
- `sums` and `orders`: what is kept ready of a job's results.
- `limits`: what an owner may start.
- `carrying`: results taken over from an earlier job, and the parts they refer to.
- `audits`: audits and their findings; `settling`: those that submit their job, and explain until all is settled.
- Other modules: `restoring` (after the loss of a database), `workers`, `models`, `rates`, `schedules`, `tokens`,
  `flags`, `views`, `audit`, `outbox`, `forgetting`.

The states and the allowed transitions are in `gfi.domain.states`; `guards` checks them. Reading is `gfi.store.queries`.

Every function may be called by any number of processes at once and may be repeated: each is guarded by a state, a fence
or a unique key, and its result says when there was nothing to do. All raise `gfi.store.errors.Transient` when the
database is away; then the caller repeats the whole call.
"""

from gfi.store.ledger.audit import audited
from gfi.store.ledger.audit_chains import UNTIL_SETTLED
from gfi.store.ledger.audits import (
    confirm_audit,
    decide_finding,
    request_audit,
    request_audit_in,
    restore_audit,
    write_findings,
    write_screened,
)
from gfi.store.ledger.carrying import carry, restore_carried
from gfi.store.ledger.claims import claim_shard, claim_work
from gfi.store.ledger.commits import commit_shard
from gfi.store.ledger.control import (
    expire_control,
    fail_control,
    finish_control,
    release_control,
    renew_control,
    save_control,
)
from gfi.store.ledger.control_requests import (
    request_lists,
    request_sweep,
    request_task,
    request_task_in,
    retry_task,
)
from gfi.store.ledger.deletion import delete_leftovers
from gfi.store.ledger.dispatch import dispatch, undispatch
from gfi.store.ledger.endings import fail_job, finish_jobs
from gfi.store.ledger.flags import Flagged, set_flag, set_flags
from gfi.store.ledger.forgetting import forget_looks, forget_messages
from gfi.store.ledger.frozen import freeze_profile, replace_profile
from gfi.store.ledger.jobs import (
    cancel_audit,
    cancel_job,
    cancel_task,
    delete_job,
    move_job,
    pause_job,
    resume_job,
    retry_job,
    set_priority,
)
from gfi.store.ledger.leases import release_shard, renew_lease
from gfi.store.ledger.limits import check_images, most_images, refused_seconds, too_many_images
from gfi.store.ledger.mean_masks import settle_masks
from gfi.store.ledger.models import delete_model, save_model
from gfi.store.ledger.orders import request_orders, write_orders
from gfi.store.ledger.outbox import announce_followed, settle_outbox, take_outbox
from gfi.store.ledger.planning import finish_planning, finish_retry, save_fact
from gfi.store.ledger.rates import save_rate
from gfi.store.ledger.reaper import expire_leases, observe_time, retract_death
from gfi.store.ledger.retention import delete_old_job, why_held
from gfi.store.ledger.schedules import (
    Fired,
    add_schedule,
    begin_follow_up,
    change_schedule,
    fire,
    fire_in,
    fire_waiting,
    remember_listing,
    remove_schedule,
    request_look,
    set_next_due,
)
from gfi.store.ledger.settling import add_instalment, submit_settling
from gfi.store.ledger.submission import submit_job
from gfi.store.ledger.sums import merge_sums
from gfi.store.ledger.task_claims import Wanted, claim_control
from gfi.store.ledger.tokens import Token, create_token, revoke_token, verify_token
from gfi.store.ledger.views import delete_view, save_view
from gfi.store.ledger.workers import forget_workers, heartbeat

__all__ = [
    "UNTIL_SETTLED",
    "Fired",
    "Flagged",
    "Token",
    "Wanted",
    "add_instalment",
    "add_schedule",
    "announce_followed",
    "audited",
    "begin_follow_up",
    "cancel_audit",
    "cancel_job",
    "cancel_task",
    "carry",
    "change_schedule",
    "check_images",
    "claim_control",
    "claim_shard",
    "claim_work",
    "commit_shard",
    "confirm_audit",
    "create_token",
    "decide_finding",
    "delete_job",
    "delete_leftovers",
    "delete_model",
    "delete_old_job",
    "delete_view",
    "dispatch",
    "expire_control",
    "expire_leases",
    "fail_control",
    "fail_job",
    "finish_control",
    "finish_jobs",
    "finish_planning",
    "finish_retry",
    "fire",
    "fire_in",
    "fire_waiting",
    "forget_looks",
    "forget_messages",
    "forget_workers",
    "freeze_profile",
    "heartbeat",
    "merge_sums",
    "most_images",
    "move_job",
    "observe_time",
    "pause_job",
    "refused_seconds",
    "release_control",
    "release_shard",
    "remember_listing",
    "remove_schedule",
    "renew_control",
    "renew_lease",
    "replace_profile",
    "request_audit",
    "request_audit_in",
    "request_lists",
    "request_look",
    "request_orders",
    "request_sweep",
    "request_task",
    "request_task_in",
    "restore_audit",
    "restore_carried",
    "resume_job",
    "retract_death",
    "retry_job",
    "retry_task",
    "revoke_token",
    "save_control",
    "save_fact",
    "save_model",
    "save_rate",
    "save_view",
    "set_flag",
    "set_flags",
    "set_next_due",
    "set_priority",
    "settle_masks",
    "settle_outbox",
    "submit_job",
    "submit_settling",
    "take_outbox",
    "too_many_images",
    "undispatch",
    "verify_token",
    "why_held",
    "write_findings",
    "write_orders",
    "write_screened",
]
