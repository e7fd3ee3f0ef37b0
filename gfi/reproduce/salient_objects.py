"""Salient objects on MSRA-B (Du et al. 2018, section 4.4): stage 1 alone, whose masks belong to no class.

    DIR/0_0_272.jpg, DIR/0_0_272.png                      photographs and the objects' masks side by side
    DIR/image/0_0_272.jpg, DIR/annotation/0_0_272.png     or in two folders, of any of the names below
    DIR/test_cvpr2013.txt                                 a list of the images to test, one name a line; else --list

The mask of stage 1 is thresholded at twice its mean: precision, recall, F-measure with β² = 0.3; and its mean absolute
error. An image without a mask counts as a map of zeros.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gfi.datasets.errors import DatasetError
from gfi.datasets.file_kinds import is_image
from gfi.datasets.media import local
from gfi.domain.errors import MethodError
from gfi.domain.geometry import whole
from gfi.domain.intervals import bootstrap
from gfi.domain.statuses import ImageStatus
from gfi.metrics.salience import Salience, f_measure, salience
from gfi.reproduce.experiment import (
    Ask,
    Example,
    Listing,
    Masked,
    Read,
    Report,
    Table,
    options_of,
    percent,
    usable,
)

METHODS = ("paper", "released")
"""The presets that have a stage 1."""
_IMAGES = (".", "image", "images", "Image", "Images", "imgs", "Imgs", "MSRA-B")
_MASKS = ("annotation", "annotations", "gt", "GT", "mask", "masks", "Masks")
_LISTS = ("test_cvpr2013.txt", "test.txt", "testlist.txt", "test_list.txt")
_WHITE = 128


@dataclass(frozen=True)
class Options:
    """listed: a file with a name a line; None: one of the known names below the directory, else all images. images:
    only the first so many; None: all."""

    listed: Path | None = None
    images: int | None = None


@dataclass(frozen=True)
class SalientImages:
    """The images, and the file of each object's mask by the key of its photograph."""

    listing: Listing
    masks: Mapping[str, Path]


def open_directory(directory: Path, allowed: Sequence[Path], options: Options) -> SalientImages:
    """The images that have a mask. DatasetError says what the directory lacks."""
    roots = local.Roots.admit(directory, allowed)
    roots.require_folder()
    root = roots.base
    folder = next((one for place in _IMAGES if _photographs(one := root / place)), None)
    if folder is None:
        raise DatasetError(f"{root} holds no photographs: .jpg files, there or in {', '.join(_IMAGES[1:])}")
    photographs = _photographs(folder)
    places = [folder, *(base / name for base in (root, folder) for name in _MASKS)]
    masks = {}
    for photograph in photographs:
        found = (place / f"{photograph.stem}.png" for place in places)
        mask = next((one for one in found if one.is_file()), None)
        if mask is not None:
            masks[photograph.relative_to(root).as_posix()] = mask
    if not masks:
        raise DatasetError(
            f"{root} has {len(photographs):,} photographs and no mask of an object: NAME.png beside NAME.jpg, or in"
            f" {', '.join(_MASKS)}"
        )
    notes = []
    if missing := len(photographs) - len(masks):
        notes.append(f"{missing:,} photographs have no mask of an object and are left out")
    wanted = _wanted(root, options)
    if wanted is None:
        notes.append("all images are tested: no list of test images was found or given (--list)")
    else:
        unknown = wanted - {Path(key).stem for key in masks}
        if unknown:
            raise DatasetError(
                f"{len(unknown):,} images of the list have no photograph with a mask, for example {min(unknown)}"
            )
    keys = [key for key in masks if wanted is None or Path(key).stem in wanted][: options.images]
    examples = tuple(Example(key, None) for key in keys)
    return SalientImages(Listing("test", root, examples, tuple(notes)), masks)


def _photographs(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    kinds = (".jpg", ".jpeg")
    return sorted(path for path in folder.iterdir() if is_image(path.name) and path.suffix.lower() in kinds)


def _wanted(root: Path, options: Options) -> set[str] | None:
    """The names of the test images without suffix; None where there is no list."""
    file = options.listed or next((root / name for name in _LISTS if (root / name).is_file()), None)
    if file is None:
        return None
    try:
        words = [line.split() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read {file}: {error}") from error
    names = {Path(line[0]).stem for line in words if line}
    if not names:
        raise DatasetError(f"{file} names no image")
    return names


def object_mask(file: Path, size: tuple[int, int], orientation: int = 1) -> NDArray[np.bool_]:
    """The pixels of the object, (H, W) of the upright photograph. DatasetError: unreadable, empty, or of another size.

    orientation: of the photograph by EXIF; a mask of the picture as it is stored is turned with it.
    """
    try:
        with Image.open(file) as image:
            grey = ImageOps.exif_transpose(image).convert("L")
    except (OSError, ValueError) as error:
        raise DatasetError(f"cannot read {file}: {error}") from error
    if (grey.height, grey.width) != size and orientation in _TURNED:
        grey = grey.transpose(_TURNED[orientation])
    if (grey.height, grey.width) != size:
        raise DatasetError(f"{file} is {grey.width}×{grey.height} pixels, its photograph {size[1]}×{size[0]}")
    truth = np.asarray(grey) >= _WHITE
    if not truth.any():
        raise DatasetError(f"{file} marks no pixel")
    return truth


_TURNED = {
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class SalientObjects:
    """The experiment. MethodError for a method that has no stage 1."""

    name = "salient-objects"

    def __init__(self, model: str, images: SalientImages, methods: Sequence[str] = METHODS) -> None:
        for method in methods:
            if method not in METHODS:
                raise MethodError(f"{method} has no stage 1; the methods here are {', '.join(METHODS)}")
        self._model, self._images = model, images
        stage_1 = {"overrides": {"steps_class": 0}, "target": "predicted"}
        self._asks = {method: Ask(method, images.listing, options_of(method) | stage_1) for method in methods}

    def asks(self) -> Sequence[Ask]:
        return list(self._asks.values())

    def report(self, read: Read) -> Report:
        rows, numbers, floor = [], {}, None
        for method, ask in self._asks.items():
            scored = [(one, self._scores(one)) for one in read(ask)]
            known = [(one, own) for one, (own, _) in scored if own is not None]
            floor = np.array([full for _, (_, full) in scored if full is not None]).reshape(-1, 4)
            values = np.array([own for _, own in known]).reshape(-1, 4)
            ok = sum(one.status == ImageStatus.OK for one, _ in known)
            rows.append((f"{method}, stage 1", *_cells(values), usable(ok, len(known))))
            numbers[method] = _numbers(values, len(scored) - len(known))
        if floor is not None:
            rows.append(("all of the photograph", *_cells(floor), "–"))
            numbers["all"] = _numbers(floor, 0)
        table = Table(
            f"Salient objects, {self._model}, {len(self._images.listing.examples):,} images",
            ("method", "precision", "recall", "F, mean (95 %)", "F of the means", "MAE", "`ok`"),
            tuple(rows),
        )
        differences = (
            *self._images.listing.notes,
            f"the network is {self._model}; the paper has VGG-19",
            "F is the mean over images; the F-measure of mean precision and recall is beside it, as the paper does not"
            " say which it prints",
            "the threshold is twice the mean of the mask on the photograph",
            "the paper's own figures are not repeated here: our notes of it do not have them",
        )
        return Report("Salient objects on MSRA-B", (table,), differences, {"methods": numbers})

    def _scores(self, one: Masked) -> tuple[Salience | None, Salience | None]:
        """Of the mask, and of a mask that is 1 everywhere; None where photograph or truth cannot be read."""
        if one.size is None:
            return None, None
        try:
            truth = object_mask(self._images.masks[one.example.key], one.size, one.orientation)
        except DatasetError:
            return None, None
        share = float(truth.mean())
        full = Salience(share, 1.0, f_measure(share, 1.0), 1 - share)
        if one.mask is None or one.seen is None:
            return salience(np.zeros((1, 1)), one.size, whole(one.size), truth), full
        return salience(one.mask, one.size, one.seen, truth), full


def _cells(values: NDArray[np.float64]) -> tuple[str, ...]:
    if not len(values):
        return ("–",) * 5
    precision, recall, f, error = values.mean(0)
    return (
        percent(precision),
        percent(recall),
        percent(f, bootstrap(values[:, 2])),
        percent(f_measure(precision, recall)),
        f"{error:.3f}",
    )


def _numbers(values: NDArray[np.float64], unreadable: int) -> dict[str, Any]:
    if not len(values):
        return {"images": 0, "unreadable": unreadable}
    precision, recall, f, error = map(float, values.mean(0))
    return {
        "images": len(values),
        "unreadable": unreadable,
        "precision": precision,
        "recall": recall,
        "f_measure": f,
        "f_of_means": f_measure(precision, recall),
        "mae": error,
    }
