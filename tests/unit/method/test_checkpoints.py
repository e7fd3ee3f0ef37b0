"""Files of weights as training programs write them: what is found, said and loaded, and the message where it does not
fit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gfi.domain.errors import MethodError
from gfi.method.checkpoints import load_checkpoint, read_checkpoint
from gfi.method.classifiers import load
from tests.unit.method.written_models import GOOD, write


def network(seed: int = 1, classes: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes)
    )


def built(seed: int = 1, classes: int = 4) -> nn.Module:
    net = network(seed, classes)
    net(torch.zeros(2, 3, 8, 8))
    return net


class Lightning(nn.Module):
    """What Lightning saves: the network in an attribute, beside the weights of a loss."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("loss_weights", torch.ones(4))


def of_torch_compile(net: nn.Module) -> dict[str, Any]:
    # torch.compile(net).state_dict(), whose first import takes seconds
    return {"model": {f"_orig_mod.{name}": value for name, value in net.state_dict().items()}}


def of_averaging(net: nn.Module) -> dict[str, Any]:
    return torch.optim.swa_utils.AveragedModel(net).state_dict()


FILES: list[tuple[Callable[[nn.Module], Any], str | None]] = [
    (lambda net: net.state_dict(), None),
    (
        lambda net: {"epoch": 3, "loss": torch.ones(()), "model_state_dict": net.state_dict()},
        "`model_state_dict`",
    ),
    (lambda net: nn.DataParallel(net).state_dict(), "their names begin with `module.`"),
    (
        lambda net: {
            "state_dict": Lightning(nn.DataParallel(net)).state_dict(),
            "pytorch-lightning_version": "2.5",
        },
        "the weights are those of `state_dict`; their names begin with `model.module.`; loss_weights is not of the",
    ),
    (of_torch_compile, "`model`; their names begin with `_orig_mod.`"),
    (of_averaging, "their names begin with `module.`; n_averaged is not of the network"),
    (lambda net: {"ema": {"state_dict": net.state_dict()}}, "those of `ema.state_dict`"),
    (
        lambda net: {"model": net.state_dict(), "model_ema": built(2).state_dict()},
        "those of `model`; not those of model_ema, which `weights_key` can choose",
    ),
    (lambda net: {f"backbone.{k}": v for k, v in net.state_dict().items()}, "begin with `backbone.`"),
    (
        lambda net: {f"net._orig_mod.{k}": v for k, v in net.state_dict().items()},
        "begin with `net._orig_mod.`",
    ),
]


@pytest.mark.parametrize(("wrap", "said"), FILES)
def test_weights_are_found_in_what_training_programs_write(
    tmp_path: Path, wrap: Callable[[nn.Module], Any], said: str | None
) -> None:
    trained, other = built(1), built(5)
    torch.save(wrap(trained), tmp_path / "w.pth")
    note = load_checkpoint(other, read_checkpoint(tmp_path / "w.pth"), "w.pth")
    assert all(map(torch.equal, trained.state_dict().values(), other.state_dict().values()))
    assert (note is None) == (said is None)
    assert said is None or said in str(note)


def test_the_key_of_averaged_weights_can_be_chosen(tmp_path: Path) -> None:
    trained, averaged, other = built(1), built(2), built(5)
    torch.save(
        {"model": trained.state_dict(), "model_ema": {"module": averaged.state_dict()}}, tmp_path / "w.pth"
    )
    load_checkpoint(other, read_checkpoint(tmp_path / "w.pth", "model_ema.module"), "w.pth")
    assert torch.equal(other.state_dict()["0.weight"], averaged.state_dict()["0.weight"])
    with pytest.raises(MethodError, match="has no dictionary `ema`; it has model, model_ema"):
        read_checkpoint(tmp_path / "w.pth", "ema")


def test_the_error_names_what_is_missing_what_is_unexpected_and_other_shapes(tmp_path: Path) -> None:
    state = built(classes=7).state_dict()
    state = {f"module.{name}": value for name, value in state.items() if name != "0.bias"}
    torch.save(state | {"module.head.weight": torch.ones(2)}, tmp_path / "w.pth")
    with pytest.raises(MethodError) as e:
        load_checkpoint(built(), read_checkpoint(tmp_path / "w.pth"), "w.pth")
    assert str(e.value) == (
        "the weights of w.pth do not fit the architecture; missing: 0.bias; unexpected: module.head.weight;"
        " of another shape: 4.weight is 7×288 and the network's 4×288, 4.bias is 7 and the network's 4"
    )


def test_another_number_of_classes_says_which(tmp_path: Path) -> None:
    torch.save(built(classes=7).state_dict(), tmp_path / "w.pth")
    with pytest.raises(
        MethodError, match="if it has 7 classes, say `--classes 7`, or `num_classes = 7` under"
    ):
        load_checkpoint(built(), read_checkpoint(tmp_path / "w.pth"), "w.pth")


def test_a_checkpoint_with_other_things_than_tensors_names_them(tmp_path: Path) -> None:
    torch.save({"model": built().state_dict(), "arguments": tmp_path}, tmp_path / "w.pth")
    with pytest.raises(MethodError, match=r"tensors: beside tensors it holds `pathlib\.\S*`; save it with"):
        read_checkpoint(tmp_path / "w.pth")
    torch.save(torch.ones(3), tmp_path / "w.pth")
    with pytest.raises(MethodError, match="holds a Tensor, not tensors by name"):
        read_checkpoint(tmp_path / "w.pth")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused_with_what_to_do(tmp_path: Path) -> None:
    torch.jit.trace(built().eval(), torch.zeros(1, 3, 8, 8)).save(tmp_path / "w.pt")
    with pytest.raises(MethodError, match=r"is TorchScript, .* save the weights of the network"):
        read_checkpoint(tmp_path / "w.pt")


def test_a_model_file_says_what_was_found(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    state = load("mine", tmp_path).module.state_dict()
    torch.save({"net": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "w.pth")
    write(tmp_path, GOOD.replace("seed:0", "w.pth"))
    assert (
        load("mine", tmp_path)
        .record()["weights_note"]
        .startswith("the weights are those of `net`; their names")
    )
    torch.save(state, tmp_path / "w.pth")
    assert "weights_note" not in load("mine", tmp_path).record()
