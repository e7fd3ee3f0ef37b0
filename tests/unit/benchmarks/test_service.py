"""The engine of a fixed rate: an explanation for each item, in order, with progress, and it stops when told."""

import threading

import pytest
import torch
from torch import nn

from benchmarks import service
from gfi.domain.errors import Stopped
from gfi.domain.presets import PAPER
from gfi.method.classifiers import from_module
from gfi.method.item import Item
from gfi.method.preprocess import Prepared


@pytest.fixture
def fixed_rate(monkeypatch: pytest.MonkeyPatch) -> service.FixedRateEngine:
    monkeypatch.setattr(service, "RATE", 1e6)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    return service.FixedRateEngine(from_module(net, (32, 32)), PAPER, batch=2)


ITEMS = [Item(i, Prepared(torch.zeros(3, 32, 32), None, (32, 32), (0.0, 0.0, 32.0, 32.0))) for i in (7, 3, 5)]


def test_every_item_is_explained_in_order(fixed_rate: service.FixedRateEngine) -> None:
    progress = []
    explained = list(fixed_rate.explain_many(ITEMS, progress=progress.append))
    assert [e.index for e in explained] == [7, 3, 5]
    assert all(e.grid.shape == service.GRID and e.status == "ok" for e in explained)
    assert len(progress) == 2 * service.STEPS


def test_it_stops_when_told(fixed_rate: service.FixedRateEngine) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        next(fixed_rate.explain_many(ITEMS, stop=stop))
