"""The digest of a model changes with everything that decides its answer, and with nothing else."""

import gc
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gfi.domain.errors import MethodError
from gfi.method.classifiers import load
from gfi.method.model_digest import scheme_2
from gfi.method.registration import describe
from tests.unit.method.written_models import GOOD, write


class Own(nn.Module):
    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)
        nn.init.zeros_(self.inner.weight)
        nn.init.zeros_(self.inner.bias)
        self.register_buffer("mean", torch.zeros(2), persistent=False)
        for name, value in attributes.items():
            setattr(self, name, value)


class Plain:
    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


def digest(**attributes: Any) -> str:
    return scheme_2(Own(**attributes), {})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"mean": torch.zeros(2)}, {"mean": torch.ones(2)}),
        ({"table": [torch.zeros(2)]}, {"table": [torch.ones(2)]}),
        ({"table": {"a": (torch.zeros(2),)}}, {"table": {"a": (torch.ones(2),)}}),
        ({"hidden": [nn.Linear(2, 2)]}, {"hidden": [nn.Linear(2, 2)]}),
        ({"held": Plain(scale=1.0)}, {"held": Plain(scale=2.0)}),
        ({"scale": 1}, {"scale": 2}),
        ({"scale": 1}, {"scale": True}),
        ({"scale": 1}, {"factor": 1}),
        ({"kind": "max"}, {"kind": "mean"}),
        ({"flip": False}, {"flip": True}),
        ({"order": (0, 1)}, {"order": (1, 0)}),
        ({"act": torch.relu}, {"act": torch.sigmoid}),
        ({"inner": nn.Identity()}, {"inner": nn.ReLU()}),
        ({"mean": torch.zeros(2)}, {"mean": torch.zeros(2, dtype=torch.float64)}),
        ({"mean": torch.zeros(2, 1)}, {"mean": torch.zeros(1, 2)}),
    ],
)
def test_what_is_found_on_a_module_decides(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert digest(**one) != digest(**other)
    assert digest(**one) == digest(**one)
    assert len(digest(**one)) == 64


def test_a_tensor_put_on_one_of_torchs_own_modules_decides_and_its_internals_do_not() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 1))
    before = scheme_2(net, {})
    net[0]._reversed_padding_repeated_twice = [9, 9, 9, 9]  # type: ignore[assignment]
    assert scheme_2(net, {}) == before
    net[0].scale = torch.ones(1)  # type: ignore[assignment]
    assert scheme_2(net, {}) != before


def test_loggers_cycles_and_hooks_do_no_harm() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    one = digest(log=logging.getLogger("x"), cycle=cycle)
    logging.getLogger("another")
    module = Own(log=logging.getLogger("x"), cycle=cycle)
    module.parent = [module]  # type: ignore[assignment]
    assert len(scheme_2(module, {})) == 64
    handle = Own().register_forward_hook(lambda *_: None)
    assert digest(log=logging.getLogger("x"), cycle=cycle) == one
    assert digest(handle=handle) == digest(handle=Own().register_forward_hook(lambda *_: None))


FORWARD = """
import torch
from torch import nn
from blocks import FACTOR

class Net(nn.Sequential):
    def forward(self, x):
        return FACTOR * super().forward(x)

def build(classes=4):
    return Net(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(),
               nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))
"""


def test_code_arguments_output_and_preprocessing_of_a_model_file_decide(tmp_path: Path) -> None:
    def found(code: str = FORWARD, factor: str = "1.0", text: str = GOOD) -> tuple[str, str]:
        write(tmp_path, text)
        (tmp_path / "net.py").write_text(code)
        (tmp_path / "blocks.py").write_text(f"FACTOR = {factor}")
        classifier = load("mine", tmp_path)
        return classifier.digest, classifier.earlier_digest

    first, earlier = found()
    assert found() == (first, earlier)
    # The earlier scheme saw no code: that is why there is another one.
    changed = [found(FORWARD.replace("FACTOR *", "2 * FACTOR *")), found(factor="2.0")]
    assert [scheme for _, scheme in changed] == [earlier] * 2
    changed += [
        found(text='output = "sigmoid"\n' + GOOD),
        found(text=GOOD + "mean = 0.4"),
        found(text=GOOD.replace("[input]", "[arguments]\nclasses = 5\n[input]")),
    ]
    assert len({first, *(digest for digest, _ in changed)}) == 6


def test_a_job_of_the_earlier_scheme_is_answered_under_its_own_name(tmp_path: Path) -> None:
    classifier = load(write(tmp_path, GOOD), tmp_path)
    known = classifier.known_as(classifier.earlier_digest)
    assert known is not None
    assert known.digest == classifier.earlier_digest
    assert known.module is classifier.module
    assert classifier.known_as(classifier.digest) is classifier
    assert classifier.known_as("0" * 64) is None


def test_a_network_that_differs_from_load_to_load_is_not_registered(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    code = (tmp_path / "net.py").read_text()
    (tmp_path / "net.py").write_text(
        code.replace("return nn.Sequential(", "import time, secrets\n    net = nn.Sequential(")
        + "    net[0].bias.data += secrets.randbelow(2**20) / 2**20\n    return net\n"
    )
    with pytest.raises(MethodError, match="mine: the network differs from load to load"):
        describe("mine", tmp_path)


def test_the_modules_of_a_network_end_with_it(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    before = {name for name in sys.modules if name.startswith("gfi_model_code")}
    classifier = load("mine", tmp_path)
    assert {name for name in sys.modules if name.startswith("gfi_model_code")} > before
    del classifier
    gc.collect()
    assert {name for name in sys.modules if name.startswith("gfi_model_code")} <= before
