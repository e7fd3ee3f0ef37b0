"""The photographs of an audit."""

from typing import Any, Never

import pytest

from gfi.datasets.errors import DatasetError, Unavailable
from gfi.jobs.audits import screen
from gfi.jobs.audits.screen import views_of
from gfi.store.settings import Settings

UNUSED: Any = None


class AnyJob:
    """A job whose dataset has a name."""

    def __getattr__(self, name: str) -> Any:
        return self

    model: Any = None


def opening(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Any:
    """views_of, where the dataset cannot be opened."""

    def fail(*_: object) -> Never:
        raise error

    monkeypatch.setattr(screen, "open_source", fail)
    job: Any = AnyJob()
    return views_of(Settings(), job, UNUSED, UNUSED, lambda: None)


def test_a_dataset_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert opening(monkeypatch, DatasetError("/photographs is gone")) == (None, "/photographs is gone")


def test_a_store_that_is_away_for_a_moment_ends_no_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The audit ended without a test: its task would have been tried again."""
    with pytest.raises(Unavailable):
        opening(monkeypatch, Unavailable("cannot read s3://photographs now"))
