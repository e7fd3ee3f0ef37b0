"""Groups the members of a tar shard into samples: a photograph with its label and annotation files."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from gfi.datasets.annotations.boxes import ImageBoxes, check_text, in_frame, read_boxes
from gfi.datasets.columns import find_alike, frame_of
from gfi.datasets.errors import DatasetError
from gfi.datasets.labels import label_texts
from gfi.datasets.listing import Listed
from gfi.datasets.notes import ListingNotes
from gfi.datasets.strict_json import plain, read_json

SIDE_CARS = ("cls", "json", "txt")
SIDE_CAR_BYTES = 2**20
CAPTION = "its .txt is a caption and not a label"
NO_ANNOTATION = "their .json cannot be read, so nothing is taken from it"
UNREADABLE = "their .cls or .txt is not a label"
FURTHER = "further image of a sample"
LEFT_OVER = "label or annotation without a photograph"
_LABEL_LENGTH = 200
"""A longer text is read as a caption."""
_NO_PHOTOGRAPHS = {"seg", "segmentation", "mask", "masks", "depth", "normal", "normals", "label", "labels"}
"""Parts of names of images that accompany a photograph but are not photographs, such as masks."""


@dataclass(frozen=True)
class Member:
    """A member of a shard. key: its key in the dataset. name: without the suffix. place: its version."""

    key: str
    name: str
    size: int
    place: str


@dataclass
class Sample:
    """The members with the same name up to the first dot. side_cars: (name, suffix) → key and text."""

    name: str
    images: list[Member] = field(default_factory=list)
    side_cars: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)

    def listed(self, all_images: bool, notes: ListingNotes) -> Iterator[Listed]:
        """Its photographs with label, boxes and further columns."""
        chosen = self.images if all_images else self._photographs()
        for image in self.images:
            if image not in chosen:
                notes.skip(f"{FURTHER}, which `?images=all` reads", image.key)
        names = {image.name for image in chosen} | ({self.name} if chosen else set())
        for (name, _), (key, _) in self.side_cars.items():
            if name not in names:
                notes.skip(LEFT_OVER, key)
        seen: dict[PurePosixPath, str] = {}
        for image in chosen:
            if (
                len(chosen) > 1
                and (earlier := seen.setdefault(PurePosixPath(image.key), image.key)) is not image.key
            ):
                raise DatasetError(f"{image.key!r} and {earlier!r} are one file; a shard may hold it once")
            yield self._listed(image, notes)

    def _photographs(self) -> list[Member]:
        plain = [image for image in self.images if image.name == self.name]
        pictures = [image for image in self.images if image.name.rpartition(".")[2] not in _NO_PHOTOGRAPHS]
        if plain:
            # 2021.jpg and 2021.01.jpg are two photographs where both have a label of their own.
            own = {name for name, _ in self.side_cars}
            return plain + [image for image in pictures if image.name != self.name and image.name in own]
        return pictures or self.images

    def _side_car(self, image: Member, suffix: str) -> tuple[str, bytes] | None:
        """From the side-car of the image's own name, else from that of the sample."""
        return self.side_cars.get((image.name, suffix)) or self.side_cars.get((self.name, suffix))

    def _listed(self, image: Member, notes: ListingNotes) -> Listed:
        label, labels, boxes, extra = self._annotation(image, notes)
        if (written := self._side_car(image, "cls")) is not None:
            try:
                label, labels = _text(*written).strip() or None, ()
                check_text("the label", label)
            except DatasetError as error:
                label, labels = None, ()
                notes.image(UNREADABLE, f"{image.key}: {error}")
        elif label is None and not labels and (written := self._side_car(image, "txt")) is not None:
            label = _short(written[1])
            if label is None and written[1].strip():
                notes.image(CAPTION, image.key)
            try:
                check_text("the label", label)
            except DatasetError as error:
                label = None
                notes.image(UNREADABLE, f"{image.key}: {error}")
        return Listed(image.key, image.size, image.place, label, boxes.boxes, extra, boxes.error, labels)

    def _annotation(
        self, image: Member, notes: ListingNotes
    ) -> tuple[str | None, tuple[str, ...], ImageBoxes, dict[str, Any]]:
        """The content of the .json file: label or labels, boxes, further columns."""
        written = self._side_car(image, "json")
        if written is None:
            return None, (), ImageBoxes(), {}
        key, data = written
        try:
            metadata = read_json(_text(key, data))
            if not isinstance(metadata, dict):
                raise DatasetError("not a JSON object")
            name = find_alike(list(metadata), "label", notes, "the .json of a sample")
            label, labels = label_texts(metadata.pop(name, None), image.key, notes)
            for one in (label, *labels):
                check_text("the label", one)
            metadata = plain(metadata)
        except (ValueError, DatasetError) as error:
            notes.image(NO_ANNOTATION, f"{image.key}: {key}: {error}")
            return None, (), ImageBoxes(error=f"{key}: {error}"), {}
        try:
            name = find_alike(list(metadata), "boxes", notes, "the .json of a sample")
            four: Literal["ltrb"] | None = "ltrb" if name == "boxes" else None
            boxes = in_frame(read_boxes(metadata.pop(name, None), four=four), frame_of(metadata))
        except DatasetError as error:
            reason = (
                str(error) if name == "boxes" else f"{name!r} is not `boxes`, each [left, top, right, bottom]"
            )
            boxes = ImageBoxes(error=f"{key}: {reason}")
        notes.boxes(boxes, image.key)
        return label, labels, boxes, metadata


def _text(key: str, data: bytes) -> str:
    if len(data) > SIDE_CAR_BYTES:
        raise DatasetError(
            f"{key} is longer than {SIDE_CAR_BYTES:,} bytes, too long for a label or an annotation"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(f"{key} is not UTF-8") from None


def _short(data: bytes) -> str | None:
    """The text of a label; None if the text is a caption."""
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return None
    return text if text and "\n" not in text and len(text) <= _LABEL_LENGTH else None
