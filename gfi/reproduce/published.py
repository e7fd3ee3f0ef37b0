"""The numbers that others printed, in percent; a reader compares ours with them."""

LOCALISATION = (
    ("gradient", "GoogLeNet", 41.7),
    ("guided backprop", "GoogLeNet", 42.0),
    ("LRP", "GoogLeNet", 57.8),
    ("CAM", "GoogLeNet", 48.1),
    ("excitation backprop", "GoogLeNet", 39.0),
    ("meaningful perturbation", "GoogLeNet", 43.2),
    ("real-time saliency", "a trained masker", 36.9),
    ("guided inversion", "VGG-19", 38.2),
)
"""Localisation error on ImageNet validation: Du et al. 2018; the others as printed by Fong & Vedaldi 2017."""
LOCALISATION_ALPHA = 1.5
LOCALISATION_LAYERS = (("pool4", 54.0), ("conv5_3", 49.2), ("conv5_4", 38.2), ("pool5", 43.7))
"""The same by the layer whose channels make the mask, VGG-19: Du et al. 2018."""

POINTING_PAPER = (("centre", 48.3), ("gradient", 53.1), ("grad-cam", 55.0), ("guided inversion", 54.7))
"""Pointing on VOC07 test, averaged over classes, VGG-19, no tolerance: Du et al. 2018."""
POINTING_TORCHRAY = (
    ("centre", 69.6),
    ("rise", 86.4),
    ("extremal perturbation", 88.9),
    ("grad-cam", 90.4),
    ("contrastive excitation backprop", 90.7),
)
"""The same with a tolerance of 15 pixels, ResNet-50: TorchRay (Fong, Patrick, Vedaldi 2019)."""
