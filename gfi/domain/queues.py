"""Queues and the Celery tasks that travel on them, spelled once.

Names of tasks and queues are part of the message format: workers of the version before read them too.
"""

EXPLAIN = "gfi.explain_shard"
"""The Celery task of an explaining worker: (queue, preferred shard)."""
CONTROL = "gfi.control"
"""The Celery task of a control worker: (preferred task)."""

EXPLAIN_QUEUE = "explain"
INTERACTIVE_QUEUE = "interactive"
CONTROL_QUEUE = "control"
"""Planning, reports and sweeps: work that needs no network, done by workers of its own."""
