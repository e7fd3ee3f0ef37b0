"""Views: the query of the gallery's address."""

import pytest

from gfi.domain.statuses import ImageStatus
from gfi.exports.errors import ExportError
from gfi.exports.view import parse_view

KINDS = {"site": "text", "age": "number"}


def test_a_view_is_the_query_of_an_address() -> None:
    view = parse_view(
        "?status=ok&prediction=3&where=site%3DA&where=age>=40&rows=1,5-7&sort=area&flagged=1", KINDS
    )
    assert view.status is ImageStatus.OK
    assert (view.prediction, view.flagged, view.rows) == (3, True, (1, 5, 6, 7))
    assert [(where.name, where.operator, where.value) for where in view.where] == [
        ("site", "=", "A"),
        ("age", ">=", 40.0),
    ]
    assert parse_view("", {}).status is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour=red", "no filter is called `colour`"),
        ("status=fine", "status=fine cannot be read"),
        ("prediction=cat", "prediction=cat cannot be read"),
        ("rows=1-99999999", "selects more than 10,000 images"),
        ("rows=a", "rows=a cannot be read"),
        ("where=camera=7", "camera"),
        ("metric=beauty", "no metric 'beauty'"),
    ],
)
def test_a_view_that_cannot_be_read_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ExportError, match="view: ") as refused:
        parse_view(text, KINDS)
    assert said in str(refused.value)
