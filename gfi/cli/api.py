"""`gfi api`: the HTTP API and the dashboard."""

import ipaddress

import click

from gfi.cli.errors import CommandError


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on."
)
def api(host: str, port: int) -> None:
    """Serve the HTTP API and the dashboard until SIGTERM.

    By default it answers this machine only; --host names another address, which needs a TLS proxy in front.
    """
    import uvicorn

    from gfi.store.logs import configure_logs
    from gfi.store.settings import Settings

    settings = Settings.load().require_stack()
    if not _is_loopback(host) and not settings.dataset_roots:
        raise CommandError(
            f"on {host} other machines can submit jobs over any file: set GFI_DATASET_ROOTS (and GFI_DATASET_BUCKETS)"
            " to what they may read, or listen on 127.0.0.1"
        )
    configure_logs()
    uvicorn.run(
        "gfi.api:create_app",
        factory=True,
        host=host,
        port=port,
        access_log=False,  # gfi.api logs requests itself: paths without their queries, and no header
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=3,  # open progress streams would delay the shutdown without limit
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
