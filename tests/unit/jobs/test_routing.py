"""Which queue a job goes to by the memory that it needs. With measured memory: tests/service/jobs/test_rates.py."""

import pytest

from gfi.domain.queues import queues_of
from gfi.jobs.routing import fitting_queue
from gfi.store.queries import Worker

GIB = 2**30


def worker(device: str, gib: float | None, *, silent_s: float = 1.0, state: str = "up") -> Worker:
    """A worker on a device with this memory, on a machine with 500 GiB."""
    card = device.startswith("cuda")
    facts = {"memory_mib": 500 * 1024 if card else gib and gib * 1024}
    if card:
        facts["device_memory_mib"] = gib and gib * 1024
    kept = dict.fromkeys(Worker.__dataclass_fields__)
    queues = list(queues_of(device, round((gib or 0) * 1024)))
    known = {
        "id": device,
        "device": device,
        "queues": queues,
        "state": state,
        "facts": facts,
        "silent_s": silent_s,
        "tasks": [],
    }
    return Worker(**(kept | known))  # type: ignore[arg-type]


CPU, SMALL, LARGE = worker("cpu", 16), worker("cuda:A10", 24), worker("cuda:H100", 80)


@pytest.mark.parametrize(
    ("workers", "gib", "queue"),
    [
        ([CPU, SMALL, LARGE], 10, "explain"),
        ([CPU, SMALL, LARGE], 20, "gpu"),
        ([CPU, SMALL, LARGE], 40, "gpu-80g"),
        ([CPU, LARGE], 40, "gpu"),  # every card that is there is large
        ([CPU, SMALL, LARGE], 400, "explain"),  # nobody has it: workers try smaller batches
        ([CPU, SMALL], 40, "explain"),
        ([CPU, worker("cuda:H100", 80, silent_s=100)], 40, "explain"),  # it is no longer there
        ([CPU, worker("cuda:H100", 80, state="stopping")], 40, "explain"),  # it takes no more work
        ([worker("cpu", 16, state="stopping"), LARGE], 40, "explain"),
        ([worker("cpu", None)], 40, "explain"),  # an earlier version reports no memory
        ([], 40, "explain"),
    ],
)
def test_a_job_goes_where_every_worker_has_the_memory(workers: list[Worker], gib: int, queue: str) -> None:
    assert fitting_queue(workers, lambda device: gib * GIB) == queue
