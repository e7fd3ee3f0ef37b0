"""`gfi open`: a link that signs a browser in to the dashboard."""

import os

import click

from gfi.cli.errors import CommandError

LINK_MINUTES = 15


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
