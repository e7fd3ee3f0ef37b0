"""Scores of masks: photographs, grids made from them, the network, and every score of one method.

Masks come from the engine and from `gfi.peers`. Scores need a hundred thousand forward passes; they run on OpenVINO
where it is installed (`benchmarks.forward`).
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks import photographs
from benchmarks.forward import forward
from gfi import peers, samples
from gfi.domain import geometry
from gfi.domain.layer_names import Layers
from gfi.domain.methods import PEERS
from gfi.domain.presets import PAPER, PRESETS
from gfi.domain.recipes import Recipe
from gfi.method.classifiers import Classifier, load
from gfi.method.item import Item
from gfi.method.preprocess import Prepared
from gfi.metrics import fills
from gfi.metrics.average_drop import average_drop
from gfi.metrics.curves import Fill
from gfi.metrics.deletion import deletion
from gfi.metrics.energy_in_box import energy_in_box
from gfi.metrics.grid_pointing import choose, compose, grid_pointing
from gfi.metrics.insertion import insertion
from gfi.metrics.photograph_fill import Bank
from gfi.peers.peer_engine import make_engine

REFERENCE = "grad-cam"
RANDOMISED = "tuned, randomised weights"
OPTI_CAM = "opti-cam"
METHODS = (
    REFERENCE,
    "tuned",
    "random",
    "centred",
    "layer-cam",
    RANDOMISED,
    "integrated-gradients",
    "occlusion",
    "paper",
    "rise",
    OPTI_CAM,
)
SLOW = ("paper", "rise", "occlusion", "integrated-gradients", OPTI_CAM)
"""Methods that take hundreds of passes for each image: fewer photographs, and no grids unless --full."""
IMPUTED = (REFERENCE, "tuned")
"""Methods scored with the imputation too, unless --full: solving for missing pixels takes longer than the passes."""

FILLS: dict[str, Callable[[Tensor], Fill]] = {
    "blur": fills.blurred,
    "mean": fills.mean_colour,
    "noise": fills.white_noise,
    "imputation": lambda images: fills.imputation(),
}
PHOTOGRAPH = "photograph"
"""Another photograph as the fill: the metric `photograph_fill`, whose bank are the shipped samples."""
EVERY_FILL = (*FILLS, PHOTOGRAPH)

Scores = dict[str, list[float]]
"""Name of a score → one value for each photograph (or grid)."""


class Setting:
    """The photographs, the grids made from them, and the network.

    count: photographs that are scored; grids: how many of 2×2 and of 3×3 photographs.
    """

    def __init__(self, network: str, directory: Path, count: int, grids: tuple[int, int]) -> None:
        self.classifier = load(network, photographs.NETWORKS)
        self.probabilities = forward(self.classifier)
        self.files = photographs.files(directory)
        everything = self.load(self.files)
        answers = torch.cat([self.probabilities(part) for part in everything.split(25)])
        confidence, predicted = answers.max(1)
        step = max(1, len(self.files) // count)
        chosen = list(range(0, len(self.files), step))[:count]
        self.images, self.targets = everything[chosen], predicted[chosen]
        self.names = [self.files[i].name for i in chosen]
        self.grids: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        """Side n → (images (G, 3, H, W), targets (G,), the targets' cells (G,))."""
        self.least: dict[int, float] = {}
        """Side n → the lowest confidence of a photograph in a grid."""
        for n, how_many in zip((2, 3), grids, strict=True):
            if not how_many:
                continue
            which = self._confident(predicted.tolist(), confidence.tolist(), n, how_many)
            if which is None:
                continue
            cells = torch.arange(how_many) % (n * n)
            stacks = torch.stack([everything[list(grid)] for grid in which])
            images = compose(stacks, n, self.classifier.preprocess.size)
            targets = torch.stack(
                [predicted[grid[cell]] for grid, cell in zip(which, cells.tolist(), strict=True)]
            )
            self.grids[n] = (images, targets, cells)

    def _confident(
        self, predicted: Sequence[int], confidence: Sequence[float], n: int, how_many: int
    ) -> list[tuple[int, ...]] | None:
        """Grids at the highest confidence with enough classes; None if there are never enough."""
        for least in (0.9, 0.7, 0.5, 0.3):
            try:
                which = choose(predicted, confidence, n, how_many, least=least)
            except ValueError:
                continue
            self.least[n] = least
            return which
        return None

    @cached_property
    def bank(self) -> Bank:
        """The photographs that `photograph_fill` takes."""
        names = sorted(f for f in samples.path().iterdir() if f.suffix == ".jpg")
        return Bank.of(self.probabilities, self.load(names))

    def photograph_fills(self, targets: Tensor) -> Tensor:
        """A photograph of another class for each of the targets (N,), (N, C, H, W)."""
        made = [self.bank.fill_for(target) for target in targets.tolist()]
        return torch.stack([fill for fill in made if fill is not None])

    def load(self, files: Iterable[Path]) -> Tensor:
        """Normalised images (N, 3, H, W)."""
        return torch.stack([self.prepare(file).image for file in files])

    def prepare(self, file: Path) -> Prepared:
        """The network's input for one photograph."""
        return self.classifier.prepare(np.asarray(Image.open(file).convert("RGB")), PAPER)

    def key(self, method: str) -> str:
        """A short digest of everything on which the scores of a method depend."""
        recipe = PRESETS[method.partition(",")[0]].digest() if method.partition(",")[0] in PRESETS else ""
        shape = [self.names, {n: len(g[1]) for n, g in self.grids.items()}, self.classifier.digest]
        return hashlib.sha256(json.dumps([method, recipe, shape]).encode()).hexdigest()[:16]


def masks(setting: Setting, method: str, images: Tensor, targets: Tensor) -> Tensor:
    """Masks (N, 1, H, W) of one method for images (N, 3, H, W)."""
    if method in PRESETS:
        return optimised(setting.classifier, PRESETS[method], images, targets)
    if method == OPTI_CAM:
        return optimised(setting.classifier, PEERS[method], images, targets)
    if method == RANDOMISED:
        blank = Classifier(
            peers.randomised(setting.classifier.module),
            "randomised",
            setting.classifier.preprocess,
            own_layers=Layers("_swish", ("_swish",)),
        )
        return optimised(blank, PRESETS["tuned"], images, targets)
    options: dict[str, Any] = {}
    if method in peers.NEED_LAYER:
        options["layer"] = setting.classifier.layers_for(PAPER).inverted
    if method in ("rise", "occlusion"):
        options["probabilities"] = setting.probabilities
    return peers.explain(method, setting.classifier.module, images, targets, **options)


def optimised(classifier: Classifier, recipe: Recipe, images: Tensor, targets: Tensor) -> Tensor:
    """Masks (N, 1, H, W) of the engine."""
    engine = make_engine(classifier, recipe)
    size = (images.shape[2], images.shape[3])
    box = (0.0, 0.0, float(size[1]), float(size[0]))
    items = (Item(i, Prepared(x, None, size, box), int(targets[i])) for i, x in enumerate(images))
    done = sorted(engine.explain_many(items), key=lambda e: e.index)
    drawn = [geometry.draw(e.grid, size, recipe.align_corners) for e in done]
    return torch.from_numpy(np.stack(drawn)).unsqueeze(1)


class Parts:
    """The scores of one method on the first `count` photographs, in parts that are kept as files in `home`.

    A part that exists is read, so an interrupted run continues.
    """

    def __init__(self, setting: Setting, method: str, count: int, home: Path) -> None:
        self.setting, self.method = setting, method
        self.images, self.targets = setting.images[:count], setting.targets[:count]
        self.prefix = home / f"{setting.key(method)}-{count}"
        self._masks: Tensor | None = None

    def part(self, name: str, make: Callable[[], Scores]) -> Scores:
        """The part called `name`: read from its file, or computed and stored."""
        file = self.prefix.with_name(f"{self.prefix.name}-{name}.json")
        if not file.exists():
            began = time.monotonic()
            file.write_text(json.dumps(make()))
            print(f"  {self.method}: {name} took {time.monotonic() - began:.0f} s", flush=True)
        return dict(json.loads(file.read_text()))

    @property
    def masks(self) -> Tensor:
        """The masks (count, 1, H, W), stored as a file too."""
        if self._masks is None:
            file = self.prefix.with_name(f"{self.prefix.name}.npy")
            if not file.exists():
                np.save(file, masks(self.setting, self.method, self.images, self.targets).numpy())
            self._masks = torch.from_numpy(np.load(file))
        return self._masks

    def curves(self, fill: str, count: int) -> Scores:
        """Insertion and deletion with one fill, on the first `count` photographs."""
        shown = self.images[:count], self.masks[:count], self.targets[:count]
        base = self.setting.photograph_fills(shown[2]) if fill == PHOTOGRAPH else FILLS[fill](shown[0])
        return {
            f"insertion {fill}": insertion(self.setting.probabilities, *shown, base).area.tolist(),
            f"deletion {fill}": deletion(self.setting.probabilities, *shown, base).area.tolist(),
        }

    def drops(self) -> Scores:
        """Average drop and increase, and the area."""
        drop = average_drop(self.setting.probabilities, self.images, self.masks, self.targets)
        return {
            "average_drop": drop.drop.tolist(),
            "average_increase": drop.increase.double().tolist(),
            "area": self.masks.mean((1, 2, 3)).tolist(),
        }

    def pointing(self, n: int) -> Scores:
        """The n×n grid pointing game."""
        grids, targets, cells = self.setting.grids[n]
        result = grid_pointing(masks(self.setting, self.method, grids, targets), n, cells)
        return {f"share {n}": result.share.tolist(), f"hit {n}": result.hit.double().tolist()}


def score(
    setting: Setting, method: str, count: int, grids: bool, wanted: Iterable[str], home: Path, imputed: int
) -> Scores:
    """All scores of one method on the first `count` photographs.

    grids: whether to compute the grid pointing game. wanted: names of fills. imputed: number of photographs scored with
    the imputation. home: the folder of finished parts.
    """
    parts = Parts(setting, method, count, home)
    scores: Scores = {}
    for fill in wanted:
        few = imputed if fill == "imputation" else count
        name = f"{fill}-{imputed}" if fill == "imputation" else fill
        scores |= parts.part(name, lambda fill=fill, few=few: parts.curves(fill, few))  # type: ignore[misc]
    scores |= parts.part("others", parts.drops)
    for n in setting.grids if grids else ():
        scores |= parts.part(f"grids{n}", lambda n=n: parts.pointing(n))  # type: ignore[misc]
    if method not in SLOW or grids:
        scores |= parts.part("boxes", lambda: energies(setting, method))
    return scores


def energies(setting: Setting, method: str) -> Scores:
    """Energy in box on the shipped samples whose label is the network's prediction; nothing for other classes."""
    if not setting.classifier.wordnet_ids:
        return {}
    entries = [json.loads(line) for line in samples.manifest().read_text().splitlines()]
    entries = [e for e in entries if e["label"] is not None]
    shown = [setting.prepare(samples.path().parent / e["key"]) for e in entries]
    images = torch.stack([p.image for p in shown])
    targets = setting.probabilities(images).argmax(1)
    predicted = [setting.classifier.wordnet_ids[t] for t in targets.tolist()]
    right = [i for i, e in enumerate(entries) if e["label"] == predicted[i]]
    shares = energy_in_box(
        masks(setting, method, images[right], targets[right]).numpy(),
        [shown[i].original_size for i in right],
        [shown[i].box for i in right],
        [entries[i]["boxes"] for i in right],
    )
    return {"energy": shares.tolist()}
