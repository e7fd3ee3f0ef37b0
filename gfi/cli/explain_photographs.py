"""`gfi explain`: photographs through the engine in this process."""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gfi.cli.errors import CommandError
from gfi.datasets.decode import Photograph, decode
from gfi.datasets.errors import DatasetError
from gfi.domain.class_index import ClassIndex


@dataclass(frozen=True)
class _Wanted:
    """One explanation of one photograph."""

    photo: Path
    stem: str
    """Of its files' names."""
    target: int | None
    photograph: Photograph
    box: tuple[float, float, float, float]


def explain_photos(
    photos: Sequence[Path], output: Path, *, model: str, preset: str | None, layers: str | None, target: str | None,
    rather_than: str | None, top: int | None, batch: int | None, device: str, colours: str, quiet: bool,
) -> list[dict[str, Any]]:  # fmt: skip
    """Explain `photos` and write NAME-mask.png and NAME-overlay.png into `output`; one row a photograph.

    top: instead, for each of the so many most probable classes NAME-CLASS-mask.png and NAME-CLASS-overlay.png, a row
    each, the most probable first. A photograph that cannot be read becomes a row with status `error`. Raises
    MethodError for a wrong model, layer or preset, and CommandError for a wrong class and when `output` cannot be
    written.
    """
    from gfi.domain import interpolation
    from gfi.domain.explanation import StepProgress
    from gfi.domain.layer_names import Layers
    from gfi.domain.presets import recipe
    from gfi.method.classifiers import load
    from gfi.method.engine import Engine
    from gfi.method.item import Item
    from gfi.report.overlays import fit_mask, grey, overlay, png
    from gfi.store.settings import Settings

    writable(output)
    classifier = load(model, Settings.load().models)
    chosen = recipe(preset or classifier.default_preset)
    classes = ClassIndex.of(classifier.class_names, classifier.wordnet_ids, classifier.classes)

    def number(text: str | None, what: str) -> int | None:
        if text is None:
            return None
        found = classes.find(text)
        if found is None:
            raise CommandError(
                f"{what} {text!r} is no class of {model}; give a class index, WordNet id or name"
            )
        return found

    def name(index: int | None) -> Any:
        return index if index is None or not classifier.class_names else classifier.class_names[index]

    wanted, foil = number(target, "target"), number(rather_than, "rather-than")
    if top is not None and top > classifier.classes:
        raise CommandError(f"{model} has {classifier.classes} classes; --top {top} is more")
    named = Layers.parse(layers) if layers else None
    engine = Engine(classifier, chosen, named, device=device, batch=_batch(batch, len(photos) * (top or 1)))
    under_way: dict[int, _Wanted] = {}
    rows: dict[int, dict[str, Any]] = {}
    stems = _stems(photos)
    taken: set[str] = set()

    def items() -> Iterator[Item]:
        for photo, stem in zip(photos, stems, strict=True):
            try:
                photograph = decode(photo.read_bytes())
            except (DatasetError, OSError) as error:
                rows[len(rows)] = {"photograph": str(photo), "status": "error", "error": str(error)}
                print(f"gfi: {photo}: {error}", file=sys.stderr)
                continue
            prepared = classifier.prepare(photograph.rgb, chosen, photograph.scale)
            targets = [wanted] if top is None else engine.most_probable(prepared, top)
            for each in targets:
                if top is not None and each == foil:
                    continue  # nothing tells a class from itself
                files = stem if top is None else f"{stem}-{_in_a_file_name(name(each))}"
                if files in taken:  # ImageNet has two cranes
                    files = f"{files}-{each}"
                taken.add(files)
                index = len(rows)
                rows[index] = {"photograph": str(photo), "status": "error", "error": None}
                under_way[index] = _Wanted(photo, files, each, photograph, prepared.box)
                yield Item(index, prepared, each, foil)

    def show(now: StepProgress) -> None:
        if not quiet and sys.stderr.isatty():
            first = under_way[now.indices_in_flight[0]].photo.name
            print(
                f"\r{first} and {len(now.indices_in_flight) - 1} more: step {now.step}   ",
                end="",
                file=sys.stderr,
            )

    for explanation in engine.explain_many(items(), progress=show):
        done = under_way.pop(explanation.index)
        mask = interpolation.draw(explanation.grid, classifier.preprocess.size, chosen.align_corners)
        placed = fit_mask(mask, done.photograph.rgb.shape[:2], _shrunk(done.box, done.photograph))
        files = {"mask": output / f"{done.stem}-mask.png", "overlay": output / f"{done.stem}-overlay.png"}
        files["mask"].write_bytes(png(grey(placed)))
        files["overlay"].write_bytes(png(overlay(done.photograph.rgb, placed, 0.55, colours)))
        rows[explanation.index] |= {
            "status": explanation.status,
            "target": name(explanation.target),
            "rather_than": name(explanation.foil),
            "prediction": name(explanation.prediction),
            "probability": round(explanation.probability, 4),
            "kept": round(explanation.kept, 4),
            "removed": round(explanation.removed, 4),
            "area": round(explanation.area, 4),
            "iterations": explanation.iterations,
            "mask": str(files["mask"]),
            "overlay": str(files["overlay"]),
        }
    if not quiet and sys.stderr.isatty():
        print("\r" + " " * 70 + "\r", end="", file=sys.stderr)
    return [rows[index] for index in sorted(rows)]


def depths_of_photos(
    photos: Sequence[Path], output: Path, *, model: str, batch: int | None, device: str, colours: str
) -> list[dict[str, Any]]:
    """Write NAME-by-layer.png, what each depth still keeps, for each photograph; one row a photograph and layer.

    Raises CommandError for a photograph that cannot be read and when `output` cannot be written.
    """
    from gfi.domain import interpolation
    from gfi.domain.presets import PAPER
    from gfi.method.classifiers import load
    from gfi.method.depths import by_layer
    from gfi.report.contact_sheet import Cell, contact_png
    from gfi.report.overlays import fit_mask, overlay
    from gfi.store.settings import Settings

    writable(output)
    classifier = load(model, Settings.load().models)
    decoded = []
    for photo in photos:
        try:
            decoded.append(decode(photo.read_bytes()))
        except (DatasetError, OSError) as error:
            raise CommandError(f"{photo}: {error}") from error
    prepared = [classifier.prepare(each.rgb, PAPER, each.scale) for each in decoded]
    cells = [[Cell(each.rgb, "the photograph")] for each in decoded]
    strips = [str(output / f"{stem}-by-layer.png") for stem in _stems(photos)]
    rows: list[dict[str, Any]] = []
    layers: list[str] = []
    for depth in by_layer(classifier, prepared, batch=_batch(batch, len(photos)), device=device):
        photograph, i = decoded[depth.image], depth.image
        mask = interpolation.draw(depth.grid, classifier.preprocess.size, PAPER.align_corners)
        placed = fit_mask(mask, photograph.rgb.shape[:2], _shrunk(prepared[i].box, photograph))
        cells[i].append(Cell(overlay(photograph.rgb, placed, 0.55, colours), f"error {depth.error:.2f}"))
        if depth.layer not in layers:
            layers.append(depth.layer)
        rows.append(
            {
                "photograph": str(photos[i]),
                "layer": depth.layer,
                "error": round(depth.error, 4),
                "status": depth.status,
                "area": round(float(mask.mean()), 4),
                "strip": strips[i],
            }
        )
    for strip, row in zip(strips, cells, strict=True):
        title = "What each depth still keeps: inversion error, 0 is all"
        Path(strip).write_bytes(contact_png(["", *layers], [("", row)], title))
    return rows


def writable(output: Path) -> None:
    """Make the folder; CommandError with advice where nothing can be written there."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / ".gfi-writable").touch()
        (output / ".gfi-writable").unlink()
    except OSError as error:
        raise CommandError(
            f"{output} cannot be written: {error.strerror}; choose another with --output"
        ) from error


def _in_a_file_name(name: object) -> str:
    """`tiger cat` as tiger-cat: letters, digits and hyphens, at most 40."""
    return re.sub(r"[^A-Za-z0-9]+", "-", str(name)).strip("-")[:40] or "class"


def _shrunk(
    box: tuple[float, float, float, float], photograph: Photograph
) -> tuple[float, float, float, float]:
    """`box` in pixels of the decoded array rather than of the original."""
    sx, sy = photograph.scale
    return box[0] / sx, box[1] / sy, box[2] / sx, box[3] / sy


def _batch(asked: int | None, explanations: int) -> int | None:
    """What was asked; else one or two photographs do not pay for a padded batch, and more take what fits."""
    return asked or (explanations if explanations <= 2 else None)


def _stems(photos: Sequence[Path]) -> list[str]:
    """A file name a photograph; two of one name are told apart by a number."""
    seen: dict[str, int] = {}
    stems = []
    for photo in photos:
        seen[photo.stem] = seen.get(photo.stem, 0) + 1
        stems.append(photo.stem if seen[photo.stem] == 1 else f"{photo.stem}-{seen[photo.stem]}")
    return stems
