"""Errors as RFC 9457 problem details, each with advice: what is wrong, and what to do about it."""

import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from gfi.datasets.errors import DatasetError, Unavailable
from gfi.domain.errors import MethodError
from gfi.jobs.submit import Invalid
from gfi.store.errors import Conflict, LimitExceeded, NotFound, StoreError, Transient

MEDIA_TYPE = "application/problem+json"

# status: (title, advice when the error itself has none)
KINDS: dict[int, tuple[str, str]] = {
    400: ("The request cannot be read", "Send what /v1/openapi.json describes, as valid JSON in UTF-8."),
    401: (
        "Who are you?",
        "Send `Authorization: Bearer TOKEN`; an administrator makes one with `gfi tokens create`.",
    ),
    403: ("Not allowed", "Ask an administrator for a token with the scope that is needed."),
    404: ("Not found", "Check the address; GET /v1/jobs lists the jobs there are."),
    405: ("Not this method", "The Allow header names the methods of this address; see /v1/openapi.json."),
    406: ("Not in this form", "Ask for application/json or application/x-ndjson."),
    409: ("Contradicts what is recorded", "Read the job again: its state has changed, or the key was used."),
    413: ("Too large", "Send less at once, or put the photographs where the service can read them."),
    415: ("Not this type", "Send JSON as application/json and photographs as multipart/form-data."),
    422: ("Does not fit", "Correct the fields that are named and send it again."),
    429: ("Too much at once", "Wait as long as Retry-After says, or ask for a higher limit."),
    500: ("Our fault", "Report it with the request id; nothing was changed by halves."),
    503: ("A service is away", "Try again in a moment; /readyz says what is wrong."),
}


class FieldError(BaseModel):
    """One field that does not fit. `at`: where it is, such as body.priority."""

    at: str
    reason: str


class Problem(BaseModel):
    """What is wrong and what to do (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    advice: str
    errors: list[FieldError] = []


class Refused(Exception):
    """A request refused with this status, by a route or before one."""

    def __init__(
        self, status: int, detail: str, advice: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.advice, self.headers = status, detail, advice, headers or {}


def documented(
    *statuses: int, also: Mapping[int | str, dict[str, Any]] | None = None
) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: these problems, those any request may meet, and `also`."""
    always = (400, 401, 403, 422, 429, 503)
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    problems: dict[int | str, dict[str, Any]] = {
        status: {"description": KINDS[status][0], "content": {MEDIA_TYPE: schema}}
        for status in sorted({*always, *statuses})
    }
    return problems | dict(also or {})


def problem(
    status: int,
    detail: str,
    advice: str | None = None,
    errors: list[FieldError] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The response."""
    title, usual = KINDS.get(status, KINDS[500 if status >= 500 else 400])
    body = Problem(title=title, status=status, detail=detail, advice=advice or usual, errors=errors or [])
    headers = {"Cache-Control": "no-store"} | (headers or {})
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="gfi"'
    if status in (429, 503):
        headers.setdefault("Retry-After", "5")
    return JSONResponse(body.model_dump(), status, headers, MEDIA_TYPE)


def of_error(error: Exception) -> JSONResponse | None:
    """The problem that an expected error is; None for one that is ours."""
    if isinstance(error, Refused):
        return problem(error.status, error.detail, error.advice, headers=error.headers)
    if isinstance(error, Transient | Unavailable):
        return problem(503, str(error))
    for kind, status in ((NotFound, 404), (Conflict, 409), (LimitExceeded, 429)):
        if isinstance(error, kind):
            return problem(status, str(error))
    if isinstance(error, Invalid | DatasetError | MethodError):
        return problem(422, str(error))
    if isinstance(error, StoreError):
        # A part that is not what the ledger recorded, a bucket that refuses our keys: for an operator.
        return problem(503, str(error), "An operator must look at this: gfi doctor.")
    return None


def _methods(app: FastAPI, address: str) -> list[str]:
    """Every method that the document has for an address; a literal one comes before a pattern."""
    fitting = [
        path
        for path in app.openapi()["paths"]
        if re.fullmatch(
            re.sub(r"\{[^/]+?\}", "[^/]+", re.escape(path).replace(r"\{", "{").replace(r"\}", "}")), address
        )
    ]
    if not fitting:
        return []
    best = min(fitting, key=lambda path: path.count("{"))
    return sorted(method.upper() for method in app.openapi()["paths"][best])


def install(app: FastAPI) -> None:
    """Every error that leaves a route becomes a problem."""

    async def expected(request: Request, error: Exception) -> JSONResponse:
        answer = of_error(error)
        assert answer is not None
        return answer

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        detail = (
            f"{request.url.path[:200]} is no address of this service" if error.status_code == 404
            else f"{request.method} is no method of {request.url.path[:200]}" if error.status_code == 405
            else str(error.detail)
        )  # fmt: skip
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_methods(app, request.url.path)) or headers.get("allow", "GET")
        return problem(error.status_code, detail, headers=headers)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        errors = [
            FieldError(at=".".join(str(piece)[:100] for piece in each["loc"])[:300], reason=each["msg"])
            for each in error.errors()[:20]
        ]
        first = errors[0] if errors else FieldError(at="body", reason="not valid")
        return problem(422, f"{first.at}: {first.reason}", errors=errors)

    for kind in (Refused, StoreError, DatasetError, MethodError):
        app.add_exception_handler(kind, expected)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
