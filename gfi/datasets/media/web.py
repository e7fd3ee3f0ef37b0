"""Photographs at `https://` addresses, which keys of manifests may be.

Their hosts are those of `dataset_hosts` (GFI_DATASET_HOSTS); without it none is read. The address must be public, and
redirects are not followed (`gfi.store.public_hosts`). The version is the ETag, else the date of the last change, of the
answer, else the SHA-256 of the data; a listing sends no request and knows none.
"""

import contextlib
import hashlib
import socket
import time
from collections.abc import Mapping, Sequence
from threading import Timer
from types import TracebackType
from typing import Any, Self
from urllib.parse import SplitResult, urlsplit

import httpx

from gfi.datasets.errors import DatasetError
from gfi.datasets.listing import MAX_BYTES, Fetched, fetched
from gfi.store.public_hosts import NotReachable, NotResolved, at_address, matches, resolve

SCHEME = "https://"
WHOLE_S = 40.0
"""The longest that one photograph may take, over all attempts: a third of the time after which a worker has stalled."""
_STEP_S = 15.0
_PAUSES_S = (0.5, 2.0)
_CONNECTED = ("connection.connect_tcp.complete", "connection.start_tls.complete")
_now = time.monotonic


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


class _Deadline:
    """The end of one photograph, at which its connection is shut down.

    A timeout of a socket is of one call, and a host that sends a byte before each lets none of them run out.
    """

    def __init__(self, host: str, whole_s: float) -> None:
        self._late = f"{host} took longer than {whole_s:g} s"
        self._ends = _now() + whole_s
        self._passed = False
        self._socket: socket.socket | None = None
        self._timer = Timer(whole_s, self._shut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()

    def left(self) -> float:
        """Seconds, more than 0. DatasetError when none is left."""
        left = self._ends - _now()
        if self._passed or left <= 0:
            raise DatasetError(self._late)
        return left

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """The extension `trace` of a request, which tells its socket."""
        if event in _CONNECTED:
            self._socket = info["return_value"].get_extra_info("socket")
            if self._passed:
                self._shut()

    def _shut(self) -> None:
        self._passed = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Not the method of an SSLSocket, which removes what the other thread reads from.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


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
    with _Deadline(parts.hostname or "", whole_s) as deadline:
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


def _read(
    parts: SplitResult, deadline: _Deadline, transport: httpx.BaseTransport | None
) -> tuple[bytes, str]:
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
