"""The hands: Celery workers that claim shards, run the optimiser and commit the results.

`app` is the Celery application, `tasks` the one task, `shard` the way of one shard from claim to commit,
`readahead` fetches and decodes photographs ahead of the engine, `lease` keeps the claim alive, and
`engines` holds the loaded networks.
"""
