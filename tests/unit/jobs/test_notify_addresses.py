"""The addresses that a job may tell."""

import pytest

from gfi.domain.job import JobOptions
from gfi.jobs.notify_addresses import NotifySettings, check_addresses, check_email, check_webhook
from gfi.jobs.submit import Invalid

ALLOWED = NotifySettings.load(
    {
        "GFI_WEBHOOK_HOSTS": "hooks.example.org,*.example.net",
        "GFI_WEBHOOK_SECRET": "s3cret",
        "GFI_SMTP_HOST": "mail.example.org",
        "GFI_SMTP_FROM": "gfi@example.org",
        "GFI_SMTP_DOMAINS": "Example.org, example.net",
    }
)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/",
        "https://evil.org/",
        "https://hooks.example.org@evil.org/",
        "ftp://hooks.example.org",
        "https://hooks.example.org:6379/",
        "https://example.net/",
        "https://evilexample.net/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://hooks.example.org/ HTTP/1.1\r\nX: y",
        "https://169.254.169.254/latest",
        "nonsense",
        "https://hooks.example.org/#x",
        "https://[bad/",
    ],
)
def test_a_webhook_reaches_allow_listed_hosts_only(url: str) -> None:
    with pytest.raises(Invalid):
        check_webhook(url, ALLOWED)


@pytest.mark.parametrize(
    "address",
    ["ann", "ann@", "@example.org", "a b@example.org", "ann@example.org, b@example.org", "a@b\n@c.d"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Invalid, match=r"not valid|not allowed"):
        check_email(address, ALLOWED)


def test_an_operator_allows_addresses_and_without_one_none_is() -> None:
    asked = JobOptions(
        dataset="/photographs", webhook="https://a.example.net/x", email="ann@EXAMPLE.org", model="m"
    )
    check_addresses(asked, ALLOWED)
    for changed in ({"webhook": None}, {"email": None}):
        with pytest.raises(Invalid, match="are not set up: an operator must set GFI_"):
            check_addresses(asked.model_copy(update=changed), NotifySettings())


def test_what_a_stack_writes_for_other_shells_allows_the_same_and_hides_the_secret() -> None:
    written = ALLOWED.model_dump(mode="json")
    assert "s3cret" not in str(written)
    read = NotifySettings.checked(written)
    check_addresses(JobOptions(dataset="/p", webhook="https://a.example.net/", email="ann@example.org"), read)
    with pytest.raises(Invalid, match=r"elsewhere\.net are not allowed; an operator can add"):
        check_email("ann@elsewhere.net", read)
