"""Runs the examples of docs/captum-quantus.md and tests the other promises of `quantus_explain`."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from gfi.domain.errors import MethodError
from gfi.method.explainer import GuidedFeatureInversion
from gfi.method.quantus import quantus_explain
from tests.unit.metrics.conftest import tiny

PAGE = Path(__file__).parents[3] / "docs" / "captum-quantus.md"


def test_every_snippet_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(snippets) == 6
    names: dict = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Quantus' own
        for snippet in snippets:
            exec(compile(snippet, str(PAGE), "exec"), names)
    assert (tmp_path / "mask.png").stat().st_size > 1000
    assert names["masks"].shape == (2, 1, 32, 32)
    curves = np.asarray(names["curves"])
    assert curves.shape == (2, 48)
    assert np.isfinite(curves).all()
    assert np.isfinite(np.asarray(names["correlations"], dtype=float)).all()
    assert float(names["lower_is_better"].min()) >= 0
    assert float(names["higher_is_better"].max()) <= 1


@pytest.fixture
def photographs():
    return np.random.default_rng(0).random((2, 3, 24, 24)).astype(np.float32)


def test_quantus_gets_the_masks_that_attribute_gives(photographs):
    net = tiny(dtype=torch.float32)
    masks = quantus_explain(model=net, inputs=photographs, targets=np.array([1, 2]), layers="4,4")
    direct = GuidedFeatureInversion(net, layers="4,4").attribute(torch.from_numpy(photographs), [1, 2])
    assert masks.dtype == np.float32
    np.testing.assert_array_equal(masks, direct.numpy())


def test_classes_may_be_whole_floats_and_nothing_is_cut_to_one(photographs):
    net = tiny(dtype=torch.float32)
    whole = quantus_explain(net, photographs, np.array([1.0, 2.0]), layers="4,4")
    np.testing.assert_array_equal(whole, quantus_explain(net, photographs, [1, 2], layers="4,4"))
    for wrong in ([1.5, 2.0], [True, False]):
        with pytest.raises(MethodError, match="is not a class: give its number"):
            quantus_explain(net, photographs, np.array(wrong), layers="4,4")


def test_the_weights_of_the_moment_are_explained(photographs):
    net = tiny(dtype=torch.float32)
    before = quantus_explain(net, photographs, 1, layers="4,4")
    net.load_state_dict(tiny(seed=9, dtype=torch.float32).state_dict())
    assert not np.array_equal(before, quantus_explain(net, photographs, 1, layers="4,4"))


def test_arrays_of_float64_and_devices_by_quantus_names_are_taken(photographs):
    net = tiny(dtype=torch.float32)
    masks = quantus_explain(net, photographs.astype(np.float64)[:, :, ::-1], None, device="cpu", layers="4,4")
    assert masks.dtype == np.float32
    assert masks.shape == (2, 1, 24, 24)
