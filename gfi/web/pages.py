"""The dashboard's addresses: pages for a signed-in browser, signing in and out, and the static files."""

import hashlib
import mimetypes
from functools import cache
from pathlib import Path

import jinja2
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from gfi.api import access
from gfi.api.access import Caller
from gfi.api.body import StrictRoute
from gfi.api.context import ContextDep
from gfi.api.problems import Refused
from gfi.api.schemas import In
from gfi.store import ledger
from gfi.store.ledger.tokens import redeem_link, start_session

router = APIRouter(include_in_schema=False, route_class=StrictRoute)
FOLDER = Path(__file__).parent
# address: (template, title). The script of a page has the name of its template.
PAGES = {
    "/jobs": ("jobs", "Jobs"),
    "/jobs/{job}": ("job", "Job"),
    "/jobs/{job}/gallery": ("gallery", "Gallery"),
    "/jobs/{job}/classes": ("classes", "Classes"),
    "/jobs/{job}/confusion": ("confusion", "Confusion"),
    "/jobs/{job}/histograms": ("histograms", "Histograms"),
    "/audits": ("audits", "Audits"),
    "/audits/{audit}": ("audit", "Audit"),
    "/schedules": ("schedules", "Schedules"),
    "/comparisons": ("comparisons", "Comparisons"),
    "/comparisons/{comparison}": ("comparison", "Comparison"),
    "/models": ("models", "Models"),
    "/workers": ("workers", "Workers"),
    "/tokens": ("tokens", "Tokens"),
}


class SignIn(In):
    """A sign-in link's secret, or a token."""

    secret: str = Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")


class SignedIn(BaseModel):
    """The address of the page to open next."""

    location: str = "/jobs"


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _static() -> dict[str, tuple[bytes, str, str]]:
    """Every static file by name: (bytes, media type, ETag). Only these are served."""
    files = {}
    for path in (FOLDER / "static").iterdir():
        data = path.read_bytes()
        kind = "text/javascript" if path.suffix == ".js" else mimetypes.guess_type(path.name)[0]
        files[path.name] = (data, kind or "application/octet-stream", hashlib.sha256(data).hexdigest()[:16])
    return files


def _caller(request: Request) -> Caller | None:
    caller: Caller | None = request.scope.get("state", {}).get("caller")
    return caller


def _page(template: str, title: str, caller: Caller | None, job: str = "") -> HTMLResponse:
    html = (
        _templates()
        .get_template(f"{template}.html")
        .render(
            page=template,
            title=title,
            caller=caller,
            job=job,
            admin=caller is not None and caller.may("admin"),
            submit=caller is not None and caller.may("submit"),
        )
    )
    return HTMLResponse(html, headers={"Cache-Control": "no-store"})


@router.get("/")
def home() -> RedirectResponse:
    """Leads to the jobs."""
    return RedirectResponse("/jobs", 303)


def _add(address: str, template: str, title: str) -> None:
    @router.get(address)
    def page(request: Request) -> Response:
        caller = _caller(request)
        if caller is None:
            return RedirectResponse("/sign-in", 303)
        return _page(template, title, caller, str(request.path_params.get("job", "")))


for _address, (_template, _title) in PAGES.items():
    _add(_address, _template, _title)


@router.get("/sign-in")
def sign_in_page() -> HTMLResponse:
    """The sign-in form. The secret of a link stands behind the `#`, so that only the page's script sees it."""
    return _page("sign-in", "Sign in", None)


@router.post("/sign-in")
def sign_in(body: SignIn, request: Request, context: ContextDep) -> Response:
    """Start a session with the secret of a sign-in link, or with a token."""
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise Refused(403, "this request comes from another site")
    hours = context.api.session_hours
    cookie = redeem_link(context.database, body.secret, hours * 3600)
    if cookie is None:
        token = access.bearer_token(context.database, f"Bearer {body.secret}")  # Refused unless it is valid
        cookie = start_session(context.database, token, hours * 3600)
    answer = JSONResponse(SignedIn().model_dump(), headers={"Cache-Control": "no-store"})
    answer.set_cookie(
        access.COOKIE,
        cookie,
        max_age=int(hours * 3600),
        httponly=True,
        samesite="strict",
        secure=context.api.secure_cookies,
        path="/",
    )
    return answer


@router.post("/sign-out")
def sign_out(request: Request, context: ContextDep) -> Response:
    """End the session: delete the cookie and revoke the session."""
    caller = _caller(request)
    answer = JSONResponse({"location": "/sign-in"})
    if caller is not None and caller.session is not None:
        ledger.revoke_token(context.database, caller.session, actor=caller.name)
    answer.delete_cookie(access.COOKIE, path="/")
    return answer


@router.get("/static/{name}")
def static(name: str, request: Request) -> Response:
    """A style sheet, script or icon."""
    file = _static().get(name)
    if file is None:
        raise Refused(404, f"there is no file {name[:100]}")
    data, kind, tag = file
    headers = {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == f'"{tag}"':
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=kind, headers=headers)
