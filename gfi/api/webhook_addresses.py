"""The allowed addresses of webhooks: allow-listed hosts, over https, without user and fragment."""

from urllib.parse import SplitResult, urlsplit

from gfi.api.config import ApiSettings
from gfi.api.problems import Refused
from gfi.store.public_hosts import matches


def check(url: str, api: ApiSettings) -> SplitResult:
    """The parts of a valid webhook address. Refused with 422 for any other; its host is not resolved yet."""
    if api.webhook_secret is None or not api.webhook_hosts:
        raise Refused(
            422, "webhooks are not set up", "An operator must set GFI_WEBHOOK_HOSTS and GFI_WEBHOOK_SECRET."
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Refused(422, "the webhook is not a valid URL") from None
    schemes = ("https", "http") if api.webhook_private else ("https",)
    if parts.scheme not in schemes or not host or parts.username or parts.password or parts.fragment:
        raise Refused(
            422, f"a webhook must be {' or '.join(schemes)}://host/path, without a user and a fragment"
        )
    if any(ord(letter) <= 32 or ord(letter) >= 127 for letter in url):
        raise Refused(422, "the address of a webhook must be ASCII without spaces")
    if port is not None and port not in (80, 443) and not api.webhook_private:
        raise Refused(422, "the port of a webhook must be 443")
    if not any(matches(host, allowed) for allowed in api.webhook_hosts):
        raise Refused(
            422,
            f"webhooks to {host[:200]} are not allowed",
            "An operator can add the host to GFI_WEBHOOK_HOSTS.",
        )
    return parts
