"""Eleven photographs that may be shipped, with a box for the main object of each.

    gfi submit --dataset samples/photographs      a plain folder
    gfi submit --dataset samples/boxes.jsonl      the same with labels and boxes: a manifest

Sources and licences: LICENSES.md beside this file.
"""

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def path() -> Path:
    """The folder of photographs."""
    return _HERE / "photographs"


def manifest() -> Path:
    """The JSONL manifest: key, label (a WordNet id or null), boxes, and what the picture shows."""
    return _HERE / "boxes.jsonl"
