"""The 1,000 ImageNet classes in the order of the network outputs: names and WordNet ids. Loads no torch.

Each line of `imagenet_classes.tsv` holds a WordNet id and a name: the ids as in timm (Apache-2.0), the names as in
torchvision (BSD-3-Clause).
"""

from functools import lru_cache
from importlib import resources


@lru_cache(maxsize=1)
def classes() -> tuple[tuple[str, str], ...]:
    """(WordNet id, name) of every class; the index is the class."""
    text = resources.files("gfi.domain").joinpath("imagenet_classes.tsv").read_text(encoding="utf-8")
    lines = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return tuple((wordnet, name) for wordnet, name in lines)


def names() -> tuple[str, ...]:
    """("tench", "goldfish", …), one per class."""
    return tuple(name for _, name in classes())


def wordnet_ids() -> tuple[str, ...]:
    """("n01440764", "n01443537", …), one per class."""
    return tuple(wordnet for wordnet, _ in classes())
