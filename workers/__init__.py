"""Celery workers that claim shards, run the optimiser and commit the results.

`app` is the Celery application and `tasks` its one task. `shard` decides what becomes of a claimed shard, `shard_run`
takes its rows from the dataset to the commit: `read_ahead` and `photographs` fetch and decode ahead of the engine,
`measuring` computes the metrics, `saved_pictures` draws, `result_rows` packs. `lease` keeps the claim, and
`loaded_engines` and `services` hold what a process keeps from shard to shard.
"""
