"""Faulty answers of an S3 server: each becomes the right kind of error."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr

from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.media.s3 import Objects
from gfi.store import s3_client
from gfi.store.errors import Transient
from gfi.store.settings import Settings


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Objects]]:
    """answering(status, body, length) is a source on a server that always answers so; .asked counts."""
    servers = []
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # botocore's back-off
    s3_client._client.cache_clear()

    def start(status: int, body: bytes = b"", length: int | None = None, **headers: str) -> Objects:
        class Answer(BaseHTTPRequestHandler):
            asked = 0

            def do_GET(self) -> None:
                Answer.asked += 1
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.send_header("ETag", '"e"')
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        settings = Settings(
            dataset_s3_endpoint=f"http://127.0.0.1:{server.server_port}",
            dataset_s3_access_key="a",
            dataset_s3_secret_key=SecretStr("very-secret"),
            s3_addressing="path",
        )
        source = Objects("s3://bucket", settings, labelled=False)
        source.answer = Answer  # type: ignore[attr-defined]
        return source

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
    s3_client._client.cache_clear()


def error_xml(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>very long\nstory</Message></Error>".encode()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "InternalError"),
        (503, "SlowDown"),
        (503, "ServiceUnavailable"),
        (429, "TooManyRequests"),
        (400, "RequestTimeout"),
        (502, "BadGateway"),
        (403, "RequestTimeTooSkewed"),
    ],
)
def test_a_server_in_trouble_is_transient(answering, status, code):
    source = answering(status, error_xml(code))
    with pytest.raises(Unavailable) as caught:
        source.fetch("1.jpg", "e")
    assert isinstance(caught.value, Transient)
    assert isinstance(caught.value, DatasetError)
    with pytest.raises(Unavailable):
        list(source.list())


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, "NoSuchKey"),
        (404, "NoSuchBucket"),
        (403, "AccessDenied"),
        (403, "InvalidObjectState"),
        (400, "Odd"),
    ],
)
def test_a_refusal_is_final(answering, status, code):
    source = answering(status, error_xml(code))
    with pytest.raises(DatasetError) as caught:
        source.fetch("1.jpg")
    assert not isinstance(caught.value, Transient)
    assert "\n" not in str(caught.value)
    assert "very-secret" not in str(caught.value)


def test_a_body_that_breaks_off_is_read_again_and_never_taken_for_whole(answering):
    source = answering(200, b"half", length=100)
    with pytest.raises(Unavailable):
        source.fetch("1.jpg")
    assert source.answer.asked >= 3


def test_an_object_of_gigabytes_is_not_read(answering):
    source = answering(200, b"x", length=2**34)
    with pytest.raises(DatasetError, match="limit"):
        source.fetch("1.jpg")
    assert source.answer.asked == 1


def test_an_answer_that_is_no_listing_is_an_error(answering):
    for body in (b"", b"<html>hello</html>", b"<ListBucketResult>", b"\xff" * 50):
        with pytest.raises(DatasetError):
            list(answering(200, body).list())


def test_an_object_that_changes_at_every_look_is_tried_again_later(answering):
    source = answering(412, error_xml("PreconditionFailed"))
    with pytest.raises(DatasetError):
        source.fetch("1.jpg", "e")
