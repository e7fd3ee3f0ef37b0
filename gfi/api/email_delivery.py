"""E-mails: when a job has ended, and what followed it, a message is sent through the operator's mail server.

GFI_SMTP_HOST, _PORT, _USER, _PASSWORD, _FROM set the server, GFI_SMTP_TLS how it is reached: `starttls` (default, port
587), `implicit` (port 465) or `none`, which sends passwords and messages in the clear. Certificates are verified;
`GFI_SMTP_CA` names a file of further authorities. Addresses must be of a domain in GFI_SMTP_DOMAINS, so that nobody
sends e-mails to strangers through this service.
"""

import smtplib
import ssl
from collections.abc import Callable, Mapping
from email.message import EmailMessage

from gfi.api.config import ApiSettings
from gfi.domain.digests import JSON
from gfi.jobs.notify_addresses import check_email
from gfi.jobs.submit import Invalid

TIMEOUT_S = 10.0
"""Seconds for each step of the conversation with the mail server."""
LONGEST_S = 30 * TIMEOUT_S
"""Seconds for all of it: addresses, greeting, TLS, a few ways to sign in, sender, receiver, text and farewell are some
20 steps."""
_PORTS = {"starttls": 587, "implicit": 465, "none": 25}


class Unsent(Exception):
    """The e-mail was not accepted; str() says why."""


def message_of(message: JSON, job: JSON, address: str, sender: str) -> EmailMessage:
    """The e-mail for a message of the outbox. job: {name, state, error, total}, empty for a firing without a job."""
    mail = EmailMessage()
    subject, lines = _TEXTS[message["kind"]](message["payload"], job)
    mail["Subject"] = f"gfi: {_one_line(subject)}"[:200]
    mail["From"], mail["To"] = sender, address
    mail["Message-ID"] = f"<{message['id']}@gfi>"  # the same in every attempt
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n".join(_one_line(line) for line in lines) + "\n")
    return mail


def _ended(payload: JSON, job: JSON) -> tuple[str, list[str]]:
    name = str(job.get("name") or payload["job"])
    lines = [f"Job {payload['job']} {name} is {payload['state']}."]
    if job.get("total") is not None:
        lines.append(f"Images: {job['total']}")
    if job.get("error"):
        lines.append(f"Reason: {job['error']}")
    return f"{name} {payload['state']}", lines


def _followed(payload: JSON, job: JSON) -> tuple[str, list[str]]:
    said = f"gate {payload['verdict']}" if payload["verdict"] else "compared"
    job_line = f"Job {payload['job']} of schedule {payload['schedule']} is {job.get('state')}."
    return f"{payload['schedule']}: {said}", [job_line, *payload["sentences"]]


def _without_job(payload: JSON, word: str) -> tuple[str, list[str]]:
    line = (
        f"The firing of schedule {payload['schedule']} due {payload['due']} was {word}: no job was submitted."
    )
    return f"{payload['schedule']}: firing {word}", [line, f"Reason: {payload['reason']}"]


_TEXTS: Mapping[str, Callable[[JSON, JSON], tuple[str, list[str]]]] = {
    "job.finished": _ended,
    "job.followed": _followed,
    "firing.held": lambda payload, job: _without_job(payload, "held"),
    "firing.missed": lambda payload, job: _without_job(payload, "missed"),
}
"""The subject and the lines of a message, by its kind."""


def _one_line(text: str) -> str:
    return " ".join(str(text).split())


def send_email(message: JSON, job: JSON, address: str, api: ApiSettings) -> None:
    """Send one message. Raises Unsent unless the server accepts it."""
    try:
        check_email(address, api)
    except Invalid as error:
        raise Unsent(str(error)) from None
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
