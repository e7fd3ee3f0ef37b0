"""Errors as problem details (RFC 9457): what is wrong, and advice on what to do about it."""

import errno
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from gfi.datasets.errors import DatasetError, Unavailable
from gfi.domain.errors import MethodError
from gfi.drift.errors import DriftError
from gfi.jobs.submit import Invalid
from gfi.store.errors import Conflict, LimitExceeded, NotFound, StoreError, Transient

MEDIA_TYPE = "application/problem+json"

# status: (title, advice when the error itself has none)
KINDS: dict[int, tuple[str, str]] = {
    400: ("Malformed request", "Send what /v1/openapi.json describes, as valid JSON in UTF-8."),
    401: (
        "Authentication required",
        "Send `Authorization: Bearer TOKEN`; an administrator makes one with `gfi tokens create`.",
    ),
    403: ("Not allowed", "Ask an administrator for a token with the required scope."),
    404: ("Not found", "Check the address; GET /v1/jobs lists the existing jobs."),
    405: ("Method not allowed", "The Allow header names the methods of this address; see /v1/openapi.json."),
    406: ("Format not available", "Ask for application/json or application/x-ndjson."),
    409: ("Conflict", "Read it again: its state has changed, or the name or key is already in use."),
    413: ("Too large", "Send less per request, or put the photographs where the service can read them."),
    415: ("Unsupported media type", "Send JSON as application/json and photographs as multipart/form-data."),
    422: ("Invalid request", "Correct the named fields and send the request again."),
    429: ("Too many requests", "Wait as long as Retry-After says, or ask for a higher limit."),
    500: ("Internal error", "Report it with the request id; the change was rolled back."),
    503: ("Service unavailable", "Try again in a moment; /readyz says what is wrong."),
}


class FieldError(BaseModel):
    """One invalid field. `at`: where it is, for example body.priority."""

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
    """The request is refused with this status. advice: None uses the default advice of the status."""

    def __init__(
        self, status: int, detail: str, advice: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.advice, self.headers = status, detail, advice, headers or {}


Read = TypeVar("Read")


def checked(read: Callable[[], Read]) -> Read:
    """What `read` returns. Refused with 422 where it raises ValueError."""
    try:
        return read()
    except ValueError as error:
        raise Refused(422, str(error)) from None


def documented(
    *statuses: int, also: Mapping[int | str, dict[str, Any]] | None = None
) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: problems with these statuses, those of every route, and `also`."""
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
    """A problem as a response."""
    title, usual = KINDS.get(status, KINDS[500 if status >= 500 else 400])
    body = Problem(title=title, status=status, detail=detail, advice=advice or usual, errors=errors or [])
    headers = {"Cache-Control": "no-store"} | (headers or {})
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="gfi"'
    if status in (429, 503):
        headers.setdefault("Retry-After", "5")
    return JSONResponse(body.model_dump(), status, headers, MEDIA_TYPE)


def of_error(error: Exception) -> JSONResponse | None:
    """An expected error as a problem; None for any other."""
    if isinstance(error, Refused):
        return problem(error.status, error.detail, error.advice, headers=error.headers)
    if isinstance(error, Transient | Unavailable):
        return problem(503, str(error))
    for kind, status in ((NotFound, 404), (Conflict, 409), (LimitExceeded, 429)):
        if isinstance(error, kind):
            return problem(status, str(error))
    if isinstance(error, Invalid | DatasetError | DriftError | MethodError):
        return problem(422, str(error))
    if isinstance(error, StoreError):
        # For example a part that differs from its recorded digest, or a bucket that refuses the keys.
        return problem(503, str(error), "Ask an operator to run `gfi doctor`.")
    return None


def _methods(app: FastAPI, address: str) -> list[str]:
    """The methods that the OpenAPI document has for an address; a literal path takes precedence over a pattern."""
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
    """Turn every error that leaves a route into a problem."""

    async def expected(request: Request, error: Exception) -> JSONResponse:
        answer = of_error(error)
        assert answer is not None
        return answer

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        path = request.url.path[:200]
        details = {404: f"there is nothing at {path}", 405: f"{path} does not accept {request.method}"}
        detail = details.get(error.status_code, str(error.detail))
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_methods(app, request.url.path)) or headers.get("allow", "GET")
        return problem(error.status_code, detail, headers=headers)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        errors = [
            FieldError(at=".".join(str(piece)[:100] for piece in wrong["loc"])[:300], reason=wrong["msg"])
            for wrong in error.errors()[:20]
        ]
        first = errors[0] if errors else FieldError(at="body", reason="not valid")
        return problem(422, f"{first.at}: {first.reason}", errors=errors)

    async def machine(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, OSError)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise error
        advice = "Ask an operator to make room, or to set TMPDIR to a larger disk; then try again."
        return problem(503, "the disk of the server has no room for temporary files", advice)

    app.add_exception_handler(OSError, machine)
    for kind in (Refused, StoreError, DatasetError, MethodError):
        app.add_exception_handler(kind, expected)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
