"""Queries of results as addresses write them."""

import pytest
import sqlalchemy as sa

from gfi.domain.metrics import PRIMARY_METHOD
from gfi.store.queries import Agreement, Filters
from gfi.store.queries.results import conditions
from gfi.store.result_query import ResultQuery, filters_of
from gfi.store.tables import results


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
        ("rows=1-9999,10001-19999", "more than 10,000 images"),
        ("rows=9-7", "rows=9-7 counts down; write rows=7-9"),  # no row would be read as all of them
        ("rows=", "rows= cannot be read"),
        ("rows=3&rows=", "rows= cannot be read"),
        ("status=fine", "status:"),
        ("at_least=nan", "at_least:"),
        ("no query at all", "is not a query"),
        ("search=" + "x" * 100_000, "100,000 characters"),
    ],
)
def test_what_is_no_query_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ResultQuery.of(text)


@pytest.mark.parametrize("text", ["at_least=0.5", "at_most=0&sort=area"])
def test_bounds_of_no_number_are_refused_and_not_left_out(text: str) -> None:
    with pytest.raises(ValueError, match="bound a number: name it, such as metric=area"):
        filters_of(None, None, ResultQuery.of(text))  # type: ignore[arg-type]


def test_a_label_that_is_not_found_is_wrong_and_differs_in_jobs_with_a_result_for_each_label() -> None:
    engine = sa.create_engine("sqlite://")
    metadata = sa.MetaData()
    kept = ("job_id", "row", "method", "target_rank", "key", "label", "target", "prediction", "status")
    made = sa.Table("results", metadata, *(sa.Column(name, results.c[name].type) for name in kept))
    metadata.create_all(engine)

    def image(job: str, *labels: tuple[str, int, int | None, str]) -> list[dict[str, object]]:
        common = {"job_id": job, "row": 0, "method": PRIMARY_METHOD, "key": "x.jpg"}
        names = ("label", "target", "prediction", "status")
        return [
            common | {"target_rank": rank} | dict(zip(names, one, strict=True))
            for rank, one in enumerate(labels)
        ]

    classes = (("cat", 0), ("dog", 1), ("owl", 2))
    # Neither c nor d finds the cat; only c finds the dog, and only d the owl.
    other = image("c", ("cat", 0, 1, "ok"), ("dog", 1, 1, "ok"), ("owl", 2, None, "target_lost"))
    other += image("d", ("cat", 0, None, "ok"), ("dog", 1, 0, "ok"), ("owl", 2, 2, "ok"))
    rows = image("a", ("cat", 0, 0, "ok"), ("dog", 1, 1, "ok"), ("owl", 2, None, "error"))
    rows += image("b", ("dog", 1, None, "ok"), ("cat", 0, 0, "ok"), ("owl", 2, None, "ok"))
    with engine.begin() as connection:
        connection.execute(made.insert(), rows + other)

        def labels(job: str, filters: Filters) -> list[str]:
            query = sa.select(results.c.label).where(results.c.job_id == job, *conditions(job, filters))
            return sorted(connection.execute(query).scalars())

        assert labels("b", Filters(agreement=Agreement(True, classes, each_label=True))) == ["dog", "owl"]
        assert labels("b", Filters(agreement=Agreement(False, classes, each_label=True))) == ["cat"]
        assert labels("a", Filters(agreement=Agreement(True, classes, each_label=True))) == []  # it failed
        assert labels("b", Filters(agreement=Agreement(True, classes))) == []
        assert labels("a", Filters(differs_from="b", by_label=True)) == ["dog"]
        assert labels("b", Filters(differs_from="a", by_label=True)) == ["dog"]
        assert labels("c", Filters(differs_from="d", by_label=True, sigmoid=True)) == ["dog", "owl"]
        assert labels("d", Filters(differs_from="c", by_label=True, sigmoid=True)) == ["dog", "owl"]
        assert labels("c", Filters(agreement=Agreement(True, classes, each_label=True))) == ["cat", "owl"]
