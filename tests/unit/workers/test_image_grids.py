"""The grids of a job's own images: which images they have, and what a mask of one scores."""

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gfi.datasets.manifest import Entry
from gfi.domain.errors import Stopped
from gfi.method.preprocess import Prepared
from workers.image_grids import Grid, ImageGrids

SIZE, IMAGES = 8, 12
BOX = (0.0, 0.0, 8.0, 8.0)


class Listing:
    """A job of twelve images; image i has the value i everywhere."""

    count = IMAGES

    def rows(self, start: int, stop: int) -> list[Entry]:
        return [Entry(row, f"{row}.png", 1, "") for row in range(start, stop)]


def read(entry: Entry) -> Any:
    """Image 5 cannot be read."""
    image = torch.full((3, SIZE, SIZE), float(entry.row))
    prepared = None if entry.row == 5 else Prepared(image, None, (SIZE, SIZE), BOX)
    return SimpleNamespace(entry=entry, prepared=prepared)


def probabilities_of(prepared: Prepared) -> torch.Tensor:
    """The classes of the images are 0 0 1 1 2 2 …; of images 7 and 9 the network is not sure."""
    row = int(prepared.image[0, 0, 0])
    sure = 0.2 if row in (7, 9) else 0.9
    return torch.nn.functional.one_hot(torch.tensor(row // 2), 6) * sure


def grid_of(
    row: int, probability: float = 0.9, prediction: int | None = None, stop: bool = False
) -> Grid | None:
    classifier = SimpleNamespace(preprocess=SimpleNamespace(size=(SIZE, SIZE)))
    engine: Any = SimpleNamespace(classifier=classifier, probabilities_of=probabilities_of)
    event = threading.Event()
    if stop:
        event.set()
    listing: Any = Listing()
    grids = ImageGrids(engine, listing, read, lambda: None, event)
    predicted = row // 2 if prediction is None else prediction
    explanation: Any = SimpleNamespace(target=row // 2, prediction=predicted)
    return grids.of(read(Entry(row, "", 1, "")), explanation, "a" * 64)


def test_a_grid_has_the_image_in_its_cell_and_three_others_of_other_classes_and_is_always_the_same() -> None:
    cells = set()
    for row in (0, 1, 2, 3, 8, 11):
        grid = grid_of(row)
        assert grid is not None
        corners = grid.image[0, :: SIZE - 1, :: SIZE - 1].flatten().round().long().tolist()
        assert corners[grid.cell] == row
        assert len({value // 2 for value in corners}) == 4
        assert not {5, 7, 9} & set(corners), "image 5 cannot be read, and others are surer than 7 and 9"
        again = grid_of(row)
        assert again is not None
        assert torch.equal(grid.image, again.image)
        cells.add(grid.cell)
    assert len(cells) > 1


def test_an_image_that_is_predicted_as_another_class_has_no_grid() -> None:
    assert grid_of(0, prediction=3) is None
    with pytest.raises(Stopped):
        grid_of(0, stop=True)


def test_a_mask_in_the_cell_of_the_image_scores_one_and_a_constant_one_zero() -> None:
    grid = Grid(0, torch.zeros(3, SIZE, SIZE), None, target=0, cell=3)
    mask = np.zeros((4, 4), np.float32)
    mask[3, 3] = 1
    assert grid.score(mask, True) == {"grid_pointing": pytest.approx(1, abs=0.05), "grid_hit": 1.0}
    assert grid.score(np.zeros((4, 4), np.float32), True) == {"grid_pointing": 0.0, "grid_hit": 0.0}
