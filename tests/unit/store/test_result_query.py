"""Queries of results as addresses write them."""

import pytest

from gfi.store.result_query import ResultQuery


def test_a_query_is_read_from_an_address() -> None:
    query = ResultQuery.of(
        "?wrong=true&where=site%3DA&where=age%3E%3D4&rows=3&rows=5,7-9&limit=5&sort=area&descending=true"
    )
    assert (query.wrong, query.where, query.rows, query.sort.value, query.descending) == (
        True,
        ["site=A", "age>=4"],
        [3, 5, 7, 8, 9],
        "area",
        True,
    )
    assert query.filtered
    assert not ResultQuery.of("sort=area").filtered
    assert ResultQuery.of("") == ResultQuery()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("colour=red", "no field 'colour'"),
        ("sort=key", "sort:"),
        ("rows=-1", "rows=-1 cannot be read"),
        ("rows=1-99999999", "more than 10,000 images"),
        ("status=fine", "status:"),
        ("at_least=nan", "at_least:"),
        ("no query at all", "is not a query"),
        ("search=" + "x" * 100_000, "100,000 characters"),
    ],
)
def test_what_is_no_query_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ResultQuery.of(text)
