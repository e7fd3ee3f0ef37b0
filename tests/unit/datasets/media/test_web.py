"""Photographs at https:// addresses: which are read, and which are refused before or after an answer."""

import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from gfi.datasets.errors import DatasetError
from gfi.datasets.media import web
from gfi.datasets.sources import open_source
from gfi.store.settings import Settings

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


def test_a_manifest_lists_addresses_beside_files(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"key,label\n{URL},cat\na.jpg,dog\n")
    source = open_source(str(tmp_path / "list.csv"), Settings(dataset_hosts=HOSTS))
    assert [(one.key, one.label) for one in source.list()] == [(URL, "cat"), ("a.jpg", "dog")]
