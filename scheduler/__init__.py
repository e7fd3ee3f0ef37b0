"""The head: what runs when. Loads no torch.

`submission` checks and freezes a job, `planner` turns its dataset into a manifest and shards, `loop` is the tick
(fire schedules, dispatch, reap, finish), `app` and `control` are the Celery worker of queue `control`,
which plans and reports.
"""
