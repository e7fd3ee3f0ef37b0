"""`gfi tokens`: who may use the HTTP API."""

import re

import click

from gfi.cli.errors import CommandError
from gfi.cli.printing import emit, table, when

_UNITS = {"m": 60, "h": 3600, "d": 86400}


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


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if found is None:
        raise CommandError(f"--expires {text}: write 30m, 12h or 90d")
    return float(found[1]) * _UNITS[found[2]]
