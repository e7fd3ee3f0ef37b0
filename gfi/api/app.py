"""The application: its routes, the guard in front of them, its errors and its background threads."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import JSONResponse

from gfi import __version__
from gfi.api import (
    audit,
    audits,
    by_class,
    comparisons,
    datasets,
    drawing,
    events,
    explanations,
    exports,
    flags,
    health,
    imports,
    intervals,
    jobs,
    me,
    mean_masks,
    models,
    other_methods,
    pictures,
    problems,
    reports,
    results,
    schedules,
    shards,
    similar,
    tasks,
    tokens,
    transfers,
    uploads,
    views,
    vocabulary,
    webhook_delivery,
    workers,
)
from gfi.api.access import Reader
from gfi.api.context import Context
from gfi.api.guard import Guard
from gfi.api.problems import Problem, documented
from gfi.store.errors import StoreError
from gfi.web import pages

DESCRIPTION = (
    "Shows which pixels the predictions of an image classifier depend on: submit a dataset, follow the job, view "
    "the masks. Errors are problem details (RFC 9457). Lists come in pages: the `next` of one page is the `after` of "
    "the following one."
)


# `/v1/jobs/test` must come before `/v1/jobs/{job_id}`.
ROUTES = (
    health,
    uploads,
    imports,
    jobs,
    shards,
    comparisons,
    transfers,
    other_methods,
    audits,
    results,
    explanations,
    pictures,
    mean_masks,
    by_class,
    similar,
    reports,
    exports,
    intervals,
    flags,
    views,
    events,
    datasets,
    models,
    me,
    schedules,
    tasks,
    workers,
    tokens,
    audit,
    vocabulary,
    pages,
)


@asynccontextmanager
async def _background(app: FastAPI) -> AsyncIterator[None]:
    """Deliver webhooks and expire uploads for as long as the application runs."""
    context: Context = app.state.context
    drawing.give_back_large_blocks()
    ended = threading.Event()
    threads = [
        threading.Thread(target=work, args=(context, ended), name=name, daemon=True)
        for name, work in (("webhooks", webhook_delivery.deliver_loop), ("uploads", uploads.expire_loop))
    ]
    try:
        context.settings.require_database()
        for thread in threads:
            thread.start()
    except StoreError:  # nothing is configured: every request is answered with the reason
        pass
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join(5.0)
        context.close()


def create_app() -> FastAPI:
    """The API and the dashboard as an ASGI application. Opens no connection before the first request."""
    app = FastAPI(
        title="gfi",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,  # FastAPI's documentation pages would load scripts from other hosts
        redoc_url=None,
        openapi_url=None,
        lifespan=_background,
    )
    context = Context()
    app.state.context = context
    problems.install(app)
    app.add_middleware(Guard, context=context)
    for module in ROUTES:
        app.include_router(module.router)

    @app.get("/v1/openapi.json", include_in_schema=False, responses=documented())
    def document(caller: Reader) -> JSONResponse:
        return JSONResponse(app.openapi())

    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    if not app.openapi_schema:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            openapi_version="3.1.0",
        )
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= problem.pop("$defs", {})
        schemas["Problem"] = problem
        for path in made["paths"].values():
            for operation in path.values():
                # FastAPI documents its own 422; this API returns a problem instead.
                operation["responses"].get("422", {}).get("content", {}).pop("application/json", None)
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        app.openapi_schema = made
    return app.openapi_schema
