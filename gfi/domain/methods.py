"""The methods of a job: guided feature inversion, whose recipes are the presets, and its peers. Loads no torch.

A peer has one recipe, in which `Recipe.method` names it; its parameters are fields of `Recipe` like all others, so they
are frozen into the job and belong to its digests. `gfi.peers` computes the masks.

    >>> peer_recipe("gradcam").method
    'grad-cam'
    >>> peer_recipe("rise", rise_masks=1000).digest() != PEERS["rise"].digest()
    True
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, get_type_hints

from gfi.domain.errors import MethodError
from gfi.domain.recipes import Recipe, override

OWN = "gfi"
"""Guided feature inversion."""
PEERS: Mapping[str, Recipe] = {
    name: Recipe(name, method=name, one_layer=True)
    for name in ("grad-cam", "integrated-gradients", "occlusion", "rise", "opti-cam")
}
"""The recipe of each peer."""
METHODS = (OWN, *PEERS)
"""Every method of a job."""
TITLES: Mapping[str, str] = {
    OWN: "Guided feature inversion",
    "grad-cam": "Grad-CAM",
    "integrated-gradients": "Integrated gradients",
    "occlusion": "Occlusion",
    "rise": "RISE",
    "opti-cam": "Opti-CAM",
}

CONTROLS: Mapping[str, str] = {
    "random": "Random mask",
    "centred": "Centred mask",
    "randomised": "Randomised weights",
}
"""The controls that a job computes on a sample of its images, and their titles. They are results of these methods
beside those of the job's own (`gfi.peers.controls`)."""

COPY_PASSES = 16
"""Forward passes over the kept and the removed part of the eight shifted copies of a mask (`gfi.method.rows`)."""
_SHARED = ("fill", "blur_radius", "blur_kernel", "seed", "resize")
_OWN_FIELDS: Mapping[str, tuple[str, ...]] = {
    "grad-cam": (),
    "integrated-gradients": ("path_steps", "map_cells"),
    "occlusion": ("occlusion_cells", "occlusion_window"),
    "rise": ("rise_masks", "rise_cells", "rise_keep", "map_cells"),
    "opti-cam": ("opti_steps", "opti_rate"),
}
"""The fields of `Recipe` that only some peers read."""


class Passes(NamedTuple):
    """The passes of the network for one mask, with the class probabilities and the check of its status."""

    forward: int
    backward: int


def method_named(name: str) -> str:
    """The method of this name, also without its hyphen (`gradcam`) or with `_`. MethodError with near matches."""
    known = {_letters(method): method for method in METHODS}
    if _letters(name) in known:
        return known[_letters(name)]
    near = difflib.get_close_matches(name, METHODS, n=1)
    raise MethodError(
        f"no method is called `{name}`"
        + (f"; did you mean `{near[0]}`?" if near else f"; the methods are {', '.join(METHODS)}")
    )


def peer_recipe(name: str, **overrides: Any) -> Recipe:
    """The recipe of a peer, with single fields replaced. Raises MethodError for an unknown peer, for a field that it
    does not read, and for a value of a wrong type or out of its range."""
    method = method_named(name)
    if method == OWN:
        raise MethodError(f"the recipes of `{OWN}` are its presets")
    check_fields(method, overrides)
    return override(PEERS[method], overrides) if overrides else PEERS[method]


def fields_of(method: str) -> tuple[str, ...]:
    """The fields of `Recipe` that a method reads."""
    if method != OWN:
        return (*_OWN_FIELDS[method], *_SHARED)
    elsewhere = {field for fields in _OWN_FIELDS.values() for field in fields}
    return tuple(field for field in get_type_hints(Recipe) if field not in {*elsewhere, "method"})


def check_fields(method: str, fields: Iterable[str]) -> None:
    """Raise MethodError if one of these fields of a recipe exists and the method does not read it."""
    own = fields_of(method)
    for field in fields:
        if field not in own and field in get_type_hints(Recipe):
            readers = [peer for peer in PEERS if field in _OWN_FIELDS[peer]] or [OWN]
            near = difflib.get_close_matches(field, own, n=1)
            raise MethodError(
                f"method {method} does not read the recipe field `{field}`, which is one of {', '.join(readers)}"
                + (f"; did you mean `{near[0]}`?" if near else "")
            )


def passes(recipe: Recipe) -> Passes:
    """The most passes over one image that a mask takes; an image whose mask settles earlier takes fewer.

    >>> passes(PEERS["grad-cam"]), passes(PEERS["rise"])
    (Passes(forward=20, backward=1), Passes(forward=519, backward=0))
    """
    check = 1 + 2 + COPY_PASSES  # the probabilities, the kept and the removed part
    if recipe.method == "grad-cam":
        return Passes(check + 1, 1)
    if recipe.method == "integrated-gradients":
        return Passes(check + recipe.path_steps, recipe.path_steps)
    if recipe.method == "occlusion":
        return Passes(check + (recipe.occlusion_cells - recipe.occlusion_window + 1) ** 2, 0)
    if recipe.method == "rise":
        return Passes(check + recipe.rise_masks, 0)
    if recipe.method == "opti-cam":
        return Passes(check + recipe.opti_steps, recipe.opti_steps)
    start = recipe.start == "grad-cam"
    steps = recipe.steps_inversion + 2 * recipe.steps_class
    return Passes(check + start + steps, start + steps)


def _letters(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
