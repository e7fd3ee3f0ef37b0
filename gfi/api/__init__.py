"""The HTTP API and the dashboard: `gfi.api.create_app()`.

    uvicorn --factory scheduler.api:create_app
    gfi api --host 127.0.0.1 --port 8000

The same functions serve the command line and these routes. No torch is loaded, and importing this or calling
`create_app` opens no connection: where the services are is read from the environment at the first request.

    app         the routes put together          guard       what every request passes before any route
    config      what an operator may set         access      who calls and what they may
    problems    errors, RFC 9457                 context     database, bucket, parts: one set a process
    rates       requests a minute
    schemas     what comes in and goes out       jobs, results, explanations, events, catalogue, uploads, health
"""

from gfi.api.app import create_app

__all__ = ["create_app"]
