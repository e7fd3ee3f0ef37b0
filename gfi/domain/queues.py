"""Queues and the Celery tasks that travel on them, spelled once.

Names of tasks and queues are part of the message format: workers of the version before read them too.
"""

from typing import Final

EXPLAIN = "gfi.explain_shard"
"""The Celery task of an explaining worker: (queue, preferred shard)."""
CONTROL = "gfi.control"
"""The Celery task of a control worker: (preferred task)."""

EXPLAIN_QUEUE: Final = "explain"
INTERACTIVE_QUEUE: Final = "interactive"
CONTROL_QUEUE: Final = "control"
"""Planning, reports and sweeps: work that needs no network, done by workers of its own."""
