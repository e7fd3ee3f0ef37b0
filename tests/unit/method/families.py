"""The smallest member of every family of classifiers in torchvision, quick to build, at small inputs."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torchvision import models


@dataclass(frozen=True)
class Family:
    """A network, a small image size that it accepts, and its layers, which were checked by hand."""

    name: str
    size: tuple[int, int]
    paper: str
    tuned: str


FAMILIES = (
    Family("alexnet", (96, 96), "features.12,features.12", "features.12,features.12+features.11"),
    Family("vgg11", (64, 64), "features.20,features.19", "features.20,features.20+features.19"),
    Family("vgg16_bn", (64, 64), "features.43,features.42", "features.43,features.43+features.42"),
    Family("resnet18", (64, 64), "layer4,layer4.1.bn1:relu", "layer4,layer4+layer3.1.relu"),
    Family("resnet50", (64, 64), "layer4,layer4.2.bn2:relu", "layer4,layer4+layer4.0.bn1:relu"),
    Family("resnext50_32x4d", (64, 64), "layer4,layer4.2.bn2:relu", "layer4,layer4+layer4.0.bn1:relu"),
    Family("wide_resnet50_2", (64, 64), "layer4,layer4.2.bn2:relu", "layer4,layer4+layer4.0.bn1:relu"),
    Family(
        "squeezenet1_1",
        (64, 64),
        "classifier.2,features.12.expand3x3_activation",
        "classifier.2,classifier.2+features.7.expand3x3_activation",
    ),
    Family(
        "densenet121",
        (64, 64),
        "features,features.denseblock4.denselayer16.relu2",
        "features,features:relu+features.transition3.relu",
    ),
    Family(
        "inception_v3", (128, 128), "Mixed_7c,Mixed_7c", "Mixed_7c,Mixed_7c+Mixed_7a.branch7x7x3_3.bn:relu"
    ),
    Family(
        "googlenet",
        (64, 64),
        "inception5b,inception5b",
        "inception5b,inception5b+inception4e.branch4.1.bn:relu",
    ),
    Family("shufflenet_v2_x0_5", (64, 64), "conv5,stage4.3.branch2.7", "conv5,conv5+stage4.0.branch2.2"),
    Family(
        "mobilenet_v2", (64, 64), "features,features.17.conv.1.2", "features,features+features.14.conv.0.2"
    ),
    Family(
        "mobilenet_v3_small",
        (64, 64),
        "features,features.11.block.1.2:relu",
        "features,features:relu+features.9.block.0.2:relu",
    ),
    Family("mnasnet0_5", (64, 64), "layers,layers.13.0.layers.5", "layers,layers+layers.12.0.layers.2"),
    Family(
        "efficientnet_b0",
        (64, 64),
        "features,features.7.0.block.1.2:relu",
        "features,features:relu+features.6.0.block.0.2:relu",
    ),
    Family(
        "efficientnet_v2_s",
        (64, 64),
        "features,features.6.14.block.1.2:relu",
        "features,features:relu+features.6.0.block.0.2:relu",
    ),
    Family(
        "regnet_y_400mf",
        (64, 64),
        "trunk_output,trunk_output.block4.block4-5.f.b.2",
        "trunk_output,trunk_output+trunk_output.block4.block4-0.f.a.2",
    ),
    Family(
        "regnet_x_400mf",
        (64, 64),
        "trunk_output,trunk_output.block4.block4-11.f.b.2",
        "trunk_output,trunk_output+trunk_output.block4.block4-0.f.a.2",
    ),
    Family(
        "convnext_tiny",
        (64, 96),
        "features,features.7.2.block.4:tokens:relu",
        "features,features:relu+features.5.8.block.4:tokens:relu",
    ),
    Family(
        "vit_b_16",
        (64, 64),
        "encoder.layers.encoder_layer_11.ln_1:tokens,encoder.layers.encoder_layer_10.mlp.1:tokens:relu",
        "encoder.layers.encoder_layer_11.ln_1:tokens,encoder.layers.encoder_layer_11.ln_1:tokens:relu",
    ),
    Family(
        "swin_t",
        (64, 96),
        "permute,features.7.1.mlp.1:tokens:relu",
        "permute,permute:relu+features.5.5.mlp.1:tokens:relu",
    ),
    Family(
        "swin_v2_t",
        (64, 96),
        "permute,features.7.1.mlp.1:tokens:relu",
        "permute,permute:relu+features.5.5.mlp.1:tokens:relu",
    ),
    Family(
        "maxvit_t",
        (64, 64),
        "blocks.3,blocks.3.layers.1.layers.MBconv.layers.conv_b.2:relu",
        "blocks.3,blocks.3:relu+blocks.3.layers.0.layers.MBconv.layers.conv_a.2:relu",
    ),
)


def build(family: Family) -> nn.Module:
    """The network in eval mode with He weights from seed 0 and ten classes.

    torchvision's own initialisation takes seconds per network, mostly for classifier heads that do not matter to the
    choice of layers, and it gives a ViT whose outputs are all zero.
    """
    options: dict[str, Any] = {"num_classes": 10}
    if family.name in ("googlenet", "inception_v3"):
        options |= {"init_weights": False, "aux_logits": False}
    if family.name == "vit_b_16":
        options |= {"image_size": family.size[0]}

    def untouched(tensor: Tensor, *_: object, **__: object) -> Tensor:
        return tensor

    drawn = ("kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "trunc_normal_", "normal_", "uniform_")
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng())
        torch.manual_seed(0)
        for name in drawn:
            stack.enter_context(patch.object(nn.init, name, untouched))
        if family.name == "maxvit_t":  # its windows of 7×7 fit no smaller image than 224×224
            net: nn.Module = models.MaxVit(
                input_size=family.size,
                partition_size=2,
                stem_channels=64,
                block_channels=[64, 128, 256, 512],
                block_layers=[2, 2, 5, 2],
                head_dim=32,
                stochastic_depth_prob=0.2,
                **options,
            )
        else:
            net = models.get_model(family.name, weights=None, **options)
        if isinstance(net, models.AlexNet | models.VGG):
            net.classifier = nn.Linear(256 * 36 if isinstance(net, models.AlexNet) else 512 * 49, 10)
        for name, parameter in net.named_parameters():
            if parameter.ndim in (2, 4):
                parameter.data.normal_(std=(2 / parameter[0].numel()) ** 0.5)
            elif name.endswith("bias"):
                parameter.data.zero_()
    return net.eval().requires_grad_(False)
