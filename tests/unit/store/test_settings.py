"""Settings: environment over stack.json over defaults; one line of advice; no secret shown."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import make_url

from gfi.api.config import ApiSettings
from gfi.store.errors import StoreError
from gfi.store.settings import Settings

FULL = {
    "GFI_DATABASE_URL": "postgresql://gfi:hush-db@db/gfi",
    "GFI_REDIS_URL": "rediss://:hush-redis@redis:6379/0",
    "GFI_S3_BUCKET": "results",
    "GFI_S3_ACCESS_KEY": "hush-access",
    "GFI_S3_SECRET_KEY": "hush-secret",
}


def test_nothing_configured_says_how_to_begin(tmp_path: Path) -> None:
    settings = Settings.load({"GFI_HOME": str(tmp_path)})
    with pytest.raises(StoreError, match="nothing is running: gfi up -d"):
        settings.require_stack()
    with pytest.raises(StoreError, match="gfi up -d"):
        settings.require_database()


def test_half_configured_names_what_is_missing(tmp_path: Path) -> None:
    settings = Settings.load({"GFI_HOME": str(tmp_path), "GFI_REDIS_URL": "redis://r"})
    with pytest.raises(StoreError, match="GFI_DATABASE_URL, GFI_S3_BUCKET"):
        settings.require_stack()


def test_the_environment_wins_over_the_stack_file(tmp_path: Path) -> None:
    stack = Settings.load({"GFI_HOME": str(tmp_path), **FULL, "GFI_LEASE_S": "10"})
    record = {name.removeprefix("GFI_").lower(): value for name, value in FULL.items()} | {"lease_s": 10}
    (tmp_path / "stack.json").write_text(json.dumps(record | {"pid": 7, "written_by": "gfi up"}))
    again = Settings.load({"GFI_HOME": str(tmp_path), "GFI_LEASE_S": "3"})
    assert again.lease_s == 3.0
    assert again == stack.model_copy(update={"lease_s": 3.0})


def test_lists_are_read_from_one_variable(tmp_path: Path) -> None:
    settings = Settings.load(
        {"GFI_HOME": str(tmp_path), "GFI_DATASET_ROOTS": "/a:/b c", "GFI_DATASET_BUCKETS": "x, y"}
    )
    assert settings.dataset_roots == (Path("/a"), Path("/b c"))
    assert settings.dataset_buckets == ("x", "y")
    hosts = "*.Example.org, pictures.example.net"
    of_datasets = Settings.load({"GFI_DATASET_HOSTS": hosts}).dataset_hosts
    assert of_datasets == Settings(dataset_hosts=tuple(hosts.split(", "))).dataset_hosts
    assert of_datasets == ("*.example.org", "pictures.example.net")
    assert ApiSettings.load({"GFI_WEBHOOK_HOSTS": hosts}).webhook_hosts == of_datasets


@pytest.mark.parametrize(
    ("name", "value"), [("GFI_LEASE_S", "soon"), ("GFI_LEASE_S", "-1"), ("GFI_S3_ADDRESSING", "maybe")]
)
def test_a_value_that_does_not_parse_is_named_in_one_line(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(StoreError, match=name) as caught:
        Settings.load({"GFI_HOME": str(tmp_path), name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_stack_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "stack.json").write_text(text)
    with pytest.raises(StoreError, match=r"stack\.json"):
        Settings.load({"GFI_HOME": str(tmp_path)})


def test_no_secret_is_ever_shown(tmp_path: Path) -> None:
    settings = Settings.load({"GFI_HOME": str(tmp_path), **FULL})
    for shown in (repr(settings), str(settings), json.dumps(settings.shown(), default=str)):
        assert "hush" not in shown
    assert settings.s3_secret_key is not None
    assert settings.s3_secret_key.get_secret_value() == "hush-secret"


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().lease_s = 1.0  # type: ignore[misc]


def test_secrets_are_read_from_files_and_put_into_the_urls(tmp_path: Path) -> None:
    for name, text in (("db", "p@ss/word:1\n"), ("redis", "r&d"), ("s3", "key\n")):
        (tmp_path / name).write_text(text)
    settings = Settings.load(
        {
            "GFI_HOME": str(tmp_path),
            "GFI_DATABASE_URL": "postgresql+psycopg://gfi@db:5432/gfi?sslmode=verify-full",
            "GFI_DATABASE_PASSWORD_FILE": str(tmp_path / "db"),
            "GFI_REDIS_URL": "rediss://redis:6379/0",
            "GFI_REDIS_PASSWORD_FILE": str(tmp_path / "redis"),
            "GFI_S3_SECRET_KEY_FILE": str(tmp_path / "s3"),
        }
    )
    url = make_url(settings.require_database())
    assert (url.username, url.password, url.host, url.port) == ("gfi", "p@ss/word:1", "db", 5432)
    assert url.query == {"sslmode": "verify-full"}
    assert settings.redis_url == "rediss://:r%26d@redis:6379/0"
    assert settings.s3_secret_key is not None
    assert settings.s3_secret_key.get_secret_value() == "key"
    shown = f"{settings!r} {settings.shown()}"
    assert all(secret not in shown for secret in ("p@ss", "p%40ss", "r%26d", "r&d"))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"GFI_S3_SECRET_KEY_FILE": "absent"}, "GFI_S3_SECRET_KEY_FILE: .*absent cannot be read"),
        ({"GFI_S3_SECRET_KEY_FILE": "empty"}, "GFI_S3_SECRET_KEY_FILE: .*empty is empty"),
        ({"GFI_S3_SECRET_KEY_FILE": "full", "GFI_S3_SECRET_KEY": "x"}, "are both set: keep one"),
        ({"GFI_DATABASE_PASSWORD": "hush"}, "GFI_DATABASE_URL names no server"),
        ({"GFI_DATABASE_PASSWORD": "hush", "GFI_DATABASE_URL": "sqlite:///f.db"}, "names no server"),
        (
            {"GFI_REDIS_PASSWORD": "hush", "GFI_REDIS_URL": "redis://:other@r:1/0"},
            "has a password too: keep one",
        ),
    ],
)
def test_a_secret_that_cannot_be_used_is_said_without_showing_it(
    tmp_path: Path, given: dict[str, str], says: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "full").write_text("hush")
    environ = {
        name: str(tmp_path / value) if name.endswith("_FILE") else value for name, value in given.items()
    }
    with pytest.raises(StoreError, match=says) as caught:
        Settings.load({"GFI_HOME": str(tmp_path), **environ})
    assert "hush" not in str(caught.value)
