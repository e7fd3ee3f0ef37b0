"""Where a command finds the jobs: in the database of this machine, or behind the HTTP API.

With `GFI_API_URL` set (and `GFI_TOKEN`) every job command goes through `gfi.client.Client`, and neither a database nor
any of its libraries is needed here.
"""

import importlib.util
import os

from gfi.cli.errors import CommandError
from gfi.cli.service import Service


def open_service() -> Service:
    """The API of `GFI_API_URL`, else the database of whatever runs here. CommandError when there is neither."""
    if os.environ.get("GFI_API_URL"):
        from gfi.cli.remote_service import RemoteService

        return RemoteService()
    if importlib.util.find_spec("sqlalchemy") is None:
        raise CommandError(
            'the service is not installed here: pip install "gfi[service]"; or set GFI_API_URL and GFI_TOKEN to use'
            " one elsewhere"
        )
    from gfi.cli.local_service import LocalService
    from gfi.cli.stack import open_stack

    return LocalService(*open_stack())
