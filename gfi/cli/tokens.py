"""`gfi tokens`: tokens of the HTTP API."""

import re

import click

from gfi.cli.errors import CommandError
from gfi.cli.open_service import open_service
from gfi.cli.printing import emit, json_option, table, when

_UNITS = {"m": 60, "h": 3600, "d": 86400}


@click.group()
def tokens() -> None:
    """Create, list and revoke tokens of the HTTP API."""


@tokens.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    default=("read",),
    show_default=True,
    type=click.Choice(["read", "submit", "admin"]),
    help="What the token allows; admin includes submit, submit includes read.",
)
@click.option("--expires", metavar="TIME", help="30m, 12h or 90d from now; default: never.")
@click.option(
    "--max-images", type=click.IntRange(1), help="The largest number of images in one job of this token."
)
@click.option(
    "--max-active-jobs", type=click.IntRange(1), help="The largest number of active jobs of this token."
)
@click.option(
    "--max-device-seconds", type=click.IntRange(1), help="The largest total device time of its open tasks."
)
@click.option(
    "--requests-per-minute",
    type=click.IntRange(1),
    help="The largest number of requests per minute of this token.",
)
@json_option
def create(
    name: str, scopes: tuple[str, ...], expires: str | None, as_json: bool, **limits: int | None
) -> None:
    """Create a token and print it. It cannot be printed again: only its hash is stored."""
    given = {key: value for key, value in limits.items() if value is not None}
    created = open_service().create_token(name, scopes, expires_in_s=_seconds(expires), limits=given)
    if as_json:
        emit(created)
    else:
        click.echo(created["token"])


@tokens.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List tokens, without their secrets."""
    listed = open_service().tokens()
    if as_json:
        emit(listed)
        return
    rows = [
        (
            token["id"],
            token["name"],
            " ".join(token["scopes"]),
            when(token["created_at"]),
            when(token["expires_at"]),
            when(token["used_at"]),
            "revoked" if token["revoked_at"] else "",
        )
        for token in listed
    ]
    columns = ("id", "name", "scopes", "created", "expires", "last used", "")
    table("", columns, rows, "no tokens yet: gfi tokens create NAME --scope submit")


@tokens.command()
@click.argument("token_id")
def revoke(token_id: str) -> None:
    """Revoke a token: the API refuses it from now on."""
    click.echo("revoked" if open_service().revoke_token(token_id) else "was revoked already")


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    parts = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if parts is None:
        raise CommandError(f"--expires {text}: write 30m, 12h or 90d")
    return float(parts[1]) * _UNITS[parts[2]]
