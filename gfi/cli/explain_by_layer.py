"""`gfi explain --by-layer`: what each depth of the network still preserves of a photograph, one strip per
photograph."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gfi.cli.errors import CommandError
from gfi.cli.explain_photographs import batch_of
from gfi.cli.picture_files import OPACITY, make_writable, mask_on_photograph, stems
from gfi.datasets.decode import Photograph, decode_for
from gfi.datasets.errors import DatasetError
from gfi.domain.preprocess import Preprocess
from gfi.domain.presets import PAPER
from gfi.method import suitability
from gfi.method.classifiers import load
from gfi.method.depths import by_layer
from gfi.report.contact_sheet import Cell, contact_png
from gfi.report.overlays import overlay
from gfi.store.settings import Settings

TITLE = "What each depth preserves: inversion error, 0 is everything"


def depths_of_photos(
    photos: Sequence[Path], output: Path, *, model: str, batch: int | None, device: str, colours: str
) -> list[dict[str, Any]]:
    """Write NAME-by-layer.png for each photograph into `output`. Returns one row per photograph and layer.

    Raises CommandError for a photograph that cannot be read and when `output` cannot be written.
    """
    make_writable(output)
    classifier = load(model, Settings.load().models)
    suitability.check_suitable(classifier)
    photographs = [_decode(photo, classifier.preprocess) for photo in photos]
    prepared = [classifier.prepare(photograph.seen, PAPER, photograph.scale) for photograph in photographs]
    cells = [[Cell(photograph.rgb, "the photograph")] for photograph in photographs]
    strips = [output / f"{stem}-by-layer.png" for stem in stems(photos)]
    rows: list[dict[str, Any]] = []
    layers: list[str] = []
    for depth in by_layer(classifier, prepared, batch=batch_of(batch, len(photos)), device=device):
        i = depth.image
        mask, on_photograph = mask_on_photograph(
            depth.grid, classifier.preprocess.size, PAPER, photographs[i], prepared[i].box
        )
        picture = overlay(photographs[i].rgb, on_photograph, OPACITY, colours)
        cells[i].append(Cell(picture, f"error {depth.error:.2f}"))
        if depth.layer not in layers:
            layers.append(depth.layer)
        rows.append(
            {
                "photograph": str(photos[i]),
                "layer": depth.layer,
                "error": round(depth.error, 4),
                "status": depth.status,
                "area": round(float(mask.mean()), 4),
                "strip": str(strips[i]),
            }
        )
    for strip, row in zip(strips, cells, strict=True):
        strip.write_bytes(contact_png(["", *layers], [("", row)], TITLE))
    return rows


def _decode(photo: Path, preprocess: Preprocess) -> Photograph:
    try:
        return decode_for(photo.read_bytes(), preprocess)
    except (DatasetError, OSError) as error:
        raise CommandError(f"{photo}: {error}") from error
