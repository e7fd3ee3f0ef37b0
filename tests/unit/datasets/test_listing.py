"""The digest of a listing."""

import os

from gfi.datasets.sources import fingerprint, open_source


def test_the_fingerprint_changes_with_the_dataset_and_only_then(plant, free):
    folder = plant("a/1.jpg", "a/2.jpg")
    first = fingerprint(open_source(str(folder), free))
    assert fingerprint(open_source(str(folder), free)) == first
    assert fingerprint(open_source(f"folder:{folder}", free)) != first  # no labels now
    os.utime(folder / "a/1.jpg", ns=(1, 1))
    touched = fingerprint(open_source(str(folder), free))
    plant("a/3.jpg")
    assert len({first, touched, fingerprint(open_source(str(folder), free))}) == 3
