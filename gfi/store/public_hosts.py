"""Which hosts this service may call: allow-listed names whose addresses are all public.

For addresses that users give (webhooks, keys of datasets), which must not lead into the internal network (SSRF). The
caller connects to the address that was checked, even if the name resolves to another one later, and follows no
redirects.
"""

import ipaddress
import socket
from typing import Any
from urllib.parse import SplitResult

_UNICAST = ipaddress.IPv6Network("2000::/3")
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")


class NotReachable(Exception):
    """The host has no address that may be called; str() says why."""


class NotResolved(NotReachable):
    """The name of the host cannot be resolved, perhaps only now."""


def allow_list(value: Any) -> Any:
    """The entries of an allow-list, from text with commas or from a sequence, in lower case as hosts are compared.

    Anything else stays as it is, for the validation of the setting.
    """
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return value
    return tuple(name.strip().lower() for name in names if name.strip())


def matches(host: str, allowed: str) -> bool:
    """Whether an entry of an `allow_list` is this host, in lower case; `*.example.org` allows the subdomains of
    example.org."""
    return host == allowed or (allowed.startswith("*.") and host.endswith(allowed[1:]))


def resolve(parts: SplitResult, private: bool) -> str:
    """An address of the host. Raises NotReachable when any of its addresses is not public, unless `private`, and
    NotResolved when its name has none."""
    assert parts.hostname is not None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        answers = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotResolved(f"{parts.hostname} cannot be resolved: {error}") from None
    addresses = [str(answer[4][0]).partition("%")[0] for answer in answers]
    for address in addresses:
        if not private and not _public(address):
            raise NotReachable(f"{parts.hostname} resolves to {address}, which is not public")
    if not addresses:
        raise NotResolved(f"{parts.hostname} has no address")
    return addresses[0]


def at_address(parts: SplitResult, address: str) -> str:
    """The URL with the host's address in place of its name."""
    literal = f"[{address}]" if ":" in address else address
    port = f":{parts.port}" if parts.port else ""
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{literal}{port}{parts.path or '/'}{query}"


def _public(address: str) -> bool:
    """Whether the address is public, also where an IPv6 address embeds an IPv4 one."""
    parsed = ipaddress.ip_address(address)
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    if parsed.version == 6 and (parsed not in _UNICAST or parsed in _SIX_TO_FOUR):
        return False  # is_global alone accepts 64:ff9b::10.0.0.8 and 2002:a00:8::
    return parsed.is_global and not parsed.is_multicast
