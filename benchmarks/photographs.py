"""The photographs of the benchmarks: those of a shared folder if it exists, otherwise the shipped samples."""

from pathlib import Path

from gfi import samples

_SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
NETWORKS = _SHARED_DATA / "networks"
"""Trained networks outside the repository, a folder with a model file each."""
CIFAR = _SHARED_DATA / "cifar10"
"""Test images of CIFAR-10 outside the repository, in class folders."""
SHARED = _SHARED_DATA / "photographs"
"""Photographs outside the repository. Every second one, in order of name, was used to choose the recipe of `tuned`;
benchmarks of quality use the others."""


def folder(network: str = "") -> Path:
    """The shared folder of photographs that the network was trained for if it exists, otherwise that of the samples."""
    shared = CIFAR if network.startswith("cifar") else SHARED
    return shared if shared.is_dir() else samples.path()


def files(directory: Path) -> list[Path]:
    """The photographs in a folder, in order of name; of the shared folder those that were not used to choose the
    recipe, and five of each class of CIFAR-10."""
    if directory == CIFAR:
        return [file for one in sorted(CIFAR.iterdir()) if one.is_dir() for file in sorted(one.iterdir())[:5]]
    names = sorted(f for f in directory.iterdir() if f.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return names[1::2] if directory == SHARED else names


def description(directory: Path) -> str:
    """The description of these photographs on a page."""
    if directory == SHARED:
        return "every second photograph of ../shared/data/photographs"
    if directory == CIFAR:
        return "five test images of each class of CIFAR-10, ../shared/data/cifar10"
    return "the shipped samples" if directory == samples.path() else str(directory)
