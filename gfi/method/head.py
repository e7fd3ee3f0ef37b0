"""The head of a classifier: its last linear layer, whose input are the pooled features."""

import numpy as np
from torch import nn

from gfi.domain.head import Head
from gfi.method.classifiers import Classifier


def head_of(classifier: Classifier) -> str | None:
    """The name of the linear layer that gives one output for each class, and runs once in a pass.

    None for a network without one: SqueezeNet and other networks whose last layer is a convolution, and a network that
    is a linear layer itself.
    """
    for call in reversed(classifier.calls):
        module = classifier.module.get_submodule(call.name)
        if isinstance(module, nn.Linear) and call.shape == (classifier.classes,):
            once = sum(other.name == call.name for other in classifier.calls) == 1
            return call.name if once else None
    return None


def head_width(classifier: Classifier) -> int | None:
    """D, the number of pooled features; None without a head."""
    name = head_of(classifier)
    if name is None:
        return None
    module = classifier.module.get_submodule(name)
    assert isinstance(module, nn.Linear)
    return module.in_features


def head_weights(classifier: Classifier) -> Head | None:
    """The weights of the head, on the CPU in float32; None without a head."""
    name = head_of(classifier)
    if name is None:
        return None
    module = classifier.module.get_submodule(name)
    assert isinstance(module, nn.Linear)
    weight = module.weight.detach().float().cpu().numpy()
    bias = np.zeros(len(weight), np.float32)
    if module.bias is not None:
        bias = module.bias.detach().float().cpu().numpy()
    return Head(name, weight, bias)
