"""What a spec opens."""

import pytest

from gfi.datasets.errors import DatasetError
from gfi.datasets.sources import open_source


def test_a_wrong_spec_is_one_clear_line(plant, free):
    folder = plant("1.jpg")
    for spec in ("", "folder:", "a\0b", "~nobody-of-that-name/x", "x" * 5000, f"folder:{folder}?split=test"):
        with pytest.raises(DatasetError) as caught:
            open_source(spec, free)
        assert "\n" not in str(caught.value)
