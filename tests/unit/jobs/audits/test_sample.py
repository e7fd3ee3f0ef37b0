"""The sample is the images of the smallest hashes, whatever the chunks and their order."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from gfi.audit.part_columns import PartColumns
from gfi.jobs.audits import sample
from gfi.jobs.audits.reading import CELLS, Chunk
from gfi.jobs.audits.sample import Sample


def chunk(rows: np.ndarray, features: bool = True) -> Chunk:
    """Images whose numbers follow from their row: 1 of 5 classes, 0 to 2 boxes; every eleventh is also of class 9."""
    keys = tuple(f"{row}.jpg" for row in rows)
    grids = np.repeat(rows.astype(np.float32) / 512, CELLS * CELLS).reshape(-1, CELLS, CELLS)
    owners = np.repeat(np.arange(len(rows)), rows % 3)
    boxes = np.stack(
        [np.arange(len(owners)) - np.searchsorted(owners, owners), *[rows[owners]] * 3], 1
    ).astype(float)
    known = np.repeat(rows % 100, 2).reshape(-1, 2).astype(np.float16) if features else None
    read = PartColumns(rows, keys, rows % 5, grids, 0, features=known)
    columns = {"age": rows % 7 + 0.5, "site": [f"s{row % 4}" for row in rows]}
    several = np.flatnonzero(rows % 11 == 0)
    also = np.stack([np.repeat(several, 2), np.stack([rows[several] % 5, several * 0 + 9], 1).ravel()], 1)
    return Chunk(read, boxes, owners, columns, rows % 5, (rows % 2).astype(float), also)


@pytest.mark.parametrize("order", [1, -1])
def test_the_smallest_hashes_of_each_class_are_kept_with_all_that_is_known(
    order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "BLOCK", 16)
    kept = Sample(7, "secret")
    rows = np.arange(300)
    for part in np.array_split(rows, 9)[::order]:
        kept.add(chunk(part, features=part[0] > 50), part % 2 == 0)
    found = kept.kept()
    secret = hashlib.sha256(b"samplesecret").digest()[:32]

    def hashed(row: int) -> int:
        return int.from_bytes(hashlib.blake2b(f"{row}.jpg".encode(), digest_size=8, key=secret).digest())

    wanted = sorted(row for k in range(5) for row in sorted(rows[rows % 5 == k].tolist(), key=hashed)[:7])
    assert found.rows.tolist() == wanted
    data, expected = found.data, chunk(found.rows)
    assert (data.classes == found.rows % 5).all()
    assert (data.grids == expected.read.grids).all()
    assert (data.screening == (found.rows % 2 == 0)).all()
    assert data.features is not None
    assert expected.read.features is not None
    assert (np.isnan(data.features[:, 0]) | (data.features == expected.read.features)[:, 0]).all()
    assert np.isfinite(data.features).all(1).sum() == (found.rows >= 67).sum()
    assert data.boxes is not None
    assert {i: b.tolist() for i, b in data.boxes.items()} == {
        i: expected.boxes[expected.owners == i].tolist() for i in range(len(wanted)) if found.rows[i] % 3
    }
    assert data.columns is not None
    assert list(data.columns["site"]) == list(expected.columns["site"])
    assert (np.asarray(data.columns["age"]) == expected.columns["age"]).all()
    assert (np.asarray(data.columns["right"]) == found.rows % 2).all()
    assert data.images is not None
    assert (data.images == found.rows).all()
    assert found.rows[data.carrying(9)].tolist() == [row for row in wanted if row % 11 == 0]
    assert (data.carrying(0) == (found.rows % 5 == 0)).all()


def test_an_image_of_two_labels_is_kept_in_both_classes_with_one_hash() -> None:
    """Each row comes twice, for the class 0 and for 1; so the same images are kept of both."""
    kept = Sample(6, "secret")
    for rows in np.array_split(np.arange(100), 4):
        twice = np.repeat(rows, 2)
        classes = np.tile([0, 1], len(rows))
        one = chunk(twice)
        also = np.stack([np.repeat(np.arange(len(twice)), 2), np.tile([0, 1], len(twice))], 1)
        one = replace(one, read=replace(one.read, classes=classes), also=also)
        kept.add(one, twice < 50)
    data = kept.kept().data
    assert data.images is not None
    assert data.images[data.classes == 0].tolist() == data.images[data.classes == 1].tolist()
    assert len(data) == 12
    assert data.classes.tolist() == [0, 1] * 6
    assert data.carrying(0).all()
    assert data.once(np.arange(12)).tolist() == list(range(0, 12, 2))
    assert (data.screening == (data.images < 50)).all(), "all labels of an image are of one half"


def test_the_newest_images_are_kept_beside_the_sample() -> None:
    kept, rows = Sample(2, "secret"), np.arange(100)
    newest, among = rows >= 90, rows >= 50
    for part in np.array_split(rows, 3):
        kept.add(chunk(part), part < 0, among=among[part], always=newest[part])
    found = kept.kept().rows
    assert (found < 50).sum() == 0
    assert found[found >= 90].tolist() == list(range(90, 100))
    assert np.bincount(found[found < 90] % 5).tolist() == [2] * 5
