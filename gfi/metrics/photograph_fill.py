"""Deletion and insertion with another photograph in place of removed pixels.

A blur or a mean colour is nothing that a network has seen, and a mask that was optimised with such a fill may satisfy
the network with that fill only. Here removed pixels show a photograph of another class: natural statistics, used by no
recipe. The bank is frozen: the photographs of `gfi.samples` in order of name, as the network sees them; of those whose
predicted class is not the target, the one at place target mod their number is taken.

Curves and areas are those of `gfi.metrics.deletion` and `gfi.metrics.insertion`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from gfi.metrics.batched_probabilities import Probabilities
from gfi.metrics.deletion import deletion
from gfi.metrics.insertion import insertion
from gfi.metrics.sample import Sample


@dataclass(frozen=True, eq=False)
class Bank:
    """Photographs for filling. images: (N, C, H, W), normalised. classes: the predicted ones, (N,)."""

    images: Tensor
    classes: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, probabilities: Probabilities, images: Tensor) -> "Bank":
        """A bank of images (N, C, H, W), which are classified one at a time."""
        answers = [probabilities(images[i : i + 1]).argmax(1) for i in range(len(images))]
        return cls(images, torch.cat(answers))

    def fill_for(self, target: int) -> Tensor | None:
        """The photograph for an image whose target is this class, (C, H, W); None if all have this class.

        >>> bank = Bank(torch.arange(3.0).view(3, 1, 1, 1), torch.tensor([7, 2, 5]))
        >>> [bank.fill_for(target).item() for target in (7, 2, 3)]
        [2.0, 0.0, 0.0]
        """
        others = self.images[self.classes != target]
        return others[target % len(others)] if len(others) else None


def measure(sample: Sample) -> dict[str, float]:
    """The columns of this metric for one explained image; nothing if the bank has no photograph of another class."""
    assert sample.bank is not None
    fill = sample.bank.fill_for(sample.target)
    if fill is None:
        return {}
    return {
        "deletion_photograph": float(deletion(*sample.batch, fill=fill).area[0]),
        "insertion_photograph": float(insertion(*sample.batch, fill=fill).area[0]),
    }
