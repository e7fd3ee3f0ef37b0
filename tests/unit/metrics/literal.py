"""A second implementation of every metric: one image, loops over pixels, written from the definitions alone.

Slow, and without any code of `gfi.metrics`, whose fast versions must give the same results.
"""

import math
from itertools import pairwise

import numpy as np


def mask_order(mask):
    """Pixels (row, column) of a mask (H, W), highest first, equal ones in raster order."""
    pixels = [(r, c) for r in range(mask.shape[0]) for c in range(mask.shape[1])]
    return sorted(pixels, key=lambda at: -float(mask[at]))  # Python's sort is stable


def curve(probability, image, mask, fill, deleting):
    """29 probabilities; image, fill: (C, H, W) numpy; probability: image → float."""
    order, points = mask_order(mask), []
    current = image.copy() if deleting else fill.copy()
    source = fill if deleting else image
    done = 0
    for k in range(29):
        while done < math.floor(k * len(order) / 28):
            row, column = order[done]
            current[:, row, column] = source[:, row, column]
            done += 1
        points.append(probability(current))
    return points


def area_under(points):
    """Trapezoids over [0, 1]."""
    width = 1 / (len(points) - 1)
    return sum(width * (a + b) / 2 for a, b in pairwise(points))


def imputed(image, known):
    """Linear imputation by a dense solve, one channel at a time; image: (C, H, W), known: (H, W) bool."""
    height, width = known.shape
    missing = [(r, c) for r in range(height) for c in range(width) if not known[r, c]]
    number = {at: i for i, at in enumerate(missing)}
    out = image.copy()
    if not missing:
        return out
    if not known.any():
        return np.zeros_like(image)
    for channel in range(len(image)):
        a, b = np.zeros((len(missing), len(missing))), np.zeros(len(missing))
        for (r, c), i in number.items():
            for dr in (-1, 0, 1):
                for dc in (-1, 0, 1):
                    if (dr, dc) == (0, 0) or not (0 <= r + dr < height and 0 <= c + dc < width):
                        continue
                    weight = 1 / 6 if dr == 0 or dc == 0 else 1 / 12
                    a[i, i] += weight
                    if known[r + dr, c + dc]:
                        b[i] += weight * image[channel, r + dr, c + dc]
                    else:
                        a[i, number[r + dr, c + dc]] -= weight
        for (r, c), value in zip(missing, np.linalg.solve(a, b), strict=True):
            out[channel, r, c] = value
    return out


def on_photograph(mask, original_size, box):
    """The mask (h, w) read at every pixel of the photograph, one by one."""
    h, w = mask.shape
    left, top, right, bottom = box
    out = np.zeros(original_size)
    for y in range(original_size[0]):
        for x in range(original_size[1]):
            if not (left <= x + 0.5 < right and top <= y + 0.5 < bottom):
                continue
            u = min(max((x + 0.5 - left) / (right - left) * w - 0.5, 0), w - 1)
            v = min(max((y + 0.5 - top) / (bottom - top) * h - 0.5, 0), h - 1)
            c, r = int(u), int(v)
            c1, r1 = min(c + 1, w - 1), min(r + 1, h - 1)
            s, t = u - c, v - r
            above = mask[r, c] * (1 - s) + mask[r, c1] * s
            below = mask[r1, c] * (1 - s) + mask[r1, c1] * s
            out[y, x] = above * (1 - t) + below * t
    return out


def inside(x, y, region):
    """Whether the centre of pixel (x, y) is in the box."""
    left, top, right, bottom = region
    return left <= x + 0.5 < right and top <= y + 0.5 < bottom


def energy_in_box(mask, original_size, box, regions):
    """Share of the mass of the drawn mask in the union of the boxes."""
    drawn = on_photograph(mask, original_size, box)
    mass = {(y, x): drawn[y, x] for y in range(original_size[0]) for x in range(original_size[1])}
    within = sum(v for (y, x), v in mass.items() if any(inside(x, y, region) for region in regions))
    return within / sum(mass.values())


def pointing(mask, original_size, box, regions, tolerance):
    """Whether any pixel of a box is at most `tolerance` from the first maximum of the drawn mask."""
    drawn = on_photograph(mask, original_size, box)
    row, column = np.unravel_index(np.argmax(drawn), drawn.shape)
    return any(
        math.hypot(y - row, x - column) <= tolerance
        for y in range(original_size[0])
        for x in range(original_size[1])
        if any(inside(x, y, region) for region in regions)
    )


def class_averaged(hits, classes):
    """Accuracy of each class, then their mean."""
    scores = []
    for label in dict.fromkeys(classes):
        mine = [hit for hit, other in zip(hits, classes, strict=True) if other == label]
        scores.append(sum(mine) / len(mine))
    return sum(scores) / len(scores)


def area_and_entropy(mask):
    """Mean of the mask, and the entropy of its mass over the logarithm of the number of pixels."""
    values = [float(v) for v in mask.flat]
    total, entropy = sum(values), 0.0
    for value in values:
        q = value / total if total else 0.0
        if q > 0:
            entropy -= q * math.log(q)
    return total / len(values), entropy / math.log(len(values))


def average_drop(probability, image, mask):
    """(drop, increase) of one image; pixels hidden by the mask are zero."""
    whole, masked = probability(image), probability(image * mask[None])
    return max(0.0, whole - masked) / whole, masked > whole


def grid_pointing(drawn, n, cell):
    """(share, hit) of one map (H, W) in an n×n grid."""
    height, width = drawn.shape
    mean = sum(float(v) for v in drawn.flat) / drawn.size
    mine = total = 0.0
    for y in range(height):
        for x in range(width):
            value = max(0.0, float(drawn[y, x]) - mean)
            total += value
            row, column = math.floor((y + 0.5) / height * n), math.floor((x + 0.5) / width * n)
            mine += value * (row * n + column == cell)
    y, x = np.unravel_index(np.argmax(drawn), drawn.shape)
    at = math.floor((y + 0.5) / height * n) * n + math.floor((x + 0.5) / width * n)
    return mine / total, at == cell
