"""docs/scale.md has the figures of benchmarks/results/scale.json."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MILLION = 1_000_000
# The beginning of a line of the page's table, the beginnings of the figures in it, of so many rows, and their form.
SAID = [
    ("committed, 4 processes", ["committed, 4 processes without a pause"], 60_000, "{:,.0f}/s"),
    ("committed by 256 workers", ["committed, 256 workers"], 10 * MILLION, "{:,.0f}/s"),
    (
        "claim by these workers",
        ["claim, 256 workers, p50", "claim, 256 workers, p99"],
        10 * MILLION,
        "{:.0f} ms",
    ),
    (
        "gallery's first page meanwhile",
        ["gallery's first page, 256 workers, p50", "gallery's first page, 256 workers, p99"],
        10 * MILLION,
        "{:.0f} ms",
    ),
    ("longest wait of thirty", ["longest wait of 30"], 10 * MILLION, "{:.1f} s"),
    ("page of 200, order of rows", ["page of 200: order of rows"], MILLION, "{:.0f} ms"),
    ("page of 200, order of rows", ["page of 200: order of rows"], 10 * MILLION, "{:.0f} ms"),
    ("page of 200 sorted by a number", ["page of 200: by the slowest number"], MILLION, "{:.0f} ms"),
    ("page of 200 sorted by a number", ["page of 200: by the slowest number"], 10 * MILLION, "{:.0f} ms"),
    ("orders, written when", ["orders of a job that has ended"], MILLION, "{:.0f} s"),
    ("orders, written when", ["orders of a job that has ended"], 10 * MILLION, "{:.0f} s"),
    ("summary; histograms", ["summary, from sums", "histograms of 8 numbers"], MILLION, "{:.1g} s"),
    ("summary; histograms", ["summary, from sums", "histograms of 8 numbers"], 10 * MILLION, "{:.1g} s"),
    ("class table of", ["class table of 41", "groups by label"], MILLION, "{:.1f} s"),
    ("class table of", ["class table of 41", "groups by label"], 10 * MILLION, "{:.1f} s"),
    ("planning's last transaction", ["planning's last transaction"], 10 * MILLION, "{:.1f} s"),
]


@pytest.fixture(scope="module")
def page() -> list[str]:
    return [line for line in (ROOT / "docs" / "scale.md").read_text().splitlines() if line.startswith("| ")]


@pytest.fixture(scope="module")
def figures() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads((ROOT / "benchmarks/results/scale.json").read_text())["rows"]
    return rows


@pytest.mark.parametrize(("line", "whats", "rows", "form"), SAID)
def test_the_page_has_the_figures_of_the_file(
    page: list[str], figures: list[dict[str, object]], line: str, whats: list[str], rows: int, form: str
) -> None:
    (said,) = [one for one in page if one.startswith(f"| {line}")]
    for what in whats:
        values = [
            row["value"] for row in figures if str(row["what"]).startswith(what) and row["rows"] == rows
        ]
        assert len(values) == 1, what
        assert form.format(values[0]) in said.replace("**", ""), what


def test_the_page_has_the_listings_of_the_file(page: list[str], figures: list[dict[str, object]]) -> None:
    rates = [row for row in figures if row["unit"] == "keys/s"]
    peaks = {(row["what"], row["rows"]): row["value"] for row in figures if row["unit"] == "MiB"}
    said = [line.replace("**", "") for line in page if line.startswith("| listing of")]
    assert len(said) == len(rates) >= 3
    for rate in rates:
        peak = peaks[f"{rate['what']}, peak memory", rate["rows"]]
        kind = re.escape(str(rate["what"]))
        expected = f"{kind}, {rate['rows']:,} keys.*{rate['value']:,.0f}, {peak:.0f} MiB"
        assert any(re.search(expected, line) for line in said), expected
