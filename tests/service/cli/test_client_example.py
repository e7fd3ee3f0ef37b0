"""The example in the client's documentation runs."""

import doctest
import json
from pathlib import Path

import pytest

import gfi.client
from gfi import samples
from tests.service.cli.conftest import Gfi


def test_the_example_of_the_client_runs(stack: Gfi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = next(samples.path().glob("*.jpg"))
    (tmp_path / photo.name).write_bytes(photo.read_bytes())
    address = json.loads((stack.home / "stack.json").read_text())["api_url"]
    monkeypatch.setenv("GFI_API_URL", address)
    monkeypatch.setenv("GFI_TOKEN", stack.json("tokens", "create", "example", "--scope", "submit")["token"])
    text = gfi.client.__doc__ or ""
    for written, run in (
        ("/data/photographs", str(tmp_path)),
        ("efficientnet-lite0", "tiny"),
        (
            '["deletion"]',
            '["deletion"], preset="paper", overrides={"steps_inversion": 1, "steps_class": 2}',
        ),  # sooner
        ("(224, 224)", "(96, 96)"),
    ):
        assert written in text
        text = text.replace(written, run)
    example = doctest.DocTestParser().get_doctest(text, {}, "gfi.client", None, 0)
    assert len(example.examples) >= 5
    report: list[str] = []
    doctest.DocTestRunner().run(example, out=report.append)
    assert report == []
