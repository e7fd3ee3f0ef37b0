"""Telling others that a job has ended: signed, retried, and never a way into the network behind this service.

The address a submission or a schedule names is kept in the audit of each job (`job.webhook`). When the job ends, the
ledger writes a row of the outbox in the same transaction; a courier in each API process takes rows that are due, holds
them from the others, and posts

    {"job": ID, "state": "succeeded", "event": "job.finished", "delivery": ID}
    X-GFI-Timestamp: 1765000000
    X-GFI-Signature: sha256=HMAC(secret, timestamp + "." + body)

A 2xx answer settles it; anything else is tried again after 10 s, 20 s, 40 s … an hour, at most a dozen times. A
delivery may arrive twice; its id tells. The host must be allow-listed. Every address its name resolves to must be
public, and the connection goes to the address that was checked, whatever the name resolves to a moment later. No
redirect is followed.
"""

import hashlib
import hmac
import ipaddress
import json
import socket
import threading
import time
from urllib.parse import SplitResult

import httpx
import structlog

from gfi.api.config import ApiSettings
from gfi.api.context import Context
from gfi.api.problems import Refused
from gfi.api.webhook_addresses import address_of, check
from gfi.domain.digests import JSON
from gfi.store import ledger
from gfi.store.errors import StoreError

log = structlog.get_logger(__name__)

ATTEMPTS = 12
HOLD_S = 60.0
TIMEOUT_S = 10.0


class Undeliverable(Exception):
    """This address can or may not be reached; str() says why."""


_UNICAST = ipaddress.IPv6Network("2000::/3")
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")


def _public(address: str) -> bool:
    """Whether it is an address of the Internet, and none that carries a private IPv4 address inside it."""
    parsed = ipaddress.ip_address(address)
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    if parsed.version == 6 and (parsed not in _UNICAST or parsed in _SIX_TO_FOUR):
        return False  # 64:ff9b::10.0.0.8 and 2002:a00:8:: would be global by is_global alone
    return parsed.is_global and not parsed.is_multicast


def resolve(parts: SplitResult, private: bool) -> str:
    """An address of the host, checked. Undeliverable when one of its addresses is not public."""
    assert parts.hostname is not None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Undeliverable(f"{parts.hostname} cannot be resolved: {error}") from None
    addresses = [str(each[4][0]).partition("%")[0] for each in found]
    for address in addresses:
        if not private and not _public(address):
            raise Undeliverable(f"{parts.hostname} resolves to {address}, which is not public")
    if not addresses:
        raise Undeliverable(f"{parts.hostname} has no address")
    return addresses[0]


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """`sha256=` and the HMAC of timestamp, a point and the body."""
    mac = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={mac.hexdigest()}"


def deliver(message: JSON, url: str, api: ApiSettings) -> None:
    """Post one message. Undeliverable when it was not taken."""
    try:
        parts = check(url, api)
    except Refused as error:
        raise Undeliverable(error.detail) from None
    address = resolve(parts, api.webhook_private)
    body = json.dumps(message["payload"] | {"event": message["kind"], "delivery": message["id"]}).encode()
    assert api.webhook_secret is not None
    timestamp = str(int(time.time()))
    literal = f"[{address}]" if ":" in address else address
    port = f":{parts.port}" if parts.port else ""
    query = f"?{parts.query}" if parts.query else ""
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": "gfi-webhook",
        "X-GFI-Timestamp": timestamp,
        "X-GFI-Signature": sign(api.webhook_secret.get_secret_value(), timestamp, body),
    }
    try:
        with (
            httpx.Client(trust_env=False, timeout=TIMEOUT_S, follow_redirects=False) as client,
            client.stream(
                "POST",
                f"{parts.scheme}://{literal}{port}{parts.path or '/'}{query}",
                content=body,
                headers=headers,
                extensions={"sni_hostname": parts.hostname} if parts.scheme == "https" else {},
            ) as answer,
        ):
            status = answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise Undeliverable(f"{parts.hostname}: {type(error).__name__}") from None
    if not 200 <= status < 300:
        raise Undeliverable(f"{parts.hostname} answered {status}")


def send_due(context: Context) -> int:
    """Take and send what is due; returns how many rows were taken. StoreError when the database is away."""
    taken = ledger.take_outbox(context.database, 20, HOLD_S)
    for message in taken:
        url = address_of(context.database, message["job_id"])
        if url is None:
            ledger.settle_outbox(context.database, message["id"])
            continue
        try:
            deliver(message, url, context.api)
        except Undeliverable as error:
            again = message["attempts"] < ATTEMPTS
            log.warning("webhook", job=message["job_id"], reason=str(error), again=again)
            if again:
                delay = min(3600.0, 10.0 * 2 ** (message["attempts"] - 1))
                ledger.settle_outbox(context.database, message["id"], str(error), delay)
            else:
                ledger.audited(
                    context.database,
                    "webhook",
                    "job.webhook_failed",
                    message["job_id"],
                    {"reason": str(error)},
                )
                ledger.settle_outbox(context.database, message["id"])
        else:
            log.info("webhook", job=message["job_id"], delivered=True)
            ledger.settle_outbox(context.database, message["id"])
    return len(taken)


def deliver_loop(context: Context, ended: threading.Event, every_s: float = 2.0) -> None:
    """Send what is due until `ended`; runs in a thread of the API."""
    while not ended.wait(every_s):
        try:
            while send_due(context) and not ended.is_set():
                pass
        except StoreError as error:
            log.warning("webhooks wait", reason=str(error))
            ended.wait(10.0)
        except Exception:
            log.exception("webhooks")
            ended.wait(10.0)
