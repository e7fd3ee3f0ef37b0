"""The record of a registered model, for tests that need no network."""

from typing import Any

RECORD: dict[str, Any] = {
    "reference": "net",
    "digest": "d" * 64,
    "input_size": [8, 8],
    "classes": 2,
    "class_names": ["cat", "dog"],
    "wordnet_ids": ["n01", "n02"],
    "layers": [
        {"name": "conv", "type": "Conv2d", "shape": [4, 4, 4], "rectified": True},
        {"name": "pool", "type": "AdaptiveAvgPool2d", "shape": [4, 1, 1], "rectified": True},
    ],
    "chosen": {
        preset: {"inverted": "conv", "weighed": ["conv"], "how": "automatic"} for preset in ("paper", "tuned")
    },
    "parameters": 1,
}
