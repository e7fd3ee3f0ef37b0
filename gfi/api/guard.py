"""The checks that every request passes before it reaches a route, as one ASGI middleware.

- Without a valid token every address under /v1 answers 401, even if it does not exist or the body is invalid.
- A body above the limit is refused by its Content-Length or, without that header, while it arrives.
- NUL and control characters in an address are refused, so that none reaches a database column, a path or a header.
- A browser's request that changes something must carry the CSRF header and come from this origin.
- Responses get the security headers. An unexpected exception becomes a problem without a traceback.
- Each request is one line of log: method, path without its query, status, time, token id. Never a header.
"""

import hmac
import math
import time
from typing import Any
from urllib.parse import unquote

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gfi.api import access
from gfi.api.access import Caller
from gfi.api.context import Context
from gfi.api.problems import Refused, of_error, problem
from gfi.api.rates import Rates
from gfi.domain.ids import new_id

log = structlog.get_logger(__name__)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
UPLOADS = frozenset({"/v1/uploads", "/v1/imports"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """The middleware around the whole application."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app, self._context = app, context
        self._rates = Rates()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one HTTP request and pass it on; other scopes (lifespan) are passed on unchecked."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = new_id()
        answered: dict[str, Any] = {"status": 500, "begun": False}

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered["status"], answered["begun"] = message["status"], True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = request_id
            await send(message)

        state = scope.setdefault("state", {})
        try:
            await self._admit(scope)
            await self._app(scope, self._metered(scope, receive), sending)
        except Exception as error:
            if answered["begun"]:
                log.exception("a response failed after it had begun", request=request_id)
                raise
            answer = of_error(error)
            if answer is None:
                log.exception("request failed", request=request_id, path=scope["path"])
                answer = problem(500, f"the request failed unexpectedly; its id is {request_id}")
            await answer(scope, receive, sending)
        finally:
            caller: Caller | None = state.get("caller")
            log.info(
                "request",
                request=request_id,
                method=scope["method"],
                path=scope["path"][:300],
                status=answered["status"],
                ms=round((time.perf_counter() - started) * 1000, 1),
                caller=caller.id if caller else None,
            )

    async def _admit(self, scope: Scope) -> None:
        """Refused unless the request may reach a route. Sets scope["state"]: `caller` and `max_body`."""
        headers = Headers(scope=scope)
        if _has_control(scope["path"]) or _has_control(
            unquote(scope["query_string"].decode("latin-1"), errors="replace")
        ):
            raise Refused(422, "the address contains a control character")
        limit = self._context.api.max_upload if scope["path"] in UPLOADS else self._context.api.max_body
        scope["state"]["max_body"] = limit
        length = headers.get("content-length")
        if length is not None and not (length.isascii() and length.isdigit()):
            raise Refused(400, "Content-Length is not a number")
        if length is not None and "transfer-encoding" in headers:
            # Two servers in a row may disagree on where such a request ends (request smuggling).
            raise Refused(
                400,
                "the request has both Content-Length and Transfer-Encoding",
                "Send one of them.",
                headers={"Connection": "close"},
            )
        caller = await run_in_threadpool(self._identify_and_count, headers, scope["path"])
        if caller is None:
            if scope["path"] == "/v1" or scope["path"].startswith("/v1/"):
                raise Refused(401, "the request has no token")
        else:
            scope["state"]["caller"] = caller
            self._check_origin(scope, headers, caller)
            if own_limit := caller.limits.get("max_body"):
                limit = scope["state"]["max_body"] = min(limit, own_limit)
        if length is not None and int(length) > limit:
            raise Refused(413, f"the body has {length} bytes; the limit is {limit}")

    def _identify_and_count(self, headers: Headers, path: str) -> Caller | None:
        """The caller, whose request is counted. Refused with 429 if the token has no requests left in this minute."""
        caller = self._identify(headers, path)
        if caller is not None:
            most = self._context.api.requests_per_minute
            if own := caller.limits.get("requests_per_minute"):
                most = min(most, own)
            wait_s = self._rates.take(self._context.settings.redis_url, caller.id, most)
            if wait_s:
                raise Refused(
                    429,
                    f"this token may make {most} requests a minute",
                    headers={"Retry-After": str(max(1, math.ceil(wait_s)))},
                )
        return caller

    def _identify(self, headers: Headers, path: str) -> Caller | None:
        header = headers.get("authorization")
        if header is not None:
            return access.bearer(self._context.database, header)
        cookie = cookie_parser(headers.get("cookie", "")).get(access.COOKIE)
        if cookie and path != "/sign-in":  # an expired session must not prevent a new sign-in
            try:
                return access.browser(self._context.database, cookie)
            except Refused:
                if path.startswith("/v1"):
                    raise
        return None

    def _check_origin(self, scope: Scope, headers: Headers, caller: Caller) -> None:
        if caller.csrf is None or scope["method"] in SAFE_METHODS:
            return
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != headers.get("host"):
            raise Refused(403, "this request comes from another site")
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Refused(403, "this request comes from another site")
        sent = headers.get(access.CSRF_HEADER, "")
        if not hmac.compare_digest(sent.encode(), caller.csrf.encode()):
            raise Refused(403, "the header X-GFI-CSRF is missing or wrong", "Reload the page.")

    def _metered(self, scope: Scope, receive: Receive) -> Receive:
        """`receive`, which refuses a body as soon as it is larger than allowed."""
        received = 0

        async def metered() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > scope["state"]["max_body"]:
                    # An HTTPException, because FastAPI turns any other exception into a 400 while it parses the body.
                    raise HTTPException(413, f"the body is larger than {scope['state']['max_body']} bytes")
            return message

        return metered


def _has_control(text: str) -> bool:
    return any(ord(letter) < 32 or ord(letter) == 127 for letter in text)
