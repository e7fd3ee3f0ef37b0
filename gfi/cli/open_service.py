"""Chooses where commands find jobs: through the HTTP API, or in the database of this machine.

With `GFI_API_URL` (and `GFI_TOKEN`) set, commands use `gfi.client.Client` and need neither a database nor its
libraries.
"""

import importlib.util
import os

from gfi.cli.errors import CommandError
from gfi.cli.service import Service


def open_service() -> Service:
    """The API of `GFI_API_URL`, else the configured database or the running stack. CommandError when there is none."""
    if os.environ.get("GFI_API_URL"):
        from gfi.cli.remote_service import RemoteService

        return RemoteService()
    if importlib.util.find_spec("sqlalchemy") is None:
        raise CommandError(
            'the service is not installed here: pip install "gfi[service]"; or set GFI_API_URL and GFI_TOKEN to use'
            " a service elsewhere"
        )
    from gfi.cli.home import open_stack

    settings, database = open_stack()
    from gfi.cli.local_service import LocalService

    return LocalService(settings, database)
