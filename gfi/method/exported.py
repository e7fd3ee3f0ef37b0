"""Programs of torch.export (.pt2) as networks.

`torch.export.unflatten` gives the modules of the exported network back, with their names, so that hooks reach its
layers. Each gets the class name of the module it was exported from, by which layers are chosen; linear layers and
exponentials become torch's own modules again, which `gfi.method.batch_invariance` can treat.

Reading a program may run code that is in the file, as a model's net.py does: only who may write model files can name
one.
"""

from pathlib import Path

import torch
from torch import nn

from gfi.domain.errors import MethodError

EXPORT = "torch.export.export(net, (images,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))"
ELEMENTWISE: dict[str, type[nn.Module]] = {"SiLU": nn.SiLU, "Sigmoid": nn.Sigmoid, "Tanh": nn.Tanh}
"""Exponentials without parameters, by class name."""


def read_program(file: Path) -> tuple[nn.Module, tuple[int, int, int]]:
    """The network in a .pt2 file, and the shape (C, H, W) of its input.

    Raises MethodError for another file, for a program with a fixed batch or several inputs, and for one that keeps no
    modules.
    """
    try:
        program = torch.export.load(file)
    except OSError as error:
        raise MethodError(f"{file}: {error.strerror or error}") from error
    except Exception as error:  # the reader raises whatever a damaged archive makes it meet
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MethodError(f"{file} is not a program of torch.export: {text}") from error
    shape = _input_shape(file, program)
    module = torch.export.unflatten(program)
    _restore_modules(module)
    if not any(True for _ in module.children()):
        raise MethodError(f"{file} keeps no modules, so no layer can be named: export it with {EXPORT}")
    return module, shape


def _input_shape(file: Path, program: "torch.export.ExportedProgram") -> tuple[int, int, int]:
    given = set(program.graph_signature.user_inputs)
    inputs = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in given]
    shapes = [tuple(node.meta["val"].shape) for node in inputs if hasattr(node.meta.get("val"), "shape")]
    if len(inputs) != 1 or len(shapes) != 1 or len(shapes[0]) != 4:
        raise MethodError(f"{file} takes {len(inputs)} inputs; a classifier takes one, images (N, C, H, W)")
    batch, *rest = shapes[0]
    if isinstance(batch, int):
        raise MethodError(
            f"{file} was exported for a batch of {batch}; images are explained together: {EXPORT}"
        )
    if not all(isinstance(side, int) for side in rest):
        raise MethodError(
            f"{file} was exported for images of any size: export it for the size that it is used with"
        )
    channels, height, width = rest
    return channels, height, width


def _restore_modules(module: nn.Module) -> None:
    """Give each module the class name it was exported from, and make torch's own of some; in place."""
    for name, child in list(module.named_modules()):
        for node in getattr(getattr(child, "graph", None), "nodes", ()):
            node.meta.clear()  # symbolic tensors, which cannot be copied, and traces, which take minutes
        kind = getattr(child, "type_name", lambda: None)()
        if not name or not isinstance(kind, str):
            continue
        own = _own_module(child, kind.rpartition(".")[2]) if kind.startswith("torch.nn.") else None
        if own is not None:
            parent, _, last = name.rpartition(".")
            setattr(module.get_submodule(parent), last, own.eval())
        else:
            child.__class__ = type(kind.rpartition(".")[2], (type(child),), {})


def _own_module(child: nn.Module, kind: str) -> nn.Module | None:
    if kind in ELEMENTWISE:
        return ELEMENTWISE[kind]()
    weight, bias = getattr(child, "weight", None), getattr(child, "bias", None)
    if kind != "Linear" or not isinstance(weight, torch.Tensor):
        return None
    with torch.device("meta"):
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return linear
