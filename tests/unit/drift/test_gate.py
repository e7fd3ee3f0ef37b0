"""The gate file: read into types; errors name the nearest known key."""

from datetime import date

import pytest

from gfi.drift.errors import DriftError
from gfi.drift.floors import FloorLevel
from gfi.drift.gate import GateSpec, check_classes, parse_gate

WHOLE = """
[moved]
max_moved = 0.2
classes = ["husky", "wolf"]
[floor]
level = "other_profile"
min_runs = 2
jobs = ["01A", "01B"]
[limits]
flips = 0.02
energy_in_box = 0.05
[nightly]
comparisons_per_year = 52
[audit]
no_new_shortcuts = true
[[waivers]]
class = "husky"
owner = "anna"
until = 2027-01-31
reason = "new collars"
"""


def test_a_gate_file_becomes_types() -> None:
    spec = parse_gate(WHOLE)
    assert (spec.moved.max_moved, spec.moved.classes, spec.level) == (
        0.2,
        ["husky", "wolf"],
        FloorLevel.OTHER_PROFILE,
    )
    assert spec.floor.jobs == ["01A", "01B"]
    assert spec.limits == {"flips": 0.02, "energy_in_box": 0.05}
    assert (spec.waivers[0].class_, spec.waivers[0].until) == ("husky", date(2027, 1, 31))
    tolerance = spec.tolerance(look=3)
    # Moved masks, flips, all classes together, and two limits.
    assert tolerance.alpha == pytest.approx(0.9 * 0.05 / 52 / 5)
    assert tolerance.alpha_pass == 0.05


def test_an_empty_file_has_the_defaults() -> None:
    spec = parse_gate("")
    assert spec == GateSpec()
    assert (spec.moved.max_moved, spec.moved.classes, spec.floor.min_runs) == (0.10, "all", 3)
    assert spec.tolerance().alpha == 0.05


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[moved]\nmax_moves = 0.1", "gate.toml: [moved] has no key 'max_moves'; the nearest is 'max_moved'"),
        ("[mooved]\n", "gate.toml: the file has no key 'mooved'; the nearest is 'moved'"),
        (
            "[limits]\nenergy_in_boxes = 0.1",
            "[limits] has no 'energy_in_boxes'; the nearest is 'energy_in_box'",
        ),
        ("[limits]\nflips = -1.0", "[limits] flips: input should be greater than or equal to 0"),
        ("[moved]\nmax_moved = 1.4", "[moved] max_moved: input should be less than 1"),
        ("[moved]\nmin_images = 'many'", "[moved] min_images: input should be a valid integer"),
        ("[floor]\nlevel = 'same'", "[floor] level: input should be 'same_profile', 'other_profile' or"),
        ("[[waivers]]\nclass = 'x'\nuntil = 2027-01-31", "[[waivers]] needs owner"),
        (
            "[[waivers]]\nowner = 'x'\nuntil = 2027-01-31",
            "[[waivers]] number 1: a waiver names either a class",
        ),
        ("[[waivers]]\nlimit='flip'\nowner = 'x'\nuntil = 2027-01-31", "no 'flip'; the nearest is 'flips'"),
        (
            "[[waivers]]\nclas='x'\nowner = 'x'\nuntil = 2027-01-31",
            "has no key 'clas'; the nearest is 'class'",
        ),
        ("[moved", "gate.toml is not TOML"),
        (
            "[moved]\nclasses = 'none'\npooled = false",
            "gate.toml checks nothing, so that everything would pass",
        ),
        ("[moved]\nclasses = []\npooled = false", "gate.toml checks nothing"),
        ("zzz = 1", "the file has no key 'zzz'; there are moved, floor, limits"),
    ],
)
def test_an_error_says_where_and_what_was_meant(text: str, message: str) -> None:
    with pytest.raises(DriftError) as error:
        parse_gate(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_class_that_the_model_does_not_have_is_an_error() -> None:
    names = {0: "husky", 1: "wolf"}
    check_classes(parse_gate(WHOLE), names)
    with pytest.raises(DriftError, match="no class 'huskie'; the nearest is 'husky'"):
        check_classes(parse_gate("[moved]\nclasses = ['huskie']"), names)
    check_classes(parse_gate("[moved]\nclasses = ['1']"), names)
