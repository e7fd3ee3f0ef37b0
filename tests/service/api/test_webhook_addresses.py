"""The addresses of webhooks that are accepted."""

import pytest

from gfi.api import webhook_addresses
from tests.service.api.conftest import webhook_settings


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
    with pytest.raises(webhook_addresses.Refused):
        webhook_addresses.check(url, webhook_settings())
