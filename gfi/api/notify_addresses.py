"""The addresses that a job may notify, checked before it is submitted."""

from gfi.api import email_delivery, webhook_addresses
from gfi.api.config import ApiSettings
from gfi.domain.job import JobOptions


def check_addresses(options: JobOptions, api: ApiSettings) -> None:
    """Refused with 422 unless the webhook and the e-mail of these options, if any, are allowed."""
    if options.webhook is not None:
        webhook_addresses.check(options.webhook, api)
    if options.email is not None:
        email_delivery.check_email(options.email, api)
