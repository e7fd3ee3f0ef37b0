"""One photograph on its way into the engine."""

from dataclasses import dataclass

from gfi.method.preprocess import Prepared


@dataclass(frozen=True, eq=False)
class Item:
    """One photograph to explain."""

    index: int
    """The caller's own number; it comes back with the explanation."""
    prepared: Prepared
    target: int | None = None
    """A class, or None for the predicted one."""
    foil: int | None = None
    """Another class B, to explain "why the target A rather than B": f_A/(f_A + f_B) takes the place of f_A."""
