"""Builds networks by name, `torchvision:NAME` or `timm:NAME`, with the input that their library documents, and loads
weights from files.

Nothing is downloaded. A weights file is read as tensors only: no code in it is executed.
"""

import difflib
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gfi.domain.errors import MethodError
from gfi.method.preprocess import FILTERS, Preprocess


def build(architecture: str, arguments: Mapping[str, Any], seed: int = 0) -> nn.Module:
    """The network with random weights from `seed`.

    arguments: keywords of the library's constructor. Raises MethodError for an unknown name, with near matches.
    """
    source, _, name = architecture.partition(":")
    factories = {"torchvision": _torchvision, "timm": _timm}
    if source not in factories:
        raise MethodError(f"an architecture is torchvision:NAME or timm:NAME, not `{architecture}`")
    return construct(factories[source](name), arguments, seed)


def construct(factory: Callable[..., Any], arguments: Mapping[str, Any], seed: int = 0) -> nn.Module:
    """The network that `factory` returns, in eval mode, with random weights from `seed`.

    The global random generator is left as it was. Raises MethodError if the factory fails or returns something else.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            module = factory(**arguments)
        except Exception as error:
            raise MethodError(f"the architecture cannot be built: {_first_line(error)}") from error
    if not isinstance(module, nn.Module):
        raise MethodError(f"the architecture is a {type(module).__name__}, not a torch module")
    return module.eval()


def _torchvision(name: str) -> Callable[..., nn.Module]:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise MethodError(f"torchvision has no classifier `{name}`{near_matches(name, known)}")
    return lambda **arguments: models.get_model(name, weights=None, **arguments)


def _timm(name: str) -> Callable[..., nn.Module]:
    try:
        import timm
    except ImportError as error:
        raise MethodError(f"timm:{name} needs timm; pip install timm") from error
    if not timm.is_model(name):
        raise MethodError(f"timm has no model `{name}`{near_matches(name, timm.list_models())}")
    return lambda **arguments: timm.create_model(name, pretrained=False, **arguments)


def near_matches(name: str, known: list[str]) -> str:
    """ "; did you mean … or …?" for the end of an error message, or nothing."""
    matches = difflib.get_close_matches(name, known, n=2)
    return f"; did you mean {' or '.join(matches)}?" if matches else ""


def documented_input(architecture: str) -> Preprocess:
    """Input size, channels, mean, standard deviation and filter as the architecture's library documents them.

    ImageNet's at 224×224 pixels where it does not.
    """
    source, _, name = architecture.partition(":")
    if source == "torchvision":
        transform = torchvision_weights(name)[0].transforms()
        side = transform.crop_size[0]
        mode = transform.interpolation.value
        return Preprocess((side, side), 3, tuple(transform.mean), tuple(transform.std), mode)
    if source == "timm":
        import timm

        config = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
        if config is not None:
            channels, height, width = config.input_size
            mode = config.interpolation if config.interpolation in FILTERS else "bilinear"
            return Preprocess((height, width), channels, tuple(config.mean), tuple(config.std), mode)
    return Preprocess((224, 224))


def torchvision_weights(name: str) -> tuple[Any, Path]:
    """torchvision's entry of a classifier's default weights, and the path of their file, which need not exist."""
    from torchvision import models

    weights = models.get_model_weights(name).DEFAULT
    return weights, Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]


def local_torchvision() -> list[str]:
    """`torchvision:NAME` of every classifier whose default weights are on this machine."""
    from torchvision import models

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    if not folder.is_dir():
        return []
    files = {file.name for file in folder.iterdir()}
    names = models.list_models(module=models)
    return [f"torchvision:{name}" for name in names if torchvision_weights(name)[1].name in files]


def load_weights(module: nn.Module, file: Path) -> None:
    """Load a state dict from a .safetensors file or one of torch.save; raises MethodError if it does not fit."""
    state = _safetensors(file) if file.suffix == ".safetensors" else _pickled(file)
    for wrapper in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    try:
        module.load_state_dict(state)
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise MethodError(f"the weights of {file.name} do not fit the architecture: {text}") from error


def _pickled(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise MethodError(f"{file}: {error.strerror or error}") from error
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError) as error:
        advice = "save it with torch.save(net.state_dict(), …)"
        raise MethodError(f"{file} is not a file of tensors; {advice}") from error


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
        raise MethodError(f"{file} is not a safetensors file: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    """The first line of an error's message, or the name of its type."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
