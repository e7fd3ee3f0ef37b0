"""What a mask is worth, one file a metric (method.md, section 5).

Those that need boxes are numpy and work in the coordinates of the original photograph
(`energy_in_box`, `pointing`, `area`): a report or an API server may import them without torch. Those
that ask the network again (`deletion`, `insertion`, `average_drop`, `grid_pointing`) take
`probabilities`, a callable from images (N, C, H, W) to class probabilities (N, K), and run on
whatever device and dtype the images have. This package imports nothing, so that neither kind pays
for the other.
"""
