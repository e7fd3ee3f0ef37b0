"""Where a command finds the jobs: in the database of this machine, or behind the HTTP API.

With `GFI_API_URL` set (and `GFI_TOKEN`) every job command goes through `gfi.client.Client`, and neither a database nor
any of its libraries is needed here.
"""

import os

from gfi.cli.service import Service


def open_service() -> Service:
    """The API of `GFI_API_URL`, else the database of whatever runs here. CommandError when there is neither."""
    if os.environ.get("GFI_API_URL"):
        from gfi.cli.remote_service import RemoteService

        return RemoteService()
    from gfi.cli.local_service import LocalService
    from gfi.cli.stack import open_stack

    return LocalService(*open_stack())
