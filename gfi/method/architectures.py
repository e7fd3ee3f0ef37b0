"""Builds networks by name, `torchvision:NAME` or `timm:NAME`, with the input that their library documents.

Nothing is downloaded.
"""

import contextlib
import difflib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gfi.domain.errors import MethodError
from gfi.method.checkpoints import read_checkpoint
from gfi.method.preprocess import FILTERS, Preprocess

LARGEST_SEED = 2**63 - 1
WANTED_SEED = f"seed:N with N from 0 to {LARGEST_SEED}"
"""How random weights are named, for messages."""


def seed_of(text: str) -> int | None:
    """N of `seed:N`; None for another text, or a number that is not a seed.

    >>> seed_of("seed:7"), seed_of("7"), seed_of(f"seed:{2**63}")
    (7, None, None)
    """
    number = text.removeprefix("seed:")
    if number == text or not (number.isascii() and number.isdecimal()) or len(number) > 19:
        return None
    return int(number) if int(number) <= LARGEST_SEED else None


def build(architecture: str, arguments: Mapping[str, Any], seed: int = 0) -> nn.Module:
    """The network with random weights from `seed`.

    arguments: keywords of the library's constructor. Raises MethodError for an unknown name, with near matches.
    """
    return construct(_factory(architecture), arguments, seed)


def check_known(architecture: str) -> None:
    """Raise MethodError, with near matches, unless the architecture's library has it."""
    _factory(architecture)


def _factory(architecture: str) -> Callable[..., nn.Module]:
    source, _, name = architecture.partition(":")
    factories = {"torchvision": _torchvision, "timm": _timm}
    if source not in factories:
        raise MethodError(f"an architecture is torchvision:NAME or timm:NAME, not `{architecture}`")
    return factories[source](name)


def build_pretrained(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """torchvision's classifier `name` with its default weights, which must be on this machine.

    torchvision's own constructor builds it, because some networks have switches that are set for trained weights only:
    `transform_input` of Inception v3 and GoogLeNet, the image size of a ViT. Raises MethodError for an unknown name,
    for weights that are not on this machine or do not fit, and for arguments that contradict the weights.
    """
    _torchvision(name)
    from torchvision import models

    weights, file = torchvision_weights(name)
    state = read_checkpoint(file).state
    with _get_state_dict_returns(weights, state):
        return construct(lambda **given: models.get_model(name, weights=weights, **given), arguments)


_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def _get_state_dict_returns(weights: Any, state: Any) -> Iterator[None]:
    """Make torchvision's constructor take tensors that were read already.

    torchvision itself would download a missing file, and would execute code that a file contains.
    """
    with _one_at_a_time:
        weights.get_state_dict = lambda *args, **kwargs: state
        try:
            yield
        finally:
            del weights.get_state_dict


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
    # A name may be known twice: a layer is listed at each of its calls.
    matches = difflib.get_close_matches(name, dict.fromkeys(known), n=2)
    return f"; did you mean {' or '.join(matches)}?" if matches else ""


def documented_input(architecture: str, module: nn.Module | None = None) -> Preprocess:
    """Input size, channels, mean, standard deviation and filter as the architecture's library documents them.

    ImageNet's at 224×224 pixels where it does not. module: the network, if it is built; one that takes a single size
    (a ViT) decides on the size.
    """
    documented = _documented_input(architecture)
    fixed = _fixed_size(module)
    return documented if fixed is None else replace(documented, size=fixed)


def _fixed_size(module: nn.Module | None) -> tuple[int, int] | None:
    """(H, W) of the only input size that a ViT of torchvision or timm accepts; None for other networks."""
    size = getattr(module, "image_size", None)
    embedding = getattr(module, "patch_embed", None)
    if size is None and getattr(embedding, "strict_img_size", False):
        size = getattr(embedding, "img_size", None)
    if isinstance(size, int):
        return (size, size)
    if isinstance(size, tuple | list) and len(size) == 2 and all(isinstance(side, int) for side in size):
        return (size[0], size[1])
    return None


def _documented_input(architecture: str) -> Preprocess:
    source, _, name = architecture.partition(":")
    if source == "torchvision":
        transform = torchvision_weights(name)[0].transforms()
        side = transform.crop_size[0]
        mode = transform.interpolation.value
        return Preprocess((side, side), 3, tuple(transform.mean), tuple(transform.std), mode)
    if source == "timm":
        import timm

        try:
            config = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
        except RuntimeError as error:
            raise MethodError(f"timm:{name}: {_first_line(error)}") from error
        if config is not None:
            channels, height, width = config.input_size
            mode = config.interpolation if config.interpolation in FILTERS else "bilinear"
            return Preprocess((height, width), channels, tuple(config.mean), tuple(config.std), mode)
    return Preprocess((224, 224))


def torchvision_weights(name: str) -> tuple[Any, Path]:
    """torchvision's entry for the default weights of a classifier, and the path of their file, which may not exist."""
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


AUXILIARY = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
"""torchvision's networks with a switch `transform_input`, and how the names of weights of their auxiliary classifiers
begin."""
SWITCH = (
    "torchvision's {name} has a switch that the weights do not determine. Write under [arguments]:"
    " transform_input = true if the network was fine-tuned from torchvision's trained weights (torchvision then sets"
    " it), false if it was trained from the beginning"
)


def switches_of(name: str, state: Any) -> dict[str, Any]:
    """The arguments of torchvision's classifier `name` that follow from the names of its weights."""
    if name not in AUXILIARY or not isinstance(state, Mapping):
        return {}
    return {
        "aux_logits": any(f".{begin}" in f".{key}" for key in state for begin in AUXILIARY[name]),
        "init_weights": False,  # takes seconds, and the weights replace it
    }


def _first_line(error: Exception) -> str:
    """The first line of an error's message, or the name of its type."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
