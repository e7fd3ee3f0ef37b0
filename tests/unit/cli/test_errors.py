"""Every expected error becomes one line that says what to do; an unexpected one is a bug."""

import errno

import pytest

from gfi.cli.errors import CommandError, error_line
from gfi.cli.main import EXIT_BUG, EXIT_USER, gfi, main
from gfi.client import ApiError
from gfi.datasets.errors import DatasetError
from gfi.domain.errors import MethodError
from gfi.store.errors import StoreError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (CommandError("write it so"), "write it so"),
        (DatasetError("no images"), "no images"),
        (MethodError("no such layer"), "no such layer"),
        (StoreError("no job x"), "no job x"),
        (ApiError(403, {"detail": "not allowed", "advice": "Ask."}), "not allowed — Ask."),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "x.jpg"),
            "x.jpg: No such file or directory",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "No space left on device: free some space on the disk",
        ),
        (ModuleNotFoundError(name="torch"), 'pip install "gfi[method]"'),
        (ModuleNotFoundError(name="celery.bin"), 'pip install "gfi[service]"; or set GFI_API_URL'),
        (ModuleNotFoundError(name="psycopg"), 'pip install "gfi[postgres]"'),
    ],
)
def test_an_expected_error_is_one_line(error: Exception, line: str) -> None:
    assert line in (error_line(error) or "")


@pytest.mark.parametrize("error", [ValueError("x"), ModuleNotFoundError(name="gfi.nothing"), OSError("x")])
def test_an_unexpected_error_is_none(error: Exception) -> None:
    assert error_line(error) is None


@pytest.mark.parametrize(("error", "status"), [(CommandError("so"), EXIT_USER), (ValueError("so"), EXIT_BUG)])
def test_the_exit_status_tells_a_mistake_from_a_bug(
    error: Exception, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.delenv("GFI_DEBUG", raising=False)
    monkeypatch.setattr(gfi, "main", fail)
    with pytest.raises(SystemExit) as end:
        main(["jobs"])
    assert end.value.code == status
    assert "so" in capsys.readouterr().err
    with pytest.raises(type(error)):
        main(["--debug", "jobs"])
