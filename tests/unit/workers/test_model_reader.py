"""The output of the process that loads a model."""

from pathlib import Path

import pytest

from gfi.domain.errors import MethodError
from gfi.method import registration
from workers.model_reader import describe


def test_what_cannot_be_loaded_is_one_line_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "vgg99" in describe("torchvision:vgg99@seed:0", tmp_path, 1024)["error"]
    for error, said in (
        (ZeroDivisionError("by zero\nin line 3"), "net: ZeroDivisionError: by zero"),
        (RuntimeError("can't allocate memory: you tried 8 bytes"), "1024 MiB"),
    ):

        def load(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(registration, "load", load)
        answer = describe("net", tmp_path, 1024)["error"]
        assert said in answer
        assert "\n" not in answer

    def wrapped(*_: object) -> None:
        raise MethodError("net.toml: the architecture cannot be built") from MemoryError()

    monkeypatch.setattr(registration, "load", wrapped)
    assert "GFI_REGISTRATION_MIB" in describe("net", tmp_path, 1024)["error"]
