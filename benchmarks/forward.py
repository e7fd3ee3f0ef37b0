"""Forward passes for scores: on OpenVINO where it is installed, otherwise on torch.

Only scores are computed here; masks always come from the engine, which runs on torch.
"""

import importlib
import importlib.util

import torch
from torch import Tensor

from gfi.method.classifiers import Classifier

AGREE = 1e-4
"""The largest difference between probabilities of OpenVINO and torch at which OpenVINO is used."""


class Forward:
    """Images (B, C, H, W) to probabilities (B, K), on torch. runtime: its name and version."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.runtime = f"torch {torch.__version__}"
        self.module = classifier.module.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        return self.classifier.as_probabilities(
            self.module(images.contiguous(memory_format=torch.channels_last))
        )


class OpenVino(Forward):
    """The same on OpenVINO, compiled once for each shape."""

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
        output = self.compiled[shape]([images.contiguous().numpy()])[0]  # type: ignore[operator]
        return self.classifier.as_probabilities(torch.from_numpy(output.copy()))


def forward(classifier: Classifier) -> Forward:
    """The fastest forward pass whose probabilities agree with torch's."""
    plain = Forward(classifier)
    if importlib.util.find_spec("openvino") is None:
        return plain
    fast = OpenVino(classifier)
    size = (2, classifier.preprocess.channels, *classifier.preprocess.size)
    noise = torch.randn(size, generator=torch.Generator().manual_seed(0))
    return fast if (fast(noise) - plain(noise)).abs().max() <= AGREE else plain
