"""The fast gradient sign method: one step that makes the loss of the predicted class larger.

    x' = clip(x + ε · sign(∂ −log f_c(x) / ∂x))

x are pixels in [0, 1], and ε is n/255, so that x' is a picture with whole values: what is stored is what was computed.

References
----------
Goodfellow, Shlens, Szegedy, "Explaining and Harnessing Adversarial Examples", ICLR 2015.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gfi.domain.errors import MethodError
from gfi.domain.geometry import Rectangle, scaled
from gfi.domain.preprocess import FILTERS, centre_crop
from gfi.domain.recipes import Recipe
from gfi.method.classifiers import Classifier
from gfi.method.preprocess import Prepared


class Canvas:
    """A photograph as a picture that the network's preprocessing leaves as it is.

    The picture has the size that preprocessing resizes the photograph to, so that resizing it again does nothing.
    Raises MethodError for a letterbox, whose bars cannot be stored, and for other than one or three channels.
    """

    def __init__(self, rgb: NDArray[np.uint8], classifier: Classifier, recipe: Recipe) -> None:
        preprocess = classifier.preprocess
        if preprocess.channels not in (1, 3):
            raise MethodError(
                f"adversarial pictures are of 1 or 3 channels; {classifier.reference} takes {preprocess.channels}"
            )
        if preprocess.crop == "letterbox":
            raise MethodError(
                'adversarial pictures are not made for input with bars; register the model with crop = "none"'
            )
        photograph, (height, width) = Image.fromarray(rgb), preprocess.size
        crop = recipe.resize == "crop" if preprocess.crop == "recipe" else preprocess.crop == "centre"
        size, (top, left) = (height, width), (0, 0)
        if crop:
            size, (top, left), _ = centre_crop((rgb.shape[0], rgb.shape[1]), preprocess)
        self._original = rgb.shape[0], rgb.shape[1]
        resized = photograph.resize(size[::-1], FILTERS[preprocess.interpolation])
        self._pixels = np.asarray(resized.convert("L" if preprocess.channels == 1 else "RGB"))
        self._window = slice(top, top + height), slice(left, left + width)
        self._classifier, self._recipe = classifier, recipe

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the picture."""
        return self._pixels.shape[0], self._pixels.shape[1]

    def box(self, region: Rectangle) -> Rectangle:
        """A rectangle of the photograph, in pixels of the picture."""
        return scaled(region, self._original, self.size)

    def shown(self) -> NDArray[np.uint8]:
        """(h, w, C): what the network sees."""
        seen = self._pixels[self._window]
        return np.ascontiguousarray(seen.reshape(*seen.shape[:2], -1))

    def picture(self, shown: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture (H, W) or (H, W, 3) of which the network sees `shown`. MethodError if it sees another."""
        picture = self._pixels.copy()
        picture[self._window] = shown.reshape(picture[self._window].shape)
        rgb = np.stack([picture] * 3, -1) if picture.ndim == 2 else picture
        prepared: Prepared = self._classifier.prepare(rgb, self._recipe)
        if not torch.equal(prepared.image, normalised(shown, self._classifier)):
            raise MethodError("the model's preprocessing changes a picture of its own input size")
        return picture


def normalised(shown: NDArray[np.uint8], classifier: Classifier) -> torch.Tensor:
    """(C, h, w) from (h, w, C), as `gfi.method.preprocess` does it."""
    mean, std = (np.array(v, np.float32) for v in (classifier.preprocess.mean, classifier.preprocess.std))
    pixels = (shown.astype(np.float32) / 255 - mean) / std
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def predicted(shown: NDArray[np.uint8], classifier: Classifier) -> int:
    """The class that the network predicts for (h, w, C): of equal probabilities the first, as in a job."""
    with torch.no_grad():
        outputs = _outputs(normalised(shown, classifier)[None], classifier)
        return int(classifier.as_probabilities(outputs).argmax(1))


def _outputs(images: torch.Tensor, classifier: Classifier) -> torch.Tensor:
    """The network's output for each class, (N, K), of normalised images (N, C, h, w)."""
    return classifier.for_classes(classifier.module(images))


def fgsm(
    shown: NDArray[np.uint8], target: int, levels: Sequence[int], classifier: Classifier
) -> list[NDArray[np.uint8]]:
    """The input (h, w, C) after one step of each size, in 255ths; 0 returns it unchanged."""
    image = normalised(shown, classifier)[None].requires_grad_(True)
    outputs = _outputs(image, classifier)
    if classifier.output == "softmax":
        loss = -outputs.log_softmax(1)[0, target]
    elif classifier.output == "sigmoid":
        loss = -torch.nn.functional.logsigmoid(outputs)[0, target]
    else:
        loss = -outputs[0, target].clamp_min(1e-12).log()
    (gradient,) = torch.autograd.grad(loss, image)
    sign = gradient[0].sign().permute(1, 2, 0).numpy().astype(np.int16)
    return [np.clip(shown.astype(np.int16) + level * sign, 0, 255).astype(np.uint8) for level in levels]
