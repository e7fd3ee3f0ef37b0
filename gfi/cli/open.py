"""`gfi open`: a link that signs a browser in to the dashboard."""

from typing import TYPE_CHECKING

import click

from gfi.cli.errors import CommandError

if TYPE_CHECKING:
    from gfi.store.database import Database

LINK_MINUTES = 15


@click.command("open")
@click.option("--url", help="Address of the API. [default: GFI_API_URL, else the running stack's]")
def open_(url: str | None) -> None:
    """Print a one-time link that signs a browser in to the dashboard.

    The link is valid for 15 minutes.
    """
    from gfi.cli.home import api_address, open_stack

    _, database = open_stack()
    base = url or api_address()
    if not base:
        raise CommandError(
            "no address of an API is known: start one with `gfi api`, then gfi open --url http://HOST:PORT"
        )
    click.echo(sign_in_link(database, base))


def sign_in_link(database: "Database", base: str) -> str:
    """A one-time link. Its secret follows the `#`: that part of an address is neither sent by browsers nor logged by
    servers."""
    from gfi.store.ledger.tokens import create_link

    return f"{base.rstrip('/')}/sign-in#{create_link(database, LINK_MINUTES * 60.0)}"
