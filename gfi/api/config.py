"""What an operator may set for the API, each `GFI_API_<FIELD>` in the environment (webhooks: `GFI_WEBHOOK_<FIELD>`)."""

import os
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from gfi.store.settings import Environment, Explicit, checked

MiB = 2**20
_Count = Annotated[int, Field(gt=0)]


class ApiSettings(Explicit):
    """A token's own `limits` may only narrow these."""

    model_config = SettingsConfigDict(
        frozen=True, env_prefix="GFI_API_", env_ignore_empty=True, populate_by_name=True
    )

    max_body: _Count = MiB
    """Bytes of a request, uploads apart."""
    max_upload: _Count = 64 * MiB
    """Bytes of one upload, all its images together."""
    max_upload_images: _Count = 32
    upload_hours: Annotated[float, Field(gt=0)] = 24.0
    """How long uploaded photographs are kept."""
    requests_per_minute: _Count = 6000
    """Per token, over all processes. A gallery scrolled quickly asks for some thousand small pictures a minute."""
    max_streams: _Count = 500
    """Open progress streams, for each process."""
    cache: _Count = 128 * MiB
    """Bytes of drawn pictures kept in memory, by each process."""
    session_hours: Annotated[float, Field(gt=0)] = 12.0
    """How long a browser stays signed in through a one-time link."""
    secure_cookies: bool = False
    """Set behind TLS: the browser then never sends the session over plain HTTP."""

    webhook_hosts: Annotated[tuple[str, ...], NoDecode] = Field((), validation_alias="GFI_WEBHOOK_HOSTS")
    """Hosts that may be told of finished jobs, comma-separated; `*.example.org` takes its subdomains."""
    webhook_secret: SecretStr | None = Field(None, validation_alias="GFI_WEBHOOK_SECRET")
    """Key of the HMAC that signs each message; without it there are no webhooks."""
    webhook_private: bool = Field(False, validation_alias="GFI_WEBHOOK_PRIVATE")
    """Allow addresses that are not public, and plain http."""

    @field_validator("webhook_hosts", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip().lower() for part in value.split(",") if part.strip())
        return value

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Self:
        """From the environment. StoreError names a variable whose value does not parse."""
        return checked(cls, Environment(cls, os.environ if environ is None else environ)())
