"""Metrics: how good a mask is. One file per metric; each begins with its formula and its reference.

There are four kinds, by what they need in addition to the mask:

- nothing: `area`, `entropy`
- ground-truth boxes: `energy_in_box`, `pointing`, `iou_box`, `iou_region`, `localisation`. They work in the pixels of
  the original photograph
- the network: `deletion`, `insertion`, `average_drop`, `average_gain`, `road`, `photograph_fill`. They take
  `probabilities`, a callable from images (N, C, H, W) to class probabilities (N, K), and run on the device and in the
  dtype of the images
- masks of grids of images that the network classified: `grid_pointing`

The first two kinds use numpy alone. The package imports none of its files, so that the first two kinds can be used
without torch.
"""
