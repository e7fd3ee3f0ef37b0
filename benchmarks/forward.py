"""Forward passes for scores, as fast as this machine has them: OpenVINO where it is installed, else torch.

Only numbers that judge masks come from here; masks themselves always come from the engine and its torch.
"""

import importlib
import importlib.util

import torch
from torch import Tensor

from gfi.method.classifiers import Classifier

AGREE = 1e-4
"""Largest difference in probability to torch that is accepted."""


class Forward:
    """Images (B, C, H, W) to probabilities (B, K)."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.runtime = f"torch {torch.__version__}"
        self.module = classifier.module.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        fast = images.contiguous(memory_format=torch.channels_last)
        return self.classifier.as_probabilities(self.module(fast))


class OpenVino(Forward):
    """The same network compiled once for each batch size."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(classifier)
        self.openvino = importlib.import_module("openvino")
        self.runtime = f"openvino {self.openvino.__version__.partition('-')[0]}"
        self.compiled: dict[tuple[int, ...], object] = {}

    def __call__(self, images: Tensor) -> Tensor:
        shape = tuple(images.shape)
        if shape not in self.compiled:
            ov = self.openvino
            model = ov.convert_model(self.module, example_input=torch.zeros(shape), input=list(shape))
            self.compiled[shape] = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = self.compiled[shape]([images.contiguous().numpy()])[0]  # type: ignore[operator]
        return self.classifier.as_probabilities(torch.from_numpy(found.copy()))


def forward(classifier: Classifier) -> Forward:
    """The fastest that agrees with torch."""
    plain = Forward(classifier)
    if importlib.util.find_spec("openvino") is None:
        return plain
    fast = OpenVino(classifier)
    size = (2, classifier.preprocess.channels, *classifier.preprocess.size)
    noise = torch.randn(size, generator=torch.Generator().manual_seed(0))
    return fast if (fast(noise) - plain(noise)).abs().max() <= AGREE else plain
