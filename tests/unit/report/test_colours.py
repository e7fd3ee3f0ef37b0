"""Colour maps are exactly matplotlib's."""

import numpy as np
import pytest

from gfi.report.colours import COLOUR_MAPS, lookup_table


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_colour_maps_are_the_bytes_that_matplotlib_draws(name):
    import matplotlib

    expected = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]
    np.testing.assert_array_equal(lookup_table(name), expected)


def test_an_unknown_colour_map_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'turbo' does not exist; choose one of viridis, magma, jet"):
        lookup_table("turbo")
