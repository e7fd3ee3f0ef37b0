"""E-mails: when a job has ended, a message is sent through the operator's mail server.

GFI_SMTP_HOST, _PORT, _USER, _PASSWORD, _FROM set the server, GFI_SMTP_TLS how it is reached: `starttls` (default, port
587), `implicit` (port 465) or `none`, which sends passwords and messages in the clear. Certificates are verified;
`GFI_SMTP_CA` names a file of further authorities. Addresses must be of a domain in GFI_SMTP_DOMAINS, so that nobody
sends e-mails to strangers through this service.
"""

import re
import smtplib
import ssl
from email.message import EmailMessage

from gfi.api.config import ApiSettings
from gfi.api.problems import Refused
from gfi.domain.digests import JSON

TIMEOUT_S = 10.0
_PORTS = {"starttls": 587, "implicit": 465, "none": 25}
_ADDRESS = re.compile(r"[A-Za-z0-9._%+=-]{1,64}@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)")


class Unsent(Exception):
    """The e-mail was not accepted; str() says why."""


def check_email(address: str, api: ApiSettings) -> None:
    """Refused with 422 unless e-mails are set up and may be sent to this address."""
    if not api.smtp_host or not api.smtp_from or not api.smtp_domains:
        raise Refused(
            422,
            "e-mails are not set up",
            "An operator must set GFI_SMTP_HOST, GFI_SMTP_FROM and GFI_SMTP_DOMAINS.",
        )
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise Refused(422, "the e-mail address is not valid; write name@example.org")
    if found[1].lower() not in api.smtp_domains:
        raise Refused(
            422,
            f"e-mails to {found[1][:200]} are not allowed",
            "An operator can add the domain to GFI_SMTP_DOMAINS.",
        )


def message_of(message: JSON, job: JSON, address: str, sender: str) -> EmailMessage:
    """The e-mail for a message of the outbox. job: {name, state, error, total}."""
    mail = EmailMessage()
    payload = message["payload"]
    name = " ".join(str(job.get("name") or payload["job"]).split())
    mail["Subject"] = f"gfi: {name} {payload['state']}"[:200]
    mail["From"], mail["To"] = sender, address
    mail["Message-ID"] = f"<{message['id']}@gfi>"  # the same in every attempt
    mail["Auto-Submitted"] = "auto-generated"
    lines = [f"Job {payload['job']} {name} is {payload['state']}."]
    if job.get("total") is not None:
        lines.append(f"Images: {job['total']}")
    if job.get("error"):
        lines.append(f"Reason: {job['error']}")
    mail.set_content("\n".join(lines) + "\n")
    return mail


def send_email(message: JSON, job: JSON, address: str, api: ApiSettings) -> None:
    """Send one message. Raises Unsent unless the server accepts it."""
    try:
        check_email(address, api)
    except Refused as error:
        raise Unsent(error.detail) from None
    assert api.smtp_host is not None
    assert api.smtp_from is not None
    port = api.smtp_port or _PORTS[api.smtp_tls]
    try:
        tls = ssl.create_default_context()
        if api.smtp_ca is not None:
            tls.load_verify_locations(api.smtp_ca)
        server: smtplib.SMTP = (
            smtplib.SMTP_SSL(api.smtp_host, port, timeout=TIMEOUT_S, context=tls)
            if api.smtp_tls == "implicit"
            else smtplib.SMTP(api.smtp_host, port, timeout=TIMEOUT_S)
        )
        with server:
            if api.smtp_tls == "starttls":
                server.starttls(context=tls)  # raises where the server does not offer it
            if api.smtp_user is not None:
                password = api.smtp_password.get_secret_value() if api.smtp_password is not None else ""
                server.login(api.smtp_user, password)
            server.send_message(message_of(message, job, address, api.smtp_from))
    except (smtplib.SMTPException, OSError) as error:
        # Without the text of the error, which may repeat what was sent.
        code = f" {error.smtp_code}" if isinstance(error, smtplib.SMTPResponseException) else ""
        raise Unsent(f"{api.smtp_host}: {type(error).__name__}{code}") from None
