"""`gfi explain`: explains photographs in this process and writes a mask and an overlay for each."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gfi.cli.errors import CommandError
from gfi.cli.picture_files import OPACITY, class_in_file_name, make_writable, mask_on_photograph, stems
from gfi.datasets.decode import DEFAULT as LIMITS
from gfi.datasets.decode import Photograph, decode_for
from gfi.domain.class_index import ClassIndex
from gfi.domain.explanation import Explanation, StepProgress
from gfi.domain.layer_names import Layers
from gfi.domain.presets import recipe_of_method
from gfi.method import suitability
from gfi.method.classifiers import Classifier, load
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.peers.peer_engine import make_engine
from gfi.report.overlays import grey, overlay, png
from gfi.store.errors import one_line
from gfi.store.settings import Settings


def explain_photos(
    photos: Sequence[Path],
    output: Path,
    *,
    model: str,
    method: str,
    preset: str | None,
    layers: str | None,
    target: str | None,
    rather_than: str | None,
    top: int | None,
    batch: int | None,
    device: str,
    colours: str,
    quiet: bool,
    overrides: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Explain `photos` and write NAME-mask.png and NAME-overlay.png into `output`. Returns one row per photograph.

    With `top`, explains this many of the most probable classes of each photograph, writes NAME-CLASS-mask.png and
    NAME-CLASS-overlay.png, and returns one row per class, the most probable first. A photograph that cannot be read
    becomes a row with status `error`. overrides: single fields of the recipe.

    Raises MethodError for a wrong model, layer or preset, and CommandError for a wrong class and when `output` cannot
    be written.
    """
    make_writable(output)
    classifier = load(model, Settings.load().models)
    suitability.check_suitable(classifier)
    classes = _Classes(classifier)
    wanted, foil = classes.number(target, "target"), classes.number(rather_than, "rather-than")
    if top is not None and top > classifier.classes:
        raise CommandError(f"{model} has {classifier.classes} classes; --top {top} is more")
    engine = make_engine(
        classifier,
        recipe_of_method(method, preset, **(overrides or {})),
        Layers.parse(layers) if layers else None,
        device=device,
        batch=batch_of(batch, len(photos) * (top or 1)),
    )
    run = _Run(engine, classes, output, colours)
    show = not quiet and sys.stderr.isatty()
    items = run.items(photos, wanted, foil, top)
    for explanation in engine.explain_many(items, progress=run.show if show else None):
        run.finish(explanation)
    if show:
        print("\r" + " " * 70 + "\r", end="", file=sys.stderr)
    return [run.rows[index] for index in sorted(run.rows)]


def batch_of(asked: int | None, explanations: int) -> int | None:
    """The requested batch. By default the number of explanations if it is one or two, and None, which means what fits
    the memory, for more."""
    return asked or (explanations if explanations <= 2 else None)


class _Classes:
    """The classes of a model, found by index, WordNet id or name."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._index = ClassIndex.of(classifier.class_names, classifier.wordnet_ids, classifier.classes)

    def number(self, text: str | None, option: str) -> int | None:
        """The class that `text` names; None for None. Raises CommandError if it is not a class of the model."""
        if text is None:
            return None
        number = self._index.find(text)
        if number is None:
            raise CommandError(
                f"{option} {text!r} is not a class of {self._classifier.reference}; give a class index, WordNet id"
                " or name"
            )
        return number

    def name(self, number: int | None) -> Any:
        """The name of a class; its number if the model has no names."""
        names = self._classifier.class_names
        return number if number is None or not names else names[number]


@dataclass(frozen=True)
class _Started:
    """An explanation that the engine works on."""

    photo: Path
    stem: str
    """The beginning of the names of its files."""
    photograph: Photograph
    box: tuple[float, float, float, float]


class _Run:
    """Supplies photographs to the engine and writes a row and two pictures for each explanation."""

    def __init__(self, engine: Engine, classes: _Classes, output: Path, colours: str) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        self._engine, self._classes = engine, classes
        self._output, self._colours = output, colours
        self._started: dict[int, _Started] = {}
        self._taken: set[str] = set()

    def items(
        self, photos: Sequence[Path], target: int | None, foil: int | None, top: int | None
    ) -> Iterator[Item]:
        """An item for each explanation. A photograph that cannot be read gets its row at once."""
        for photo, stem in zip(photos, stems(photos), strict=True):
            try:
                photograph = decode_for(_bytes(photo), self._engine.classifier.preprocess)
                prepared = self._engine.classifier.prepare(
                    photograph.seen, self._engine.recipe, photograph.scale
                )
            except Exception as error:
                self._fail(len(self.rows), photo, error)
                continue
            targets: list[int | None] = [target]
            if top is not None:  # a class cannot be contrasted with itself: the next one takes its place
                probable = self._engine.most_probable(prepared, top + (foil is not None))
                targets = [number for number in probable if number != foil]
                del targets[top:]
            for number in targets:
                index = len(self.rows)
                self.rows[index] = _failed(photo, None)
                files = self._file_stem(stem, None if top is None else number)
                self._started[index] = _Started(photo, files, photograph, prepared.box)
                yield Item(index, prepared, number, foil)

    def _file_stem(self, stem: str, number: int | None) -> str:
        """`stem`, with the name of class `number` if there is one, and its number if another class has this name."""
        files = stem if number is None else f"{stem}-{class_in_file_name(self._classes.name(number))}"
        if files in self._taken:  # ImageNet has two classes named crane
            files = f"{files}-{number}"
        self._taken.add(files)
        return files

    def finish(self, explanation: Explanation) -> None:
        """Write the pictures of an explanation and complete its row. CommandError when `output` cannot be written."""
        started = self._started.pop(explanation.key)
        try:
            self._finish(started, explanation)
        except OSError as error:
            raise CommandError(f"{self._output} cannot be written: {error.strerror or error}") from error
        except Exception as error:
            self._fail(explanation.key, started.photo, error)

    def _fail(self, index: int, photo: Path, error: Exception) -> None:
        """An error of one photograph becomes the row of that photograph."""
        reason = "it needs more memory than there is" if isinstance(error, MemoryError) else one_line(error)
        self.rows[index] = _failed(photo, reason)
        print(f"gfi: {photo}: {reason}", file=sys.stderr)

    def _finish(self, started: _Started, explanation: Explanation) -> None:
        recipe, size = self._engine.recipe, self._engine.classifier.preprocess.size
        _, mask = mask_on_photograph(explanation.grid, size, recipe, started.photograph, started.box)
        mask_file = self._output / f"{started.stem}-mask.png"
        overlay_file = self._output / f"{started.stem}-overlay.png"
        mask_file.write_bytes(png(grey(mask)))
        overlay_file.write_bytes(png(overlay(started.photograph.rgb, mask, OPACITY, self._colours)))
        name = self._classes.name
        self.rows[explanation.key] |= {
            "status": explanation.status,
            "target": name(explanation.target),
            "rather_than": name(explanation.foil),
            "prediction": name(explanation.prediction),
            "probability": round(explanation.probability, 4),
            "kept": round(explanation.kept, 4),
            "removed": round(explanation.removed, 4),
            "area": round(explanation.area, 4),
            "iterations": explanation.iterations,
            **({"window": str(window)} if (window := started.photograph.window) else {}),
            "mask": str(mask_file),
            "overlay": str(overlay_file),
        }

    def show(self, progress: StepProgress) -> None:
        """One line on stderr that is rewritten with every step."""
        first = self._started[progress.in_flight[0]].photo.name
        others = len(progress.in_flight) - 1
        print(f"\r{first} and {others} more: step {progress.step}   ", end="", file=sys.stderr)


def _bytes(photo: Path) -> bytes:
    """The content of the file. Of a file above the size limit only one byte more than the limit is read, which `decode`
    refuses."""
    with photo.open("rb") as file:
        return file.read(LIMITS.bytes + 1)


def _failed(photo: Path, error: str | None) -> dict[str, Any]:
    return {"photograph": str(photo), "status": "error", "error": error}
