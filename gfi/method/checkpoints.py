"""Files of weights, as training programs write them: which of their tensors belong to the network.

A file of `torch.save` or safetensors holds a state dict, or a dictionary that holds one beside other things (an
optimiser, an epoch, averaged weights). The names in it may begin with what the network was wrapped in while it was
trained: `module.` of DataParallel, `model.` of a Lightning module, `_orig_mod.` of torch.compile. Both are found by
comparing the names with those of the network, and `Checkpoint.note` says what was found.

A file is read as tensors only: no code in it is executed.
"""

import pickle
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gfi.domain.errors import MethodError
from gfi.domain.weight_files import TORCHSCRIPT, is_torchscript

HOLDERS = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "state_dict_ema",
    "model_state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema_model",
    "ema",
    "shadow",
)
"""Keys under which training programs keep a state dict, in the order in which they are taken. Averaged weights come
last: where a file has both, the plain ones are loaded, and the note names the others."""
WRAPPERS = ("module.", "model.", "net.", "network.", "_orig_mod.", "backbone.")
"""What the names of a network may begin with, once or several times."""
_SHOWN = 4
"""How many names an error lists of each kind."""


@dataclass(frozen=True)
class Checkpoint:
    """The weights in a file. state: names to tensors. held: the keys that led to it. others: further state dicts
    beside it, which `weights_key` can choose."""

    state: Mapping[str, Any]
    held: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def note(self, prefix: str, left_out: list[str]) -> str | None:
        """What was found, as one sentence for people; None where the file is a state dict of the network's names."""
        said = []
        if self.held:
            said.append(f"the weights are those of `{'.'.join(self.held)}`")
        if self.others:
            said.append(f"not those of {_listed(self.others)}, which `weights_key` can choose")
        if prefix:
            said.append(f"their names begin with `{prefix}`")
        if left_out:
            said.append(f"{_listed(left_out)} {'is' if len(left_out) == 1 else 'are'} not of the network")
        return "; ".join(said) or None


def read_checkpoint(file: Path, key: str | None = None) -> Checkpoint:
    """The weights in a .safetensors file or one of torch.save, tensors only.

    key: the key of the state dict, with dots for keys inside keys; None: the first of HOLDERS. Raises MethodError, also
    for TorchScript and exported programs.
    """
    read = _safetensors(file) if file.suffix == ".safetensors" else _pickled(file)
    if not isinstance(read, Mapping):
        raise MethodError(
            f"{file} holds a {type(read).__name__}, not tensors by name; save it with"
            " torch.save(net.state_dict(), …)"
        )
    if key is not None:
        return _chosen(file, read, key)
    held: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    while found := [name for name in HOLDERS if isinstance(read.get(name), Mapping) and read[name]]:
        if len(found) > 1:
            others = tuple(".".join((*held, name)) for name in found[1:])
        held += (found[0],)
        read = read[found[0]]
    return Checkpoint(read, held, others)


def _chosen(file: Path, read: Mapping[str, Any], key: str) -> Checkpoint:
    state: Any = read
    for name in key.split("."):
        if not isinstance(state, Mapping) or not isinstance(state.get(name), Mapping):
            there = _listed([f"{n}" for n in state if isinstance(state[n], Mapping)]) or "none"
            raise MethodError(f"{file} has no dictionary `{key}`; it has {there}")
        state = state[name]
    return Checkpoint(state, tuple(key.split(".")))


def load_checkpoint(module: nn.Module, checkpoint: Checkpoint, name: str) -> str | None:
    """Put the weights into the network. Returns what was found, as one sentence, or None where there is nothing to say.

    name: of the file. Raises MethodError, with the names that are missing and those that are unexpected, if they do not
    fit the network.
    """
    wanted = module.state_dict()
    tensors = {str(key): value for key, value in checkpoint.state.items()}
    prefix = _prefix(tensors, wanted)
    state = OrderedDict(
        (_inner(key, prefix, wanted), value) for key, value in tensors.items() if key.startswith(prefix)
    )
    if (versions := getattr(checkpoint.state, "_metadata", None)) is not None:
        # by which modules of torch read what their earlier versions wrote
        state._metadata = {_inner(key + ".", prefix, wanted).rstrip("."): v for key, v in versions.items()}  # type: ignore[attr-defined]
    try:
        module.load_state_dict(state)
    except Exception as error:
        text = _difference(state, wanted, prefix) or "; " + " ".join(str(error).split())[:300]
        raise MethodError(f"the weights of {name} do not fit the architecture{text}") from error
    return checkpoint.note(prefix, [key for key in tensors if not key.startswith(prefix)])


def _difference(state: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str) -> str:
    """What is missing, unexpected and of another shape, each with its first names."""
    missing = [key for key in wanted if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [prefix + key for key in state if key not in wanted]
    shapes = [
        f"{key} is {_shape(state[key])} and the network's {_shape(wanted[key])}"
        for key in state
        if key in wanted and _shape(state[key]) != _shape(wanted[key])
    ]
    said = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    text = "".join(f"; {what}: {_listed(names)}" for what, names in said.items() if names)
    return text if missing or unexpected else text + _other_classes(state, wanted)


def _other_classes(state: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """What to do where the tensors differ in the number of classes alone."""
    pairs = [
        (tuple(value.shape), tuple(wanted[key].shape))
        for key, value in state.items()
        if isinstance(value, Tensor) and value.shape != wanted[key].shape
    ]
    numbers = {(have[:1], want[:1]) for have, want in pairs}
    if len(numbers) != 1 or any(not have or have[1:] != want[1:] for have, want in pairs):
        return ""
    number = pairs[0][0][0]
    return (
        f"; if it has {number} classes, say `--classes {number}`, or `num_classes = {number}` under [arguments] of the "
        "model file"
    )


def _shape(value: Any) -> str:
    return (
        "×".join(map(str, value.shape)) or "a number" if isinstance(value, Tensor) else type(value).__name__
    )


def _prefix(tensors: Iterable[str], wanted: Mapping[str, Any]) -> str:
    """What has to be taken from the beginning of the names so that most of them are the network's."""
    names = list(tensors)
    candidates = [""]
    for name in names:
        rest = name
        while (wrapper := next((w for w in WRAPPERS if rest.startswith(w)), None)) is not None:
            rest = rest.removeprefix(wrapper)
            candidates.append(name[: len(name) - len(rest)])

    def known(prefix: str) -> tuple[int, int, int]:
        rests = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        plain = sum(rest in wanted for rest in rests)
        return sum(_inner(rest, "", wanted) in wanted for rest in rests), plain, -len(prefix)

    return max(dict.fromkeys(candidates), key=known)


def _inner(name: str, prefix: str, wanted: Mapping[str, Any]) -> str:
    """The network's name of a tensor. torch.compile of an inner module puts its prefix in the middle of a name."""
    name = name.removeprefix(prefix)
    return name if name in wanted else name.replace("_orig_mod.", "")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _pickled(file: Path) -> Any:
    _refuse_programs(file)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise MethodError(f"{file}: {error.strerror or error}") from error
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError) as error:
        other = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
        holds = f": beside tensors it holds `{other[1]}`" if other else ""
        raise MethodError(
            f"{file} is not a file of tensors{holds}; save it with torch.save(net.state_dict(), …)"
        ) from error


def _refuse_programs(file: Path) -> None:
    """MethodError for a file that holds a program in place of weights."""
    if is_torchscript(file):
        raise MethodError(f"{file} {TORCHSCRIPT}")


def _safetensors(file: Path) -> Any:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise MethodError(f"{file.name} needs safetensors; pip install safetensors") from error
    try:
        return load_file(file)
    except OSError as error:
        raise MethodError(f"{file}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise MethodError(f"{file} is not a safetensors file: {str(error).splitlines()[0]}") from error
