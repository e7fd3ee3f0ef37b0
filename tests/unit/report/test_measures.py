"""The numbers of a report: controls beside them, and what is missing."""

from gfi.domain.result import Result
from gfi.domain.statuses import ImageStatus
from gfi.report.measures import measures_of
from gfi.report.summary import summarise


def test_a_number_says_what_was_left_out_and_which_controls_are_missing() -> None:
    rows = [
        Result(at, f"{at}.jpg", ImageStatus.OK, area=0.1 * at, metrics={"insertion": 0.5} if at else {})
        for at in range(3)
    ]
    made = {measure.title: measure for measure in measures_of(summarise(rows), {}, ["insertion", "iou_box"])}
    assert (made["Insertion"].count, made["Insertion"].left_out) == (2, 1)
    assert set(made["Insertion"].controls.values()) == {None}
    assert made["Area"].interval is not None
    assert made["Area"].interval.low < 0.1 < made["Area"].interval.high
    missing = next(measure for measure in made.values() if measure.mean is None)
    assert missing.missing == "no explained image has a box of its class"


def test_one_step_of_each_image_is_no_share() -> None:
    rows = [Result(at, f"{at}.jpg", ImageStatus.OK, iterations=1, area=1.0) for at in range(20)]
    intervals = {measure.title: measure.interval for measure in measures_of(summarise(rows), {})}
    assert intervals["Iterations"] == (1, 1)
    assert intervals["Area"] is not None
    assert intervals["Area"].low < 1
