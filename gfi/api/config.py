"""The operator's settings of the API: `GFI_API_<FIELD>` in the environment (webhooks: `GFI_WEBHOOK_<FIELD>`)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, SecretStr

from gfi.jobs.notify_addresses import NotifySettings

MiB = 2**20
_Count = Annotated[int, Field(gt=0)]


class ApiSettings(NotifySettings):
    """The settings of one API process, and whom it may tell. The `limits` of a token can lower its share of them, never
    raise it."""

    prefix: ClassVar[str] = "GFI_API_"

    max_body: _Count = MiB
    """Bytes of a request's body; uploads have a limit of their own."""
    max_upload: _Count = 64 * MiB
    """Bytes of one upload, all of its images together."""
    max_upload_images: _Count = 32
    upload_hours: Annotated[float, Field(gt=0)] = 24.0
    """Hours for which uploaded photographs are kept."""
    requests_per_minute: _Count = 6000
    """Per token, over all processes. A gallery that is scrolled quickly requests about a thousand small pictures per
    minute."""
    max_streams: _Count = 500
    """The largest number of open progress streams of each process."""
    cache: _Count = 128 * MiB
    """Bytes of drawn pictures that each process keeps in memory."""
    listing_mib: _Count = 1024
    """MiB of memory of the process that reads a listing for a preview or an estimate."""
    listing_s: Annotated[float, Field(gt=0)] = 30.0
    """Seconds that it may take."""
    session_hours: Annotated[float, Field(gt=0)] = 12.0
    """How long a browser stays signed in through a one-time link."""
    secure_cookies: bool = False
    """Set this behind TLS: browsers then never send the session cookie over plain HTTP."""

    smtp_port: Annotated[int, Field(gt=0, lt=65_536)] | None = Field(None, validation_alias="GFI_SMTP_PORT")
    """By default 587 for starttls, 465 for implicit TLS, 25 without."""
    smtp_tls: Literal["starttls", "implicit", "none"] = Field("starttls", validation_alias="GFI_SMTP_TLS")
    """How the server is reached; `none` sends everything in the clear."""
    smtp_ca: str | None = Field(None, validation_alias="GFI_SMTP_CA")
    """A file of certificate authorities that are trusted in addition to those of the system."""
    smtp_user: str | None = Field(None, validation_alias="GFI_SMTP_USER")
    """Who signs in to it; without one nobody does."""
    smtp_password: SecretStr | None = Field(None, validation_alias="GFI_SMTP_PASSWORD")
    """The password of that user."""
