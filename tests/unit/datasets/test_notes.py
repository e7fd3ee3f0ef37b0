"""The notes of a listing."""

from gfi.datasets.annotations.boxes import ImageBoxes
from gfi.datasets.notes import ListingNotes


def test_nothing_to_say_is_nothing_said():
    assert ListingNotes().lines(5) == []
    assert ListingNotes().skipped == {}


def test_everything_is_counted_with_the_first_example():
    notes = ListingNotes()
    notes.skip(".txt", "c.txt")
    for name in ("a.heic", "b.heic"):
        notes.skip("HEIC", name)
    notes.say("the column 'Key' is read as `key`")
    notes.say("the column 'Key' is read as `key`")
    notes.boxes(ImageBoxes(repairs=("a box was cut",)), "1.jpg")
    notes.boxes(ImageBoxes(error="not XML"), "2.jpg")
    assert notes.lines(6) == [
        "6 of 9 files are images this job can read: 2 HEIC (a.heic), 1 .txt (c.txt)",
        "the column 'Key' is read as `key`",
        "1 of 6 images: a box was cut (for example 1.jpg)",
        "1 of 6 images: their boxes cannot be used, so they have no box metric (for example 2.jpg: not XML)",
    ]


def test_a_million_kinds_take_no_more_room_than_a_few():
    notes = ListingNotes()
    for number in range(1_000):
        notes.skip(f".{number}", f"a.{number}")
        notes.say(f"statement {number}")
    assert sum(notes.skipped.values()) == 1_000
    assert len(notes.lines(1)) < 50
    assert notes.skipped["of other kinds"] == 1_000 - 40


def test_what_is_said_can_be_stored():
    notes = ListingNotes()
    notes.skip(".\udcff", "a\0.\udcff")
    notes.say("the column 'a\0'")
    said = " ".join(notes.lines(1))
    assert said.isprintable()
    assert "1 .\\udcff (a\\0.\\udcff)" in said
