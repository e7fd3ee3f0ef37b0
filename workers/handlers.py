"""The handlers of tasks that need a network, by kind. The kinds are in `gfi.domain.tasks`, the contract in
`gfi.jobs.task_run`."""

from gfi.domain.records import ControlClaim
from gfi.domain.states import ControlKind
from gfi.jobs import task_run
from gfi.jobs.task_run import Handler, TaskLease, TaskRun
from workers import audit_confirm, audit_verify, import_masks, registration, transfer
from workers.services import WorkerServices

HANDLERS: dict[str, Handler[WorkerServices]] = {
    ControlKind.REGISTER: registration.register,
    ControlKind.CONFIRM: audit_confirm.confirm_audit,
    ControlKind.VERIFY: audit_verify.verify_audit,
    ControlKind.IMPORT: import_masks.run_import,
    ControlKind.TRANSFER: transfer.measure_transfer,
}


def perform_task(services: WorkerServices, claim: ControlClaim) -> str:
    """Do one claimed task under its lease. Returns the outcome, for the log."""
    settings = services.settings
    with TaskLease(
        services.database,
        claim,
        lease_s=settings.lease_s,
        shutdown=services.shutdown,
        stall_s=settings.stall_s,
    ) as lease:
        return task_run.perform(services, TaskRun(services.database, claim, lease.stop, lease), HANDLERS)
