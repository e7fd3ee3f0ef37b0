"""The names of queues."""

from typing import get_args

from gfi.domain.queues import CONTROL_QUEUE, QUEUES, Queue, queues_of


def test_the_type_of_queues_lists_the_queues_of_jobs_and_no_other() -> None:
    assert get_args(Queue) == QUEUES
    assert CONTROL_QUEUE not in QUEUES


def test_a_worker_takes_from_the_queues_of_its_device() -> None:
    assert queues_of("cpu") == ("explain", "interactive", "cpu")
    assert queues_of("cuda:0", 40_960) == ("explain", "interactive", "gpu")
    assert queues_of("cuda:0", 81_559)[-2:] == ("gpu", "gpu-80g")
    assert queues_of("mps") == ("explain", "interactive")
