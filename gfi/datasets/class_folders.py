"""Folders as labels: which of them are classes, and which are splits (train, val) with the classes below them."""

import re
from collections.abc import Iterable

from gfi.datasets.notes import ListingNotes

NUMBERED = "a class folder whose name is a number means the class with that name or, if there is none, with that index"
BESIDE_SPLITS = "a folder next to the split folders is not a class: its images have no label"
_SPLIT = re.compile(
    r"(train|training|val|valid|validation|test|testing|dev|eval|evaluation|holdout)"
    r"([ _-]?(set|split|data|images|img)|[ _-]?\d{4})?",
    re.IGNORECASE,
)


def split_folders(names: Iterable[str]) -> frozenset[str]:
    """The folders of a dataset that are splits (train, val …) and not classes: those with such a name, if there are
    several of them or no other folder."""
    visible = {name for name in names if not name.startswith(".")}
    splits = {name for name in visible if is_split(name)}
    return frozenset(splits) if len(splits) > 1 or splits == visible else frozenset()


def say_splits(notes: ListingNotes, splits: frozenset[str], split: str | None) -> None:
    """Add a note on how split folders are read."""
    if splits:
        which = f"only {split} is read" if split else "all are read; `?split=` reads one"
        names = ", ".join(sorted(splits))
        notes.say(f"{names} are split folders, not classes: the label is the folder below, and {which}")


def class_label(key: str, splits: frozenset[str], notes: ListingNotes) -> str | None:
    """The class folder that a key lies in; None when it lies in none."""
    *folders, _ = key.split("/")
    if splits:
        if folders and folders[0] not in splits:
            notes.image(BESIDE_SPLITS, key)
            return None
        folders = folders[1:]
    if not folders:
        return None
    if folders[0].isdigit():
        notes.image(NUMBERED, key)
    return folders[0]


def is_split(name: str) -> bool:
    """Whether a folder has the name of a split."""
    return _SPLIT.fullmatch(name) is not None
