"""The quality of a JPEG, estimated from its quantisation tables.

Encoders scale the example table of the standard (Annex K.1) by s percent, and s follows from the quality Q of the
Independent JPEG Group: s = 5000/Q below 50, 200 − 2Q above. Here s is the mean of the table's ratios to the example
over the entries that were not cut off at 1 or 255, and Q follows from s. Encoders with tables of their own (cameras,
Photoshop) get the quality of that coarseness.
"""

from collections.abc import Mapping, Sequence

# The luminance table of the standard, row by row.
_EXAMPLE = (
    *(16, 11, 10, 16, 24, 40, 51, 61),
    *(12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77),
    *(24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101),
    *(72, 92, 95, 98, 112, 100, 103, 99),
)


def jpeg_quality(tables: Mapping[int, Sequence[int]]) -> float | None:
    """The quality, 1 … 100, of quantisation tables by their number; None without a table 0 of 64 entries."""
    table = tables.get(0, ())
    if len(table) != len(_EXAMPLE):
        return None
    pairs = list(zip(table, _EXAMPLE, strict=True))
    inside = [pair for pair in pairs if 1 < pair[0] < 255] or pairs
    scale = 100 * sum(entry / usual for entry, usual in inside) / len(inside)
    quality = (200 - scale) / 2 if scale <= 100 else 5000 / scale
    return round(min(max(quality, 1.0), 100.0), 1)
