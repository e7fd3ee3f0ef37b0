"""The names of queues."""

from typing import get_args

from gfi.domain.queues import CONTROL_QUEUE, QUEUES, Queue


def test_the_type_of_queues_lists_the_queues_of_jobs_and_no_other() -> None:
    assert get_args(Queue) == QUEUES
    assert CONTROL_QUEUE not in QUEUES
