"""Celery workers that claim shards, run the optimiser and commit the results; and tasks that need a network.

`app` is the Celery application and `tasks` its one Celery task. `handlers` has the tasks that need a network, by kind;
`registration` is one of them, and `model_reader` its child process. `shard` handles a claimed shard and its errors,
`shard_run` processes its rows from the dataset to the commit: `read_ahead` and `photographs` fetch and decode ahead of
the engine, `measuring` computes the metrics, `saved_pictures` draws, `result_rows` packs. `lease` keeps the claim, and
`loaded_engines` and `services` hold the objects that a process reuses for every shard.
"""
