"""A cron line that cannot be read is refused; its instants are tested with `gfi.jobs.timing`."""

import pytest

from gfi.jobs.cron import check


@pytest.mark.parametrize(
    ("cron", "zone", "says"),
    [
        ("0 2 * *", "UTC", "not a cron line"),
        ("0 2 * * *", "Mars", "not a time zone"),
        ("0 0 31 2 *", "UTC", "for example"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused_with_advice(cron: str, zone: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check(cron, zone)
