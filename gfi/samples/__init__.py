"""Eleven photographs that may be shipped, with a box for the main object of each.

    gfi submit --dataset samples/photographs      a plain folder
    gfi submit --dataset samples/boxes.jsonl      a manifest: the same photographs with labels and boxes

Sources and licences are in LICENSES.md in this folder.
"""

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def path() -> Path:
    """The folder of photographs."""
    return _HERE / "photographs"


def manifest() -> Path:
    """The JSONL manifest: key, label (a WordNet id or null), boxes, and what the photograph shows."""
    return _HERE / "boxes.jsonl"
