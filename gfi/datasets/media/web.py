"""Photographs at `https://` addresses, which keys of manifests may be.

Their hosts are those of `dataset_hosts` (GFI_DATASET_HOSTS); without it none is read. The address must be public, and
redirects are not followed (`gfi.store.public_hosts`). The version is the ETag, else the date of the last change, of the
answer, else the SHA-256 of the data; a listing sends no request and knows none.
"""

import hashlib
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx

from gfi.datasets.errors import DatasetError
from gfi.datasets.listing import MAX_BYTES, Fetched, fetched
from gfi.store.deadline import Deadline
from gfi.store.public_hosts import NotReachable, NotResolved, at_address, matches, resolve

SCHEME = "https://"
WHOLE_S = 40.0
"""The longest that one photograph may take, over all attempts: a third of the time after which a worker has stalled."""
_STEP_S = 15.0
_PAUSES_S = (0.5, 2.0)


class _Again(Exception):
    """The host may answer a second time; str() says what it did."""


def check(url: str, hosts: Sequence[str]) -> SplitResult:
    """The parts of an address that may be read. DatasetError for any other; its host is not resolved yet."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise DatasetError(f"the key {url[:200]!r} is not a valid address") from None
    if not host or parts.username or parts.password or parts.fragment or port not in (None, 443):
        raise DatasetError(
            f"the key {url[:200]!r}: an address is https://host/path, without user, port and fragment"
        )
    if any(ord(letter) <= 32 or ord(letter) >= 127 for letter in url):
        raise DatasetError(f"the key {url[:200]!r}: an address is ASCII without spaces; encode others as %20")
    if not any(matches(host, allowed) for allowed in hosts):
        allowed = ", ".join(hosts) or "none"
        raise DatasetError(
            f"photographs are not read from {host[:200]}; hosts of GFI_DATASET_HOSTS: {allowed}"
        )
    return parts


def read(
    url: str,
    version: str | None,
    hosts: Sequence[str],
    transport: httpx.BaseTransport | None = None,
    *,
    whole_s: float = WHOLE_S,
) -> Fetched:
    """One photograph. version: that it is expected to have. DatasetError where it cannot be had.

    transport: replaces the connection, for tests. whole_s: seconds for all attempts together; a name that is being
    resolved then may take longer, as long as the machine's resolver waits.
    """
    parts = check(url, hosts)
    with Deadline(parts.hostname or "", whole_s, DatasetError) as deadline:
        for pause in (*_PAUSES_S, None):
            try:
                data, seen = _read(parts, deadline, transport)
                return fetched(data, seen, version)
            except _Again as error:
                left = deadline.left()
                if pause is None:
                    raise DatasetError(f"{parts.hostname}: {error}, three times") from None
                time.sleep(min(pause, left))
    raise AssertionError


def _read(parts: SplitResult, deadline: Deadline, transport: httpx.BaseTransport | None) -> tuple[bytes, str]:
    try:
        address = at_address(parts, resolve(parts, private=False))
    except NotResolved:
        raise _Again("its name cannot be resolved") from None
    except NotReachable as error:
        raise DatasetError(str(error)) from None
    headers = {"Host": parts.netloc, "User-Agent": "gfi", "Accept-Encoding": "identity"}
    extensions = _named(parts) | {"trace": deadline.trace}
    step_s = min(_STEP_S, deadline.left())
    client = httpx.Client(trust_env=False, timeout=step_s, follow_redirects=False, transport=transport)
    try:
        with client, client.stream("GET", address, headers=headers, extensions=extensions) as answer:
            if answer.status_code in (429, 500, 502, 503, 504):
                raise _Again(f"it answered {answer.status_code}")
            if answer.is_redirect:
                raise DatasetError(f"{parts.hostname} answered with a redirect, which is not followed")
            if answer.status_code != 200:
                raise DatasetError(f"{parts.hostname} answered {answer.status_code}")
            encoding = answer.headers.get("content-encoding", "identity")
            if encoding.lower() != "identity":
                raise DatasetError(f"{parts.hostname} answered in the encoding {encoding[:40]!r}, unasked")
            data = bytearray()
            for piece in answer.iter_bytes():  # as they arrive: pieces of one size would be waited for
                data += piece
                if len(data) > MAX_BYTES:
                    raise DatasetError(f"more than {MAX_BYTES // 2**20} MiB; no photograph is larger")
                deadline.left()
            deadline.left()  # a connection that was shut down may read as the end of the data
            etag = answer.headers.get("etag", "").removeprefix("W/").strip('"')
            seen = (etag or answer.headers.get("last-modified", ""))[:200]
            return bytes(data), seen or hashlib.sha256(data).hexdigest()
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise _Again(type(error).__name__) from None


def _named(parts: SplitResult) -> dict[str, Any]:
    """The certificate is checked for the name, not for the address."""
    return {"sni_hostname": parts.hostname or ""}
