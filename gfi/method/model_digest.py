"""The digest of a classifier: it names everything that decides its answer.

Scheme 2, the present one, covers the modules with their names, classes and plain attributes, all tensors found on them,
the code of a `file:` factory byte by byte, its arguments, the preprocessing and the output. It does not cover the
versions of installed libraries.

Scheme 1 covered the modules' `extra_repr`, the tensors in `state_dict()`, preprocessing and output. Jobs that carry
such a digest stay valid.
"""

import enum
import functools
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

SCHEME_2 = b"gfi model digest 2\n"

_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype)
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
"""What torch itself keeps on a module. Parameters, buffers and children are walked by name."""


def scheme_1(module: nn.Module, preprocess: Mapping[str, Any], output: str) -> str:
    """SHA-256 (hex) over architecture, `state_dict()`, preprocessing and output, as earlier versions made it."""
    head = {
        "modules": [
            [name, type(child).__qualname__, child.extra_repr()] for name, child in module.named_modules()
        ],
        "preprocess": preprocess,
        "output": output,
    }
    sha = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for name, tensor in module.state_dict().items():
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return sha.hexdigest()


def scheme_2(module: nn.Module, described: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of `described`, as canonical JSON, and of everything that is found on the module."""
    sha = hashlib.sha256(SCHEME_2)
    _write(sha.update, "described", json.dumps(described, sort_keys=True, default=str))
    for name, child in module.named_modules(remove_duplicate=False):
        _write(sha.update, f"module {name}", f"{type(child).__qualname__} {child.extra_repr()}")
        for place, value in _found(child):
            _add(sha.update, f"{name}.{place}", value, ())
    return sha.hexdigest()


def _found(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """(name, value) of parameters, buffers and other attributes, sorted by name."""
    yield from sorted(module._parameters.items())
    yield from sorted(module._buffers.items())
    # torch's own classes say what matters in extra_repr; their other attributes change from version to version.
    of_torch = _root(module) == "torch"
    for name, value in sorted(vars(module).items()):
        if name not in _OF_EVERY_MODULE and (not of_torch or _holds_tensors(value)):
            yield name, value
    if of_torch and isinstance(code := getattr(module, "code", None), str):  # of torch.fx and torch.jit
        yield "code", code


def _root(value: object) -> str:
    """The top-level package of a value's class."""
    return type(value).__module__.partition(".")[0]


def _holds_tensors(value: object) -> bool:
    """Whether a value is a tensor, or a list, tuple or mapping that holds one."""
    if isinstance(value, Mapping):
        return any(map(_holds_tensors, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_tensors, value))
    return isinstance(value, Tensor | np.ndarray)


def _add(update: Callable[[Any], object], place: str, value: Any, above: tuple[int, ...]) -> None:
    """Hash a value with its place, and what it holds. above: the objects that hold it."""
    if id(value) in above:
        return
    within = (*above, id(value))
    if isinstance(value, Tensor):
        _add_tensor(update, place, value)
    elif isinstance(value, np.ndarray):
        _write(update, place, f"{value.dtype} {value.shape}")
        update(np.ascontiguousarray(value).tobytes() if value.dtype != object else repr(value).encode())
    elif isinstance(value, enum.Enum):
        _write(update, place, str(value))
    elif isinstance(value, _PLAIN):
        _write(update, place, f"{type(value).__name__} {value!r}")
    elif isinstance(value, Mapping):
        _write(update, place, f"mapping {len(value)}")
        for key in sorted(value, key=str):
            _add(update, f"{place}[{key!r}]" if isinstance(key, _PLAIN) else place, value[key], within)
    elif isinstance(value, list | tuple):
        _write(update, place, f"sequence {len(value)}")
        for number, item in enumerate(value):
            _add(update, f"{place}[{number}]", item, within)
    elif isinstance(value, set | frozenset):
        _write(update, place, f"set {sorted(map(repr, value))}" if all(map(_plain, value)) else "set")
    elif isinstance(value, nn.Module):
        # A registered child is walked by its name. One that is hidden in a list or a plain object is walked here.
        _write(update, place, f"{type(value).__qualname__} {value.extra_repr()}")
        for name, inner in [*_found(value), *sorted(value._modules.items())]:
            _add(update, f"{place}.{name}", inner, within)
    elif isinstance(value, functools.partial):
        _add(update, place, [value.func, value.args, value.keywords], within)
    elif isinstance(value, ModuleType):
        _write(update, place, f"module {value.__name__.rpartition('.')[2]}")
    elif isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        _write(update, place, f"named {value.__qualname__}")
    elif hasattr(value, "__dict__"):
        _write(update, place, f"object {type(value).__qualname__}")
        # Objects of torch and of the standard library hold counters, locks and the loggers of the whole process.
        foreign = _root(value) in {"torch", *sys.stdlib_module_names} - {"__main__"}
        whole = not foreign or isinstance(value, SimpleNamespace)
        for name, inner in sorted(vars(value).items()):
            if not whole and not _holds_tensors(inner):
                continue
            _add(update, f"{place}.{name}", inner, within)
    else:
        _write(update, place, f"object {type(value).__qualname__}")


def _plain(value: object) -> bool:
    return isinstance(value, _PLAIN)


def _write(update: Callable[[Any], object], place: str, text: str) -> None:
    """One line; lengths come first, so that no two values are written alike."""
    update(f"{len(place)} {len(text)} {place} {text}\n".encode())


def _add_tensor(update: Callable[[Any], object], place: str, tensor: Tensor) -> None:
    _write(update, place, f"{tensor.dtype} {tuple(tensor.shape)}")
    plain = tensor.detach().cpu()
    if plain.layout is not torch.strided:
        plain = plain.to_dense()
    if plain.is_quantized:
        _write(update, place, f"{plain.qscheme()}")
        plain = plain.dequantize()
    update(plain.resolve_conj().resolve_neg().contiguous().view(-1).view(torch.uint8).numpy())
