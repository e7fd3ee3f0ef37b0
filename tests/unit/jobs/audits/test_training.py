"""Which training images are searched, and what is said where they cannot be."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gfi.audit.settings import AuditSettings
from gfi.audit.split import keyed_order
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.manifest import Entry, Manifest, write
from gfi.jobs.audits import training
from gfi.jobs.audits.training import (
    Searched,
    classes_of,
    is_labelled,
    rows_of_classes,
    search_training_images,
)
from gfi.store.errors import NotFound

CLASSES = ("cat", "dog")
FIND = classes_of({"class_names": [*CLASSES, "a", "b", "c", "d"], "classes": 6})


def listing(path: Path, labelled: bool = True) -> Manifest:
    """300 images: a cat, a dog, an image of both, an image of something else in turn; or none has a label."""
    entries = []
    for row in range(300):
        kind = row % 4
        entry = Entry(row, f"{row:03d}.jpg", 1, "v")
        if labelled and kind < 2:
            entry = Entry(row, f"{row:03d}.jpg", 1, "v", CLASSES[kind])
        elif labelled and kind == 2:
            entry = Entry(row, f"{row:03d}.jpg", 1, "v", labels=("dog", "cat", "fox"), targets=(None,) * 3)
        entries.append(entry)
    write(entries, path, {})
    return Manifest.open(path)


def test_a_sample_of_a_class_has_the_smallest_hashes_and_all_its_labels_count(tmp_path: Path) -> None:
    manifest = listing(tmp_path / "m.parquet")
    found = rows_of_classes(manifest, [0, 1, 5], FIND, "secret", 20)
    for k in (0, 1):
        rows, listed = found[k]
        mine = np.array([row for row in range(300) if row % 4 in (k, 2)])
        order = keyed_order([f"{row:03d}.jpg" for row in mine], "secret")
        assert rows.tolist() == sorted(mine[np.argsort(order)[:20]].tolist())
        assert listed == 150
    rows, listed = found[5]
    assert (rows.tolist(), listed) == ([], 0)
    assert len(rows_of_classes(manifest, [0], FIND, "secret", 500)[0][0]) == 150


def test_a_listing_without_labels_of_the_model_is_not_labelled(tmp_path: Path) -> None:
    others = classes_of({"class_names": ["horse", "cow"], "classes": 2})
    assert not is_labelled(listing(tmp_path / "o.parquet"), others)
    assert is_labelled(listing(tmp_path / "m.parquet"), FIND)
    assert not is_labelled(listing(tmp_path / "n.parquet", labelled=False), FIND)


def searched(monkeypatch: pytest.MonkeyPatch, error: Exception) -> tuple[list[Any], Searched]:
    """A search for one shortcut where the job over the training images gives an error."""
    monkeypatch.setattr(training, "_repeats", lambda one, constants: True)

    def gone(*given: object) -> Any:
        raise error

    monkeypatch.setattr(training.queries, "get_job", gone)
    shortcut: Any = SimpleNamespace(verdict="repeated_mark_shortcut")
    audit: Any = SimpleNamespace(options={"training": "T"}, secret="s")
    unused: Any = None
    return search_training_images(
        *(unused, unused, gone, audit, unused, [shortcut], unused, unused, AuditSettings(), lambda: None)
    )


@pytest.mark.parametrize(
    ("error", "says"), [(NotFound("no job"), "the job is deleted"), (DatasetError("no folder"), "no folder")]
)
def test_training_images_that_are_gone_change_no_verdict_and_are_told(
    error: Exception, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, told = searched(monkeypatch, error)
    assert [one.verdict for one in found] == ["repeated_mark_shortcut"]
    assert told.to_json() == {"job": "T", "shortcuts": 0, "unusable": {}, "failed": says, "wanted": 0}


def test_a_store_that_does_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable):  # the task is tried again; the search is not given up
        searched(monkeypatch, Unavailable("the store does not answer"))
