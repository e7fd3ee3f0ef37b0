"""Chooses where commands find jobs: through the HTTP API, or in the database of this machine.

With `GFI_API_URL` (and `GFI_TOKEN`) set, commands use `gfi.client.Client` and need neither a database nor its
libraries.
"""

import gc
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager

from gfi.cli.errors import CommandError
from gfi.cli.service import Service


def open_service() -> Service:
    """The API of `GFI_API_URL`, else the configured database or the running stack. CommandError when there is none."""
    with _uncollected():
        return _open_service()


def _open_service() -> Service:
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


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection inside: imports leave no garbage, and looking for it takes a tenth of `gfi jobs`."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
