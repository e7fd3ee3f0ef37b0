"""Webhooks: when a job has ended, or a schedule has something to tell, a signed message is sent until it is accepted.

The webhook that a submission or a schedule names is kept in the audit log of each job (`job.webhook`). When the job
ends, the ledger writes a row of the outbox in the same transaction. A thread in each API process (`deliver_loop`) takes
the rows that are due, reserves them, and posts

    {"job": ID, "state": "succeeded", "event": "job.finished", "delivery": ID}
    {"job": ID, "schedule": NAME, "verdict": "fail", "sentences": […], "event": "job.followed", …}
    {"schedule": NAME, "due": INSTANT, "reason": …, "event": "firing.held" | "firing.missed", …}
    X-GFI-Timestamp: 1765000000
    X-GFI-Signature: sha256=HMAC(secret, timestamp + "." + body)

A 2xx answer completes the delivery. After any other answer it is tried again, 10 s, 20 s, 40 s … 1 h later, at most 12
times. A message may arrive twice, with the same delivery id. E-mails (`gfi.api.email_delivery`) are sent
and tried again in the same way.

A webhook must not give access to the internal network of this service (SSRF): its host must be allow-listed, every
address that its name resolves to must be public, the connection goes to the address that was checked even if the name
resolves to another one later, and redirects are not followed.
"""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Mapping

import httpx
import structlog

from gfi.api.config import ApiSettings
from gfi.api.context import Context
from gfi.api.email_delivery import LONGEST_S, Unsent, send_email
from gfi.domain.digests import JSON
from gfi.domain.pauses import doubled
from gfi.domain.records import EMAIL, WEBHOOK
from gfi.jobs.notify_addresses import check_webhook
from gfi.jobs.submit import Invalid
from gfi.store import ledger, queries
from gfi.store.deadline import Deadline
from gfi.store.errors import StoreError, Transient
from gfi.store.public_hosts import NotReachable, at_address, resolve

log = structlog.get_logger(__name__)

ATTEMPTS = 12
HOLD_S: Mapping[str, float] = {WEBHOOK: 60.0, EMAIL: LONGEST_S}
"""No other process sends a message for this long after it was taken: longer than sending it takes."""
AT_ONCE = 20
"""Messages of a channel before it is the turn of the other."""
TIMEOUT_S = 10.0
"""Seconds for each step of a request."""
WHOLE_S = 30.0
"""Seconds for all of it: a host that answers a byte at a time would keep all other messages waiting."""


class Undeliverable(Exception):
    """The message was not delivered; str() says why."""


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """`sha256=` and the HMAC-SHA256 of `timestamp + "." + body`, in hexadecimal."""
    mac = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={mac.hexdigest()}"


def deliver(message: JSON, url: str, api: ApiSettings) -> None:
    """Post one message. Raises Undeliverable unless the answer is 2xx."""
    try:
        parts = check_webhook(url, api)
    except Invalid as error:
        raise Undeliverable(str(error)) from None
    try:
        address = at_address(parts, resolve(parts, api.webhook_private))
    except NotReachable as error:
        raise Undeliverable(str(error)) from None
    body = json.dumps(message["payload"] | {"event": message["kind"], "delivery": message["id"]}).encode()
    assert api.webhook_secret is not None
    timestamp = str(int(time.time()))
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": "gfi-webhook",
        "X-GFI-Timestamp": timestamp,
        "X-GFI-Signature": sign(api.webhook_secret.get_secret_value(), timestamp, body),
    }
    named = {"sni_hostname": parts.hostname} if parts.scheme == "https" else {}
    with Deadline(parts.hostname or "", WHOLE_S, Undeliverable) as deadline:
        try:
            with (
                httpx.Client(trust_env=False, timeout=TIMEOUT_S, follow_redirects=False) as client,
                client.stream(
                    "POST",
                    address,
                    content=body,
                    headers=headers,
                    extensions=named | {"trace": deadline.trace},
                ) as answer,
            ):
                status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            deadline.left()  # a connection that was shut down at the deadline
            raise Undeliverable(f"{parts.hostname}: {type(error).__name__}") from None
    if not 200 <= status < 300:
        raise Undeliverable(f"{parts.hostname} answered {status}")


def send_due(context: Context) -> int:
    """Send the messages that are due. Returns how many there were. Raises StoreError when the database is away."""
    return sum(_send_channel(context, channel, send) for channel, send in _CHANNELS.items())


def _webhook(context: Context, message: JSON, address: str) -> None:
    deliver(message, address, context.api)


def _email(context: Context, message: JSON, address: str) -> None:
    job = queries.get_job(context.database, message["job_id"]).to_json() if message["job_id"] else {}
    try:
        send_email(message, job, address, context.api)
    except Unsent as error:
        raise Undeliverable(str(error)) from None


_CHANNELS: Mapping[str, Callable[[Context, JSON, str], None]] = {WEBHOOK: _webhook, EMAIL: _email}


def _address(context: Context, message: JSON, channel: str) -> str | None:
    if message["job_id"]:
        return queries.address_on(context.database, message["job_id"], channel)
    return queries.schedule_address_on(context.database, message["payload"]["schedule_id"], channel)


def _send_channel(context: Context, channel: str, send: Callable[[Context, JSON, str], None]) -> int:
    """One after the other, so that a message is held only while it is sent: behind a slow receiver, those that were
    taken together became due again, and another process sent them too."""
    for number in range(AT_ONCE):
        taken = ledger.take_outbox(context.database, 1, HOLD_S[channel], channel)
        if not taken:
            return number
        _send_one(context, channel, send, taken[0])
    return AT_ONCE


def _send_one(
    context: Context, channel: str, send: Callable[[Context, JSON, str], None], message: JSON
) -> None:
    try:
        address = _address(context, message, channel)
        if address is not None:
            _send(send, context, message, address)
    except Undeliverable as error:
        again = message["attempts"] < ATTEMPTS
        log.warning(f"{channel} failed", job=message["job_id"], reason=str(error), again=again)
        if again:
            delay = doubled(10.0, message["attempts"] - 1, 3600.0)
            ledger.settle_outbox(context.database, message["id"], str(error), delay)
        else:
            details = {"reason": str(error)}
            ledger.audited(context.database, channel, f"job.{channel}_failed", message["job_id"], details)
            ledger.settle_outbox(context.database, message["id"])
    else:
        if address is not None:
            log.info(f"{channel} delivered", job=message["job_id"])
        ledger.settle_outbox(context.database, message["id"])


def _send(send: Callable[[Context, JSON, str], None], context: Context, message: JSON, address: str) -> None:
    """Raises Undeliverable, also for an error that nobody foresaw: such a message would be taken first each time, and
    nothing behind it would ever be sent. Raises Transient where the database is away."""
    try:
        send(context, message, address)
    except (Undeliverable, Transient):
        raise
    except Exception as error:
        log.exception("message not sent", job=message["job_id"])
        raise Undeliverable(type(error).__name__) from None


def deliver_loop(context: Context, ended: threading.Event, every_s: float = 2.0) -> None:
    """Send due messages every `every_s` until `ended`; runs in a thread of the API."""
    while not ended.wait(every_s):
        try:
            while send_due(context) and not ended.is_set():
                pass
        except StoreError as error:
            log.warning("webhooks cannot be sent now", reason=str(error))
            ended.wait(10.0)
        except Exception:
            log.exception("sending webhooks failed")
            ended.wait(10.0)
