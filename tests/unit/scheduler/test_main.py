"""The interval of the scheduler's ticks."""

from pathlib import Path

import pytest

from gfi.store.settings import Settings
from scheduler import __main__ as program


@pytest.mark.parametrize(("arguments", "pause_s"), [([], 3.5), (["--interval", "0.25"], 0.25)])
def test_the_pause_between_two_ticks_is_the_option_or_gfi_poll_s(
    arguments: list[str], pause_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {
        "GFI_HOME": str(tmp_path),
        "GFI_DATABASE_URL": f"sqlite:///{tmp_path}/ledger.db",
        "GFI_REDIS_URL": "redis://127.0.0.1:1",
        "GFI_S3_BUCKET": "bucket",
        "GFI_POLL_S": "3.5",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["scheduler", *arguments])
    calls: list[float] = []

    def run(settings: Settings, pause_s: float) -> None:
        calls.append(pause_s)

    monkeypatch.setattr(program, "run", run)
    program.main()
    assert calls == [pause_s]
