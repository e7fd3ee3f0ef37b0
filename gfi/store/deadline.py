"""The end of a request to a host that users name.

    with Deadline(host, 40.0, DatasetError) as deadline:
        client.stream(..., extensions={"trace": deadline.trace})

A timeout of a socket is of one call, and a host that sends a byte before each lets none of them run out.
"""

import contextlib
import socket
import time
from collections.abc import Mapping
from threading import Timer
from types import TracebackType
from typing import Any, Self

_CONNECTED = ("connection.connect_tcp.complete", "connection.start_tls.complete")
_now = time.monotonic


class Deadline:
    """Shuts the connection of a request of httpx down when `whole_s` seconds are over. late: the error of `left`."""

    def __init__(self, host: str, whole_s: float, late: type[Exception]) -> None:
        self._late = late(f"{host} took longer than {whole_s:g} s")
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
        """Seconds, more than 0. Raises the error that was given when none is left."""
        left = self._ends - _now()
        if self._passed or left <= 0:
            raise self._late
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
