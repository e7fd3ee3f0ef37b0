"""`gfi explain`: photographs through the engine in this process."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cli.errors import CommandError
from datasets.annotations import ClassIndex
from datasets.decode import Photograph, decode
from datasets.errors import DatasetError


def explain_photos(
    photos: Sequence[Path], output: Path, *, model: str, preset: str | None, layers: str | None, target: str | None,
    batch: int, device: str, colours: str, quiet: bool,
) -> list[dict[str, Any]]:  # fmt: skip
    """Explain `photos` and write NAME-mask.png and NAME-overlay.png into `output`; one row a photograph.

    A photograph that cannot be read becomes a row with status `error`. Raises MethodError for a wrong model, layer or
    preset, and CommandError when `output` cannot be written.
    """
    from gfi import interpolation
    from gfi.classifiers import load
    from gfi.engine import Engine, Item, Progress
    from gfi.layer_names import Layers
    from gfi.recipes import recipe
    from report.pictures import fit_mask, grey, overlay, png
    from store.settings import Settings

    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / ".gfi-writable").touch()
        (output / ".gfi-writable").unlink()
    except OSError as error:
        raise CommandError(
            f"{output} cannot be written: {error.strerror}; choose another with --output"
        ) from error
    classifier = load(model, Settings.load().models)
    chosen = recipe(preset or classifier.default_preset)
    wanted = None
    if target is not None:
        wanted = ClassIndex(classifier.class_names, classifier.wordnet_ids).find(target)
        if wanted is None:
            raise CommandError(
                f"target {target!r} is no class of {model}; give a class index, WordNet id or name"
            )
    engine = Engine(classifier, chosen, Layers.parse(layers) if layers else None, device=device, batch=batch)
    rows: list[dict[str, Any]] = [
        {"photograph": str(photo), "status": "error", "error": None} for photo in photos
    ]
    decoded: dict[int, Photograph] = {}
    boxes: dict[int, tuple[float, float, float, float]] = {}
    stems = _stems(photos)

    def items() -> Iterator[Item]:
        for index, photo in enumerate(photos):
            try:
                decoded[index] = decode(photo.read_bytes())
            except (DatasetError, OSError) as error:
                rows[index]["error"] = str(error)
                print(f"gfi: {photo}: {error}", file=sys.stderr)
                continue
            prepared = classifier.prepare(decoded[index].rgb, chosen, decoded[index].scale)
            boxes[index] = prepared.box
            yield Item(index, prepared, wanted)

    def show(now: Progress) -> None:
        if not quiet and sys.stderr.isatty():
            first = photos[now.indices_in_flight[0]].name
            print(
                f"\r{first} and {len(now.indices_in_flight) - 1} more: step {now.step}   ",
                end="",
                file=sys.stderr,
            )

    for explanation in engine.explain_many(items(), progress=show):
        photograph = decoded.pop(explanation.index)
        mask = interpolation.draw(explanation.grid, classifier.preprocess.size, chosen.align_corners)
        placed = fit_mask(mask, photograph.rgb.shape[:2], _shrunk(boxes[explanation.index], photograph))
        stem = stems[explanation.index]
        files = {"mask": output / f"{stem}-mask.png", "overlay": output / f"{stem}-overlay.png"}
        files["mask"].write_bytes(png(grey(placed)))
        files["overlay"].write_bytes(png(overlay(photograph.rgb, placed, 0.55, colours)))
        names = classifier.class_names
        rows[explanation.index] |= {
            "status": explanation.status,
            "target": names[explanation.target] if names else explanation.target,
            "prediction": names[explanation.prediction] if names else explanation.prediction,
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
    return rows


def _shrunk(
    box: tuple[float, float, float, float], photograph: Photograph
) -> tuple[float, float, float, float]:
    """`box` in pixels of the decoded array rather than of the original."""
    sx, sy = photograph.scale
    return box[0] / sx, box[1] / sy, box[2] / sx, box[3] / sy


def _stems(photos: Sequence[Path]) -> list[str]:
    """A file name a photograph; two of one name are told apart by a number."""
    seen: dict[str, int] = {}
    stems = []
    for photo in photos:
        seen[photo.stem] = seen.get(photo.stem, 0) + 1
        stems.append(photo.stem if seen[photo.stem] == 1 else f"{photo.stem}-{seen[photo.stem]}")
    return stems
