"""Notes on what a listing leaves out, repairs or decides, so that the user is told about each.

    notes = ListingNotes()
    images = sum(1 for _ in source.list(notes))
    notes.lines(images)     ["6 of 8 files are images this job can read: 2 HEIC (photos/3.heic)", …]

Notes are counted by kind, with the first example of each, so the memory does not grow with the number of files.
"""

from dataclasses import dataclass

from gfi.datasets.annotations.boxes import ImageBoxes
from gfi.store.errors import storable

_KINDS = 40


@dataclass
class _Tally:
    count: int
    example: str


class ListingNotes:
    """The notes of one listing; used by one thread."""

    def __init__(self) -> None:
        self._skipped: dict[str, _Tally] = {}
        self._images: dict[str, _Tally] = {}
        self._statements: dict[str, None] = {}

    def skip(self, reason: str, name: str) -> None:
        """Records that a file is left out. reason: a noun that says what it is ("HEIC", ".txt", "link that leads
        out")."""
        _count(self._skipped, reason, name)

    def image(self, text: str, key: str) -> None:
        """Records that something was repaired, decided or found wrong for one image. text: a sentence without the
        key."""
        _count(self._images, text, key)

    def boxes(self, boxes: ImageBoxes, key: str) -> None:
        """Records what was repaired in the boxes of one image, or why it has none."""
        for repair in boxes.repairs:
            self.image(repair, key)
        if boxes.error is not None:
            self.image("their boxes cannot be used, so they have no box metric", f"{key}: {boxes.error}")

    def say(self, text: str) -> None:
        """Records a note on the whole listing."""
        if len(self._statements) < _KINDS:
            self._statements[storable(text)] = None

    @property
    def skipped(self) -> dict[str, int]:
        """How many files were left out, by reason."""
        return {reason: tally.count for reason, tally in self._skipped.items()}

    def left_out(self) -> str:
        """`2 HEIC (b.heic), 1 .txt (notes.txt)`; "" when nothing was left out."""
        tallies = sorted(self._skipped.items(), key=lambda item: -item[1].count)
        return ", ".join(f"{tally.count} {reason} ({tally.example})" for reason, tally in tallies)

    def lines(self, images: int) -> list[str]:
        """All notes as sentences. images: how many were listed."""
        lines = []
        if self._skipped:
            total = images + sum(self.skipped.values())
            lines.append(f"{images} of {total} files are images this job can read: {self.left_out()}")
        lines += self._statements
        for text, tally in self._images.items():
            lines.append(f"{tally.count} of {images} images: {text} (for example {tally.example})")
        return lines


def _count(tallies: dict[str, _Tally], kind: str, example: str) -> None:
    kind = storable(kind)
    if kind not in tallies and len(tallies) >= _KINDS:
        kind = "of other kinds"
    if kind not in tallies:
        tallies[kind] = _Tally(0, storable(example)[:300])
    tallies[kind].count += 1
