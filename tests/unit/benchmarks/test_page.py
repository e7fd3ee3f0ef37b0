"""The page of benchmarks says what the results say."""

from benchmarks import page


def test_the_page_is_the_one_that_the_results_give() -> None:
    assert page.PAGE.read_text() == page.page(), "make bench-page writes it"
