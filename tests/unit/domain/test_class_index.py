"""The class that a label means, or None."""

import csv
from pathlib import Path

import pytest

from gfi.domain.class_index import ClassIndex

NAMES = ("tench, Tinca tinca", "great white shark, white shark, man-eater", "crane", "Cardigan, Cardigan Welsh corgi",
         "cardigan", "crane", "7")  # fmt: skip
IDS = ("n01440764", "n01484850", "n02012849", "n02113186", "n02963159", "n03126707", "n09999999")
CLASSES = ClassIndex(NAMES, IDS)


@pytest.mark.parametrize(
    ("label", "index"),
    [
        ("n01484850", 1), ("n01484850_great_white_shark", 1), ("n00000000", None),
        ("tench", 0), ("Tinca tinca", 0), ("tinca_tinca", 0), ("TENCH,  tinca  TINCA", 0), (" tench ", 0),
        ("great-white_shark", 1), ("man eater", 1), ("white shark", 1),
        ("crane", None), ("Crane", None),  # the bird and the machine
        ("Cardigan", 3), ("cardigan", 4), ("CARDIGAN", None), ("cardigan welsh corgi", 3),
        ("3", 3), (3, 3), ("003", 3), ("7", 6), (7, None), ("99", None), (-1, None), ("-1", None),
        ("3.0", 3), ("3.00", 3), ("3.5", None), ("7.0", 6), ("99.0", None),
        ("", None), (None, None), (True, None), ("whale", None), ("²", None), ("9" * 5000, None),
    ],
)  # fmt: skip
def test_a_label_finds_its_class_or_none(label, index):
    assert CLASSES.find(label) == index


def test_classes_may_have_no_wordnet_ids():
    assert ClassIndex(("cat", "dog")).find("dog") == 1
    assert ClassIndex(("n01440764", "n01484850")).find("n01484850") == 1
    assert ClassIndex(()).find("0") is None


def test_every_imagenet_name_that_is_unique_is_found():
    table = Path(__file__).parents[3] / "gfi" / "domain" / "imagenet_classes.tsv"
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader((line for line in file if not line.startswith("#")), delimiter="\t"))
    rows = [row for row in rows if row[0].startswith("n")]
    assert len(rows) == 1000
    classes = ClassIndex([row[1] for row in rows], [row[0] for row in rows])
    for index, (wordnet, name) in enumerate(row[:2] for row in rows):
        assert classes.find(wordnet) == classes.find(index) == index
        same = [other for other, row in enumerate(rows) if row[1] == name]
        assert classes.find(name) == (index if len(same) == 1 else None)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("2", "the class called 2, which has index 3"),
        ("10", None),  # there is no index 10
        ("1", None),
        ("1.0", "a whole number with a point"),
        ("tench", None),
        ("99", None),
    ],
)
def test_a_number_that_is_a_name_and_another_index_is_spoken_of(label, said):
    decision = ClassIndex(("0", "1", "10", "2", "tench")).decision(label)
    assert decision is None if said is None else said in decision
