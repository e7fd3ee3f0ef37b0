"""Which addresses may be told of a finished job: allow-listed hosts, over https, without a user."""

from urllib.parse import SplitResult, urlsplit

from gfi.api.config import ApiSettings
from gfi.api.problems import Refused
from gfi.store import queries
from gfi.store.database import Database

ACTION = "job.webhook"


def check(url: str, api: ApiSettings) -> SplitResult:
    """The parts of an address that may be told. Refused with advice else; nothing is looked up yet."""
    if api.webhook_secret is None or not api.webhook_hosts:
        raise Refused(
            422, "webhooks are not set up here", "An operator sets GFI_WEBHOOK_HOSTS and GFI_WEBHOOK_SECRET."
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Refused(422, "the webhook is not an address") from None
    schemes = ("https", "http") if api.webhook_private else ("https",)
    if parts.scheme not in schemes or not host or parts.username or parts.password or parts.fragment:
        raise Refused(422, f"a webhook is {' or '.join(schemes)}://host/path without a user and a fragment")
    if any(ord(letter) <= 32 or ord(letter) >= 127 for letter in url):
        raise Refused(422, "a webhook's address is written in ASCII, without spaces")
    if port is not None and port not in (80, 443) and not api.webhook_private:
        raise Refused(422, "a webhook listens on port 443")
    if not any(_matches(host, allowed) for allowed in api.webhook_hosts):
        raise Refused(
            422,
            f"{host[:200]} is not among the hosts that may be told",
            "An operator sets GFI_WEBHOOK_HOSTS.",
        )
    return parts


def _matches(host: str, allowed: str) -> bool:
    return host == allowed or (allowed.startswith("*.") and host.endswith(allowed[1:]))


def address_of(database: Database, job_id: str) -> str | None:
    """Where to tell of a job's end; None when nobody asked."""
    for entry in queries.list_audit(database, job_id=job_id, limit=100):
        if entry["action"] == ACTION:
            return str(entry["details"]["url"])
    return None
