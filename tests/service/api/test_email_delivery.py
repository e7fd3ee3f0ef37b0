"""E-mails: over TLS, tried again, and only to allowed domains."""

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from fastapi.testclient import TestClient

from gfi.api import create_app, webhook_delivery
from gfi.api.config import ApiSettings
from gfi.api.email_delivery import TIMEOUT_S, Unsent, message_of, send_email
from gfi.cli.servers import free_port
from gfi.store import ledger
from gfi.store.tables import outbox
from tests.service.api.conftest import World

MESSAGE = {"id": "1", "kind": "job.finished", "job_id": "j", "payload": {"job": "j", "state": "partial"}}
JOB = {"name": "night\r\nBcc: all@example.org", "total": 4, "error": "1 of 4 images are error"}


def test_a_gate_and_a_firing_without_a_job_have_texts_of_their_own() -> None:
    payload = {
        "job": "j",
        "schedule": "nightly",
        "verdict": "fail",
        "sentences": ["fail: class husky\r\nX: y"],
    }
    told = message_of({"id": "1", "kind": "job.followed", "payload": payload}, JOB, "a@x", "b@x")
    assert (told["Subject"], "fail: class husky X: y" in told.get_content()) == (
        "gfi: nightly: gate fail",
        True,
    )
    late = {"schedule": "nightly", "due": "2026-11-28T02:00:00+00:00", "reason": "no scheduler"}
    missed = message_of({"id": "1", "kind": "firing.missed", "payload": late}, {}, "a@x", "b@x")
    assert (missed["Subject"], "Reason: no scheduler" in missed.get_content()) == (
        "gfi: nightly: firing missed",
        True,
    )


class Mailbox:
    """Refuses the first message and takes the others."""

    def __init__(self) -> None:
        self.taken: list[tuple[list[str], str]] = []
        self.refusals = 1

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refusals:
            self.refusals -= 1
            return "451 try again later"
        self.taken.append((envelope.rcpt_tos, envelope.content.decode()))
        return "250 taken"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("smtp")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    return key, cert


@pytest.fixture
def server(certificate: tuple[Path, Path]) -> Iterator[Controller]:
    """A mail server that requires STARTTLS and a password."""
    key, cert = certificate
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)

    def sign_in(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"gfi", b"s3cret")
        return AuthResult(success=good)

    made = Controller(
        Mailbox(),
        hostname="127.0.0.1",
        port=free_port(),
        server_hostname="localhost",
        tls_context=tls,
        require_starttls=True,
        authenticator=sign_in,
        auth_required=True,
    )
    made.start()
    yield made
    made.stop()


def variables(server: Controller, cert: Path, **other: str) -> dict[str, str]:
    return {
        "GFI_SMTP_HOST": "localhost",
        "GFI_SMTP_PORT": str(server.port),
        "GFI_SMTP_USER": "gfi",
        "GFI_SMTP_PASSWORD": "s3cret",
        "GFI_SMTP_FROM": "gfi@example.org",
        "GFI_SMTP_DOMAINS": "example.org",
        "GFI_SMTP_CA": str(cert),
        **other,
    }


def test_an_email_is_sent_over_tls_and_tried_again(
    one_world: World, server: Controller, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = one_world.submit(email="ann@example.org")
    assert (refused.status_code, "not set up" in refused.json()["detail"]) == (422, True)
    for name, value in variables(server, certificate[1]).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(webhook_delivery, "deliver_loop", lambda *_: None)
    app = create_app()
    with TestClient(app) as client:
        one_world.client = client
        assert one_world.submit(email="ann@example.com").status_code == 422
        job = one_world.submit(email="ann@example.org", name="night").json()["job"]
        one_world.call("DELETE", f"/v1/jobs/{job['id']}")
        assert webhook_delivery.send_due(app.state.context) == 1
        assert webhook_delivery.send_due(app.state.context) == 0  # it waits for its next attempt
        assert server.handler.taken == []
        with one_world.database.begin() as connection:
            connection.execute(sa.update(outbox).values(not_before=0))
        assert webhook_delivery.send_due(app.state.context) == 1
    ((recipients, text),) = server.handler.taken
    assert recipients == ["ann@example.org"]
    assert "Subject: gfi: night cancelled" in text
    assert job["id"] in text


def test_what_a_name_contains_does_not_become_a_header(
    server: Controller, certificate: tuple[Path, Path]
) -> None:
    server.handler.refusals = 0
    send_email(MESSAGE, JOB, "ann@example.org", ApiSettings.load(variables(server, certificate[1])))
    ((recipients, text),) = server.handler.taken
    assert recipients == ["ann@example.org"]
    assert "\nBcc:" not in text
    assert "Reason: 1 of 4 images are error" in text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"GFI_SMTP_CA": ""}, "SSLCertVerificationError"),
        ({"GFI_SMTP_PASSWORD": "wrong"}, "SMTPAuthenticationError 535|SMTPServerDisconnected"),
        ({"GFI_SMTP_TLS": "implicit"}, "SSLError"),
        ({"GFI_SMTP_PORT": "1"}, "ConnectionRefusedError"),
    ],
)
def test_a_server_that_is_not_the_one_meant_gets_no_message(
    server: Controller, certificate: tuple[Path, Path], change: dict[str, str], reason: str
) -> None:
    settings = ApiSettings.load(
        {name: value for name, value in variables(server, certificate[1], **change).items() if value}
    )
    with pytest.raises(Unsent, match=reason):
        send_email(MESSAGE, JOB, "ann@example.org", settings)
    assert server.handler.taken == []


def test_an_email_is_held_for_longer_than_all_steps_of_sending_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is one of each step, and another process sent the e-mail too after a minute."""
    held: dict[str, float] = {}

    def take(database: object, limit: int, hold_s: float, channel: str) -> list[Any]:
        held[channel] = hold_s
        return []

    monkeypatch.setattr(ledger, "take_outbox", take)
    context: Any = SimpleNamespace(database=None)
    assert webhook_delivery.send_due(context) == 0
    assert held["email"] > 20 * TIMEOUT_S
    assert held["webhook"] > webhook_delivery.WHOLE_S
