"""Two proxies that cause faults on purpose, one for any TCP protocol and one for S3's HTTP.

Each runs in its own thread and can be controlled from any thread. The S3 proxy forwards the Host header unchanged,
because it is part of the signature, and closes every connection after one answer, so that a fault affects exactly one
request.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping

CHUNK = 1 << 16
_PATIENCE_S = 120.0


class _Proxy:
    """A listener with its own event loop."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{port}", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._guarded, host, port), self._loop
        ).result()

    async def _guarded(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(
                OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError
            ):
                await self.serve(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection."""
        raise NotImplementedError

    def cut(self) -> None:
        """Reset every open connection; new ones are accepted."""
        self._loop.call_soon_threadsafe(lambda: [_reset(writer) for writer in list(self._writers)])

    def stop(self) -> None:
        """Close everything."""

        def end() -> None:
            self._server.close()
            for writer in list(self._writers):
                _reset(writer)
            self._loop.call_later(0.05, self._loop.stop)

        self._loop.call_soon_threadsafe(end)
        self._thread.join(5)


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of FIN: the other side sees a broken connection, not an end."""
    with contextlib.suppress(OSError):
        raw = writer.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class TcpProxy(_Proxy):
    """To a Unix socket, or a port of this machine.

    `black_hole`: accept all data and forward none. `delay_s`: forward all data after this delay.
    """

    def __init__(self, port: int, target: Callable[[], str | int], host: str = "127.0.0.1") -> None:
        self._target = target
        self.black_hole = False
        self.delay_s = 0.0
        super().__init__(port, host)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Both directions, until one ends."""
        target = self._target()
        there_reader, there_writer = await (
            asyncio.open_connection("127.0.0.1", target)
            if isinstance(target, int)
            else asyncio.open_unix_connection(target)
        )
        self._writers.add(there_writer)
        try:
            pumps = [
                asyncio.create_task(self._pump(reader, there_writer)),
                asyncio.create_task(self._pump(there_reader, writer)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
        finally:
            self._writers.discard(there_writer)
            there_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(CHUNK):
                await asyncio.sleep(self.delay_s)
                while self.black_hole:
                    await asyncio.sleep(0.05)
                writer.write(piece)
                await writer.drain()


_ANSWERS = {
    "500": (500, "InternalError", "We encountered an internal error. Please try again."),
    "503": (503, "SlowDown", "Please reduce your request rate."),
    "full": (507, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold."),
}
FAULTS = (*_ANSWERS, "reset", "reset after", "truncate", "corrupt", "corrupt answer", "slow")
"""500, 503 SlowDown, a full disk; a reset before the request is read and one after it was carried out; an upload that
ends half-way; a byte changed in what is uploaded and in what is downloaded; half a second's delay."""


class S3Proxy(_Proxy):
    """Between boto3 and the S3 server. `faults`: the probability of each of FAULTS for a request; `seen` counts
    them."""

    def __init__(self, port: int, target: int) -> None:
        self._target = target
        self.faults: Mapping[str, float] = {}
        self.seen: Counter[str] = Counter()
        self.dice = random.Random(0)
        super().__init__(port)

    def _fault(self, method: str, has_body: bool) -> str | None:
        roll = self.dice.random()
        for fault, chance in self.faults.items():
            fits = {"truncate": has_body, "corrupt": has_body, "corrupt answer": method == "GET"}
            if roll < chance:
                return fault if fits.get(fault, True) else None
            roll -= chance
        return None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer."""
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {
            k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)
        }
        method, length = lines[0].split(" ", 1)[0], int(headers.get("content-length", 0))
        fault = self._fault(method, length > 0)
        self.seen[fault or "none"] += 1
        if fault == "reset":
            _reset(writer)
            return
        if "100-continue" in headers.get("expect", ""):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await writer.drain()
        body = await asyncio.wait_for(reader.readexactly(length), _PATIENCE_S) if length else b""
        if fault in _ANSWERS:
            writer.write(_answer(*_ANSWERS[fault]))
            await writer.drain()
            return
        if fault == "slow":
            await asyncio.sleep(0.5)
        if fault == "corrupt":
            body = _damaged(body)
        kept = [line for line in lines[:-2] if not line.lower().startswith(("connection:", "expect:"))]
        forwarded = "\r\n".join([*kept, "Connection: close", "", ""]).encode("latin-1")
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(there_writer)
        try:
            half = len(body) // 2
            there_writer.write(forwarded + (body[:half] if fault == "truncate" else body))
            await there_writer.drain()
            if fault == "truncate":
                _reset(there_writer)
                _reset(writer)
                return
            answer = b""
            while piece := await asyncio.wait_for(there_reader.read(CHUNK), _PATIENCE_S):
                answer += piece
            if fault == "reset after":
                _reset(writer)
                return
            if fault == "corrupt answer":
                top, gap, rest = answer.partition(b"\r\n\r\n")
                answer = top + gap + _damaged(rest)
            writer.write(answer)
            await writer.drain()
        finally:
            self._writers.discard(there_writer)
            there_writer.close()


def _damaged(body: bytes) -> bytes:
    if not body:
        return body
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 0x40]) + body[middle + 1 :]


def _answer(status: int, code: str, message: str) -> bytes:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return (
        f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\n\r\n{body}"
    ).encode()
