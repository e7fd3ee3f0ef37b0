"""Photographs at https:// addresses: which are read, and which are refused before or after an answer."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from gfi.datasets.errors import DatasetError
from gfi.datasets.media import web
from gfi.datasets.sources import open_source
from gfi.store import deadline
from gfi.store.settings import Settings

GETADDRINFO = socket.getaddrinfo
HOSTS = ("*.example.org",)
URL = "https://pictures.example.org/a.jpg?size=1"


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(host: str, *_: object, **__: object) -> list[object]:
        address = "10.0.0.8" if host.startswith("inner") else "93.184.215.14"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    monkeypatch.setattr(web, "_PAUSES_S", (0, 0))


def test_a_photograph_is_read_from_the_checked_address_with_its_version() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if len(asked) == 1:
            return httpx.Response(503)
        return httpx.Response(200, content=b"jpeg", headers={"ETag": 'W/"v1"'})

    got = web.read(URL, "v0", HOSTS, httpx.MockTransport(answer))
    assert (got.data, got.version, got.changed) == (b"jpeg", "v1", True)
    assert str(asked[1].url) == "https://93.184.215.14/a.jpg?size=1"
    assert asked[1].headers["host"] == "pictures.example.org"
    assert asked[1].extensions["sni_hostname"] == "pictures.example.org"


def _fails(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectTimeout("slow")


@pytest.mark.parametrize(
    ("url", "answer", "says"),
    [
        (
            URL,
            lambda _: httpx.Response(302, headers={"Location": "https://inner/"}),
            "redirect, which is not",
        ),
        (URL, lambda _: httpx.Response(404), "pictures.example.org answered 404"),
        (URL, lambda _: httpx.Response(500), "it answered 500, three times"),
        (URL, _fails, "ConnectTimeout, three times"),
        (
            URL,
            lambda _: httpx.Response(200, content=iter([b"x"]), headers={"Content-Encoding": "gzip"}),
            "answered in the encoding 'gzip', unasked",
        ),
        (URL, lambda _: httpx.Response(200, content=b"12345678"), "no photograph is larger"),
        ("https://inner.example.org/a.jpg", _fails, "resolves to 10.0.0.8, which is not public"),
        (
            "https://example.com/a.jpg",
            _fails,
            "not read from example.com; hosts of GFI_DATASET_HOSTS: .*example.org",
        ),
        ("https://ada@pictures.example.org/a.jpg", _fails, "without user, port and fragment"),
        ("https://pictures.example.org:8443/a.jpg", _fails, "without user, port and fragment"),
        ("https://pictures.example.org/ä.jpg", _fails, "ASCII without spaces"),
    ],
)
def test_what_is_not_read_says_why(
    monkeypatch: pytest.MonkeyPatch, url: str, answer: Callable[[httpx.Request], httpx.Response], says: str
) -> None:
    monkeypatch.setattr(web, "MAX_BYTES", 7)
    with pytest.raises(DatasetError, match=says):
        web.read(url, None, HOSTS, httpx.MockTransport(answer))


def test_a_host_that_drips_its_photograph_is_left_at_the_end_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, asked = [0.0], []
    monkeypatch.setattr(deadline, "_now", lambda: clock[0])

    def drips() -> Iterator[bytes]:
        while clock[0] < 1000:
            clock[0] += 14
            yield b"."

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        clock[0] += 14
        return httpx.Response(503) if len(asked) == 1 else httpx.Response(200, content=drips())

    with pytest.raises(DatasetError, match=r"pictures\.example\.org took longer than 40 s"):
        web.read(URL, None, HOSTS, httpx.MockTransport(answer))
    assert (len(asked), clock[0]) == (2, 42)


@pytest.mark.parametrize("sent", [b"HTTP/1.1 200 OK\r\nX-", b"HTTP/1.1 200 OK\r\n\r\nhalf of it"])
def test_a_connection_is_shut_down_at_the_end_of_the_time(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        monkeypatch.setattr(socket, "getaddrinfo", GETADDRINFO)
        monkeypatch.setattr(web, "resolve", lambda *_, **__: "127.0.0.1")
        monkeypatch.setattr(web, "at_address", lambda *_: url)
        ends: list[Callable[[], None]] = []

        def timer(_: float, end: Callable[[], None]) -> Any:
            ends.append(end)
            return SimpleNamespace(start=lambda: None, cancel=lambda: None)

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(sent)
                ends.pop()()
                while connection.recv(65_536):
                    pass

        monkeypatch.setattr(deadline, "Timer", timer)
        host = threading.Thread(target=answer, daemon=True)
        host.start()
        with pytest.raises(DatasetError, match="took longer than 40 s"):
            web.read(URL, None, HOSTS)
        host.join(10)
        assert not host.is_alive(), "the host sees the end of the connection"


def test_a_name_that_is_resolved_at_the_second_attempt_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved, failures = socket.getaddrinfo, [socket.gaierror(socket.EAI_AGAIN, "later")]

    def answer(*where: Any, **how: Any) -> Any:
        if failures:
            raise failures.pop()
        return resolved(*where, **how)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=b"jpeg"))
    assert web.read(URL, None, HOSTS, transport).data == b"jpeg"
    failures += [socket.gaierror(socket.EAI_AGAIN, "later")] * 3
    with pytest.raises(DatasetError, match=r"example\.org: its name cannot be resolved, three times"):
        web.read(URL, None, HOSTS, transport)


def test_without_etag_and_date_the_version_is_that_of_the_data() -> None:
    bodies = iter([b"one", b"one", b"two"])
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=next(bodies)))
    explained = web.read(URL, None, HOSTS, transport)
    assert (explained.version, explained.changed) == (explained.sha256, False)
    again = [web.read(URL, explained.version, HOSTS, transport).changed for _ in range(2)]
    assert again == [False, True]


def test_a_manifest_lists_addresses_beside_files(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"key,label\n{URL},cat\na.jpg,dog\n")
    settings = Settings.load({"GFI_DATASET_HOSTS": "Pictures.Example.org"})
    source = open_source(str(tmp_path / "list.csv"), settings)
    assert [(one.key, one.label) for one in source.list()] == [(URL, "cat"), ("a.jpg", "dog")]
