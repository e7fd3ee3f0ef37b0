"""`gfi api`, `gfi tokens`, `gfi open`: the HTTP API and dashboard, and who may use them."""

import ipaddress
import os
import re

import click

from gfi.cli.errors import CommandError
from gfi.cli.printing import emit, table, when

LINK_MINUTES = 15
_UNITS = {"m": 60, "h": 3600, "d": 86400}


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
def api(host: str, port: int) -> None:
    """Serve the HTTP API and the dashboard until SIGTERM.

    Listens on this machine only, unless told otherwise; put TLS in front of anything else.
    """
    import uvicorn

    from gfi.store.logs import configure_logs
    from gfi.store.settings import Settings

    settings = Settings.load().require_stack()
    if not _is_loopback(host) and not settings.dataset_roots:
        raise CommandError(
            f"on {host} others can name datasets: set GFI_DATASET_ROOTS (and GFI_DATASET_BUCKETS) to what they may "
            "read, or listen on 127.0.0.1"
        )
    configure_logs()
    os.environ["GFI_API_URL"] = f"http://{host}:{port}"
    uvicorn.run(
        "gfi.api:create_app",
        factory=True,
        host=host,
        port=port,
        access_log=False,  # ours names paths without their queries, and never a header
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=3,  # open progress streams would hold it for ever
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@click.group()
def tokens() -> None:
    """Tokens of the HTTP API: create, list, revoke."""


@tokens.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, default=("read",), show_default=True,
    type=click.Choice(["read", "submit", "admin"]), help="admin contains submit, submit contains read.",
)  # fmt: skip
@click.option("--expires", metavar="TIME", help="30m, 12h or 90d from now; default: never.")
@click.option("--max-images", type=click.IntRange(1), help="Images a job of this token may have.")
@click.option("--max-active-jobs", type=click.IntRange(1), help="Jobs it may have at a time.")
@click.option("--requests-per-minute", type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def create(
    name: str, scopes: tuple[str, ...], expires: str | None, as_json: bool, **limits: int | None
) -> None:
    """Create a token and print it, this once: only its hash is kept."""
    from gfi.cli.stack import open_stack
    from gfi.store.access import create_token

    _, database = open_stack()
    given = {key: value for key, value in limits.items() if value is not None}
    token_id, plain = create_token(database, name, scopes, expires_in_s=_seconds(expires), limits=given)
    if as_json:
        emit({"id": token_id, "token": plain})
    else:
        click.echo(plain)


@tokens.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List tokens, without what would identify them."""
    from gfi.cli.stack import open_stack
    from gfi.store.access import people

    _, database = open_stack()
    found = people(database)
    if as_json:
        emit(found)
        return
    rows = [
        (
            each["id"],
            each["name"],
            " ".join(each["scopes"]),
            when(each["created_at"]),
            when(each["expires_at"]),
            when(each["used_at"]),
            "revoked" if each["revoked_at"] else "",
        )
        for each in found
    ]
    columns = ("id", "name", "scopes", "created", "expires", "last used", "")
    table("", columns, rows, "no tokens yet: gfi tokens create NAME --scope submit")


@tokens.command()
@click.argument("token_id")
def revoke(token_id: str) -> None:
    """Make a token worthless from now on."""
    from gfi.cli.stack import open_stack
    from gfi.store import ledger

    _, database = open_stack()
    click.echo("revoked" if ledger.revoke_token(database, token_id) else "it was revoked already")


@click.command("open")
@click.option("--url", help="Of the API; default: that of the running stack, or GFI_API_URL.")
def open_(url: str | None) -> None:
    """Print a link that signs a browser in to the dashboard, once, within a quarter of an hour."""
    from gfi.cli.stack import home_directory, open_stack, running_stack

    _, database = open_stack()
    base = url or os.environ.get("GFI_API_URL") or (running_stack(home_directory()) or {}).get("api_url")
    if not base:
        raise CommandError("no API is known here: gfi api serves one; gfi open --url http://HOST:PORT")
    click.echo(sign_in_link(database, base))


def sign_in_link(database: object, base: str) -> str:
    """A one-time link. The secret is behind the `#`, which no browser sends and no server logs."""
    from gfi.store.access import create_link
    from gfi.store.database import Database

    assert isinstance(database, Database)
    return f"{base.rstrip('/')}/sign-in#{create_link(database, LINK_MINUTES * 60.0)}"


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if found is None:
        raise CommandError(f"--expires {text}: write 30m, 12h or 90d")
    return float(found[1]) * _UNITS[found[2]]


COMMANDS = (api, tokens, open_)
