"""Which addresses a job may tell: hosts of webhooks and domains of e-mails that an operator allowed.

The API and the command line check them here before a job or a schedule is stored, and a delivery once more: what was
allowed may have changed.
"""

import os
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr, field_validator

from gfi.domain.job import JobOptions
from gfi.jobs.submit import Invalid
from gfi.store.public_hosts import allow_list, matches
from gfi.store.settings import FromEnvironment

_ADDRESS = re.compile(r"[A-Za-z0-9._%+=-]{1,64}@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)")


class NotifySettings(FromEnvironment):
    """What an operator set about messages, as far as it says whom they may reach."""

    prefix: ClassVar[str] = "GFI_"

    webhook_hosts: tuple[str, ...] = Field((), validation_alias="GFI_WEBHOOK_HOSTS")
    """Hosts that webhooks may be sent to, comma-separated; `*.example.org` allows its subdomains."""
    webhook_secret: SecretStr | None = Field(None, validation_alias="GFI_WEBHOOK_SECRET")
    """Key of the HMAC that signs each message; without it webhooks are off."""
    webhook_private: bool = Field(False, validation_alias="GFI_WEBHOOK_PRIVATE")
    """Allow webhooks to addresses that are not public, and over plain http."""

    smtp_host: str | None = Field(None, validation_alias="GFI_SMTP_HOST")
    """The mail server; without it e-mails are off."""
    smtp_from: str | None = Field(None, validation_alias="GFI_SMTP_FROM")
    """The sender's address."""
    smtp_domains: tuple[str, ...] = Field((), validation_alias="GFI_SMTP_DOMAINS")
    """Domains whose addresses may be notified, comma-separated."""

    @field_validator("webhook_hosts", "smtp_domains", mode="before")
    @classmethod
    def _hosts(cls, value: Any) -> Any:
        return allow_list(value)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Self:
        """The settings from the environment. StoreError names a variable whose value is not valid."""
        return cls.checked(cls.read(os.environ if environ is None else environ))


def check_addresses(options: JobOptions, settings: NotifySettings) -> None:
    """Raises Invalid unless the webhook and the e-mail of these options, if any, are allowed."""
    if options.webhook is not None:
        check_webhook(options.webhook, settings)
    if options.email is not None:
        check_email(options.email, settings)


def check_webhook(url: str, settings: NotifySettings) -> SplitResult:
    """The parts of the address of a webhook: of an allowed host, over https, without user and fragment. Raises Invalid
    for any other; its host is not resolved yet."""
    if settings.webhook_secret is None or not settings.webhook_hosts:
        raise Invalid(
            "webhooks are not set up: an operator must set GFI_WEBHOOK_HOSTS and GFI_WEBHOOK_SECRET where the API"
            " starts"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Invalid("the webhook is not a valid URL") from None
    schemes = ("https", "http") if settings.webhook_private else ("https",)
    if parts.scheme not in schemes or not host or parts.username or parts.password or parts.fragment:
        raise Invalid(f"a webhook must be {' or '.join(schemes)}://host/path, without a user and a fragment")
    if any(ord(letter) <= 32 or ord(letter) >= 127 for letter in url):
        raise Invalid("the address of a webhook must be ASCII without spaces")
    if port is not None and port not in (80, 443) and not settings.webhook_private:
        raise Invalid("the port of a webhook must be 443")
    if not any(matches(host, allowed) for allowed in settings.webhook_hosts):
        raise Invalid(
            f"webhooks to {host[:200]} are not allowed; an operator can add the host to GFI_WEBHOOK_HOSTS"
        )
    return parts


def check_email(address: str, settings: NotifySettings) -> None:
    """Raises Invalid unless e-mails are set up and may be sent to this address."""
    if not settings.smtp_host or not settings.smtp_from or not settings.smtp_domains:
        raise Invalid(
            "e-mails are not set up: an operator must set GFI_SMTP_HOST, GFI_SMTP_FROM and GFI_SMTP_DOMAINS where the"
            " API starts"
        )
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise Invalid("the e-mail address is not valid; write name@example.org")
    if found[1].lower() not in settings.smtp_domains:
        raise Invalid(
            f"e-mails to {found[1][:200]} are not allowed; an operator can add the domain to GFI_SMTP_DOMAINS"
        )
