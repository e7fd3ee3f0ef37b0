"""Structured logs."""

import json
from collections.abc import Iterator

import pytest
import structlog

from gfi.store.logs import configure_logs


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_a_line_is_one_json_object_without_the_values_of_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GFI_LOG_FORMAT", "json")
    monkeypatch.setenv("GFI_LOG_LEVEL", "info")
    configure_logs()
    log = structlog.get_logger("test")
    log.info("claimed", job="j1", fence=3, s3_secret_key="hush", API_Token="hush")
    log.debug("not shown at this level")
    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["level"], entry["job"], entry["fence"]) == ("claimed", "info", "j1", 3)
    assert "hush" not in line


def test_text_is_for_people(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GFI_LOG_FORMAT", "text")
    configure_logs()
    structlog.get_logger("test").warning("lease given up", work="shard")
    (line,) = capsys.readouterr().err.splitlines()
    assert "lease given up" in line
    assert not line.startswith("{")
