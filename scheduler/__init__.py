"""The scheduler and the control workers. Loads no torch.

`loop` is the scheduler: its ticks fire schedules, expire leases, finish jobs and publish hints. `app` is the Celery
application of queue `control`; `tasks` maps each kind of control task to its handler, `planning` is the one that turns
a dataset into a manifest and shards.
"""
