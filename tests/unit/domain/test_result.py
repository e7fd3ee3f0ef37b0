"""A result: its columns are listed once, and parts, tables and API have exactly these columns."""

from dataclasses import fields, replace

import pytest

from gfi.api.explanations import ExplanationOut
from gfi.api.result_rows import ResultOut
from gfi.domain.metrics import METRICS, NUMBERS
from gfi.domain.pixel_properties import PROPERTIES
from gfi.domain.result import RESULT_COLUMNS, Result
from gfi.domain.statuses import ImageStatus
from gfi.store import parts, tables

RESULT = Result(7, "seven.jpg", ImageStatus.OK, target=1, kept=0.5, metrics={"entropy": 0.25})


def names(*stored: str) -> set[str]:
    return {column.name for column in RESULT_COLUMNS if column.stored in stored}


def test_every_field_is_a_column() -> None:
    assert [column.name for column in RESULT_COLUMNS] == [
        field.name for field in fields(Result) if field.metadata
    ]


def test_a_part_has_the_columns_of_a_result_and_no_others() -> None:
    in_several = {"original_size": ("original_height", "original_width")}
    in_several["grid"] = ("grid", "grid_height", "grid_width")
    in_several["pixels"] = tuple(parts.pixel_column(name) for name in PROPERTIES)
    expected = [in_several.get(name, (name,)) for name in names("both", "part")]
    in_notes = {column.name for column in RESULT_COLUMNS if column.kind in parts._NOTED}
    assert {name for group in expected for name in group} == set(parts._SCHEMA.names) | in_notes


@pytest.mark.parametrize(("table", "stored"), [("results", ()), ("attempts", ("attempts",))])
def test_a_table_has_the_columns_of_a_result_and_no_others(table: str, stored: tuple[str, ...]) -> None:
    columns = {column.name for column in tables.metadata.tables[table].columns}
    assert columns == names("both", "table", *stored) - {"metrics"} | set(METRICS)


def test_the_api_answers_what_a_result_says_and_no_more() -> None:
    stored = replace(RESULT, job_id="j", shard_id="s", fence=1, created_at=2.0, part_id="p", part_row=3)
    in_lists = {"flag", "right"}  # of the job or the image, not of the result
    assert set(stored.to_json()) == set(ResultOut.model_fields) - in_lists
    assert ResultOut(**stored.to_json()).model_dump(mode="json", exclude=in_lists) == stored.to_json()
    assert set(ExplanationOut.model_fields) >= set(ResultOut.model_fields) | names("part") - {
        "grid",
        "thumbnail",
        "features",
    }


def test_what_is_written_to_the_table_is_read_back() -> None:
    stored = replace(RESULT, job_id="j", shard_id="s", fence=1, created_at=2.0, part_id="p", part_row=3)
    assert Result.from_table(stored.to_table()) == stored


def test_every_number_of_a_gallery_is_one_of_the_result() -> None:
    assert {name: RESULT.number(name) for name in NUMBERS if RESULT.number(name) is not None} == {
        "kept": 0.5,
        "entropy": 0.25,
    }


def test_classes_are_named_where_the_model_names_them() -> None:
    assert RESULT.to_json(["cat", "dog"])["target_name"] == "dog"
    assert RESULT.to_json(["cat"])["target_name"] is None


def test_numbers_a_database_cannot_hold_become_null() -> None:
    values = replace(RESULT, kept=float("inf"), metrics={"entropy": float("nan")}).to_table()
    assert values["kept"] is None
    assert values["entropy"] is None
    with pytest.raises(ValueError, match="no column for metric 'beauty'"):
        replace(RESULT, metrics={"beauty": 1.0}).to_table()


def test_an_image_without_an_answer_has_no_mask() -> None:
    assert not RESULT.has_mask
    assert replace(RESULT, part_id="p").has_mask
    assert not replace(RESULT, part_id="p", status=ImageStatus.CHANGED).has_mask
