"""The HTTP API and the dashboard: `gfi.api.create_app()`.

    uvicorn --factory gfi.api:create_app
    gfi api --host 127.0.0.1 --port 8000

The command line and these routes call the same functions. No torch is loaded. Importing this package or calling
`create_app` opens no connection: where the services are is read from the environment at the first request.

    app               puts the routes together
    guard             the checks of every request before any route: token, rate, size, origin
    access            who calls, and what the caller is allowed to do      rates      requests a minute
    config            what an operator sets                                context    database, bucket, caches
    problems          errors (RFC 9457)                                    body       strict JSON
    schemas           shared pieces of requests and responses              lookup     finds what a request names
    job_schemas       a job in requests and responses                      result_rows   a result in responses
    dataset_names     `@name` of a registered dataset
    drawing           masks and photographs as PNG, JPEG and .npy
    progress_hub      one reader of progress for all streams
    webhook_delivery, email_delivery   sending what the outbox holds

Every other module is one resource with its routes and models: jobs, shards, comparisons, other methods, results,
explanations, pictures, reports, flags, events, uploads, datasets, models, schedules, workers, tokens, me, audit and
health.
"""

from gfi.api.app import create_app

__all__ = ["create_app"]
