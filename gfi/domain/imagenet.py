"""The 1,000 ImageNet classes in network order: names and WordNet ids. Loads no torch.

`imagenet_classes.tsv` holds `WordNet id, name` a line: the ids as timm lists them (Apache-2.0), the names as
torchvision does (BSD-3-Clause).
"""

from functools import lru_cache
from importlib import resources


@lru_cache(maxsize=1)
def classes() -> tuple[tuple[str, str], ...]:
    """((WordNet id, name), …), index = class."""
    text = resources.files("gfi.domain").joinpath("imagenet_classes.tsv").read_text(encoding="utf-8")
    lines = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return tuple((wordnet, name) for wordnet, name in lines)


def names() -> tuple[str, ...]:
    """tench, goldfish, …"""
    return tuple(name for _, name in classes())


def wordnet_ids() -> tuple[str, ...]:
    """n01440764, n01443537, …"""
    return tuple(wordnet for wordnet, _ in classes())
