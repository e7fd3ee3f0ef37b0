"""Settings of an installation: where its services are, time limits and size limits.

Each field is read from the variable `GFI_<FIELD>` or from the file that `GFI_<FIELD>_FILE` names (a mounted secret),
else from `${GFI_HOME:-./.gfi}/stack.json`, which `gfi up` writes for the embedded stack, else it has its default.
Reading the settings connects to nothing: a command that needs the services calls `require_stack()`, which raises one
line of advice when there are none.

Secrets and URLs (which may contain passwords) never appear in `repr`; `shown()` is the redacted view.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from gfi.domain.costs import Prices
from gfi.store.errors import StoreError
from gfi.store.public_hosts import allow_list

STACK_FILE = "stack.json"
SECRET_FILE_BYTES = 65_536
_Positive = Annotated[float, Field(gt=0)]
_Count = Annotated[int, Field(gt=0)]
_Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class FromEnvironment(BaseModel):
    """Settings whose fields are variables of the environment: `PREFIX_FIELD`, or the alias of the field.

    The constructor takes its arguments and reads nothing.
    """

    # Not pydantic-settings: reading variables is all that we need of it, and importing it takes 8 % of `gfi jobs`.
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    prefix: ClassVar[str]

    @classmethod
    def variables(cls) -> dict[str, str]:
        """The variable of each field."""
        return {
            name: str(field.validation_alias or f"{cls.prefix}{name}".upper())
            for name, field in cls.model_fields.items()
        }

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> dict[str, str]:
        """The values that an environment gives, by field; variables in any case, empty ones count as absent.

        `<VARIABLE>_FILE` names a file that holds the value of `<VARIABLE>`, as Docker and Kubernetes mount secrets.
        StoreError if both are set, or if the file cannot be read.
        """
        given = {name.upper(): value for name, value in environ.items() if value}
        values = {}
        for name, variable in cls.variables().items():
            path = given.get(f"{variable}_FILE")
            if path is not None and variable in given:
                raise StoreError(f"{variable} and {variable}_FILE are both set: keep one")
            if path is not None:
                values[name] = _secret(f"{variable}_FILE", Path(path))
            elif variable in given:
                values[name] = given[variable]
        return values

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> Self:
        """The settings with these values. Raises StoreError, which names the variable whose value is not valid."""
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = str(first["loc"][0])  # of a field, or its alias
            raise StoreError(f"{cls.variables().get(name, name)}: {first['msg']}") from None


class Settings(FromEnvironment):
    """The settings of this installation. Durations are in seconds."""

    prefix = "GFI_"

    home: Path = Path(".gfi")
    """State of the embedded stack: data, logs, `stack.json`."""

    database_url: str | None = Field(default=None, repr=False)
    redis_url: str | None = Field(default=None, repr=False)
    database_password: SecretStr | None = None
    """`load` puts it into `database_url`, so that the URL can be written down and the password mounted as a file."""
    redis_password: SecretStr | None = None
    """Likewise for `redis_url`."""

    s3_endpoint: str | None = None
    """The address of the S3 server; None: AWS."""
    s3_bucket: str | None = None
    s3_region: str = "us-east-1"
    s3_access_key: str | None = Field(default=None, repr=False)
    """None: the credentials that botocore finds (environment, profile, instance role)."""
    s3_secret_key: SecretStr | None = None
    s3_addressing: Literal["auto", "path", "virtual"] = "auto"
    s3_checksums: Literal["when_supported", "when_required"] = "when_supported"
    """`when_required` is for the many S3 stores that refuse the checksums which newer SDKs send by default."""

    dataset_s3_endpoint: str | None = None
    """The store that datasets are read from; None: the one that results are written to."""
    dataset_s3_region: str | None = None
    dataset_s3_access_key: str | None = Field(default=None, repr=False)
    dataset_s3_secret_key: SecretStr | None = None
    dataset_roots: tuple[Path, ...] = ()
    """Directories that datasets may be read from; empty: any (for the machine of a single user)."""
    dataset_buckets: tuple[str, ...] = ()
    """Buckets that datasets may be read from; empty: any that the credentials allow."""
    dataset_hosts: tuple[str, ...] = ()
    """Hosts that `https://` keys of manifests may be read from; `*.example.org` allows subdomains; empty: none."""

    models_dir: Path | None = None
    """Model files that the operator put there by hand, and copies of those that `gfi models add` registered; None:
    `home`/models."""

    models_cache_mib: _Count = 20_480
    """Space in `home`/models-cache for copies of registered models' files, in MiB."""

    lease_s: _Positive = 90.0
    """How long a worker keeps a shard without renewing its lease."""
    alive_file: Path | None = None
    """A file that schedulers and workers touch every few seconds, for the health check of a container."""
    poll_s: _Positive = 0.5
    """Pause between two ticks of the scheduler."""
    stall_s: _Positive = 120.0
    """How long the engine may make no progress before its worker exits."""
    listing_mib: Annotated[int, Field(ge=0)] = 2048
    """Memory that listing the dataset of a job may take, in MiB, in a process of its own. 0: the control worker lists
    it itself, without a limit."""
    registration_s: _Positive = 300.0
    """How long a worker may take to load a model that is registered."""
    registration_mib: _Count = 16_384
    """Memory that loading it may take, in MiB."""
    window: _Count = 64
    """Messages kept in Redis per queue: enough for every worker, but few, because priority is decided at the claim."""
    shard_seconds: _Positive = 60.0
    """The duration for which shards are sized."""
    sweep_every_s: Annotated[float, Field(ge=0)] = 6 * 3600.0
    """How often parts that no worker can commit any more are deleted from the bucket; 0: never."""
    price_device_hour: _Price | None = None
    """US dollars for an hour of one device with its machine; None: estimates show no cost of devices."""
    price_storage: _Price = Prices.storage
    """US dollars for a GB (1e9 bytes) in the bucket for a month."""
    price_put: _Price = Prices.put
    """US dollars for a thousand PUT or LIST requests."""
    price_get: _Price = Prices.get
    """US dollars for a thousand GET requests."""
    max_images_per_job: _Count = 20_000_000
    max_active_jobs: _Count = 10_000

    @field_validator("dataset_roots", mode="before")
    @classmethod
    def _paths(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(Path(part) for part in value.split(os.pathsep) if part)
        return value

    @field_validator("dataset_hosts", mode="before")
    @classmethod
    def _hosts(cls, value: Any) -> Any:
        return allow_list(value)

    @field_validator("dataset_buckets", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Settings from `environ` (default: the environment of the process), else from the file of the embedded stack.

        Raises StoreError, which names the file that cannot be read or the variable whose value is not valid.
        """
        given = cls.read(os.environ if environ is None else environ)
        home = Path(given.get("home", ".gfi"))
        stack = {name: value for name, value in _read_stack(home).items() if name in cls.model_fields}
        values: dict[str, Any] = stack | given | {"home": home}
        for service in ("database", "redis"):
            password = values.get(f"{service}_password")
            if password:
                values[f"{service}_url"] = _with_password(
                    service, values.get(f"{service}_url"), str(password)
                )
        return cls.checked(values)

    def require_stack(self) -> Self:
        """Self, when database, Redis and bucket are all configured; StoreError with advice otherwise."""
        needed = {name: getattr(self, name) for name in ("database_url", "redis_url", "s3_bucket")}
        missing = [f"GFI_{name.upper()}" for name, value in needed.items() if not value]
        if len(missing) == len(needed):
            raise StoreError("nothing is running: gfi up -d")
        if missing:
            raise StoreError(f"not configured: {', '.join(missing)} (or start everything here: gfi up -d)")
        return self

    def require_database(self) -> str:
        """The database URL; StoreError with advice when there is none."""
        if not self.database_url:
            raise StoreError("nothing is running: gfi up -d (or set GFI_DATABASE_URL)")
        return self.database_url

    @property
    def prices(self) -> Prices:
        """What estimates calculate with."""
        return Prices(self.price_device_hour, self.price_storage, self.price_put, self.price_get)

    @property
    def models(self) -> Path:
        """The directory of registered models."""
        return self.models_dir or self.home / "models"

    @property
    def models_cache(self) -> Path:
        """The directory of the copies that workers load models from."""
        return self.home / "models-cache"

    def shown(self) -> dict[str, Any]:
        """Every setting, with passwords and keys replaced: for `gfi doctor` and logs."""
        from gfi.store.database import safe_url

        values = self.model_dump(mode="json")
        for name in ("database_url", "redis_url"):
            values[name] = values[name] and safe_url(values[name])
        for name in ("s3_access_key", "dataset_s3_access_key"):
            values[name] = values[name] and "***"
        return values


def _secret(variable: str, path: Path) -> str:
    """The text of a file with a secret, without the newline at its end."""
    try:
        with path.open() as file:
            text = file.read(SECRET_FILE_BYTES + 1).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{variable}: {path} cannot be read ({type(error).__name__})") from None
    if not text or len(text) > SECRET_FILE_BYTES:
        raise StoreError(f"{variable}: {path} {'is empty' if not text else 'is too long'}")
    return text


def _with_password(service: str, url: str | None, password: str) -> str:
    """The URL of a service with its password. StoreError if it has one already, or no place for one."""
    variable = f"GFI_{service.upper()}_URL"
    parts = urlsplit(url or "")
    if not parts.hostname:
        raise StoreError(f"GFI_{service.upper()}_PASSWORD is set, but {variable} names no server")
    if parts.password is not None:
        raise StoreError(
            f"GFI_{service.upper()}_PASSWORD is set, and {variable} has a password too: keep one"
        )
    server = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username or ''}:{quote(password, safe='')}@{server}").geturl()


def _read_stack(home: Path) -> dict[str, Any]:
    path = home / STACK_FILE
    try:
        loaded = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); gfi down && gfi up -d writes it anew") from None
    if not isinstance(loaded, dict):
        raise StoreError(f"{path} is not a settings file; gfi down && gfi up -d writes it anew")
    return loaded
