"""Digests of recipes: fixed, and independent of later fields that are not used."""

from dataclasses import dataclass

import pytest

from gfi.domain.errors import MethodError
from gfi.domain.presets import PAPER, PRESETS, recipe
from gfi.domain.recipes import FIRST_FIELDS, Recipe, override

PINNED = {
    "paper": "cc63f1515216376c6c8e97ad388c10657bc26d3d3282052d434ca9a523c87fba",
    "released": "33dd2ce72b1c91d899e16c8668c32cbe3accf62a358b20ab582ba09ba55844dc",
    "tuned": "0d4e3aa977da1e8ac640c9c22d459c696bba037100510b1563c20915252a8d93",
}


def test_the_digests_of_the_presets_are_pinned() -> None:
    assert {name: preset.digest() for name, preset in PRESETS.items()} == PINNED


@dataclass(frozen=True)
class Later(Recipe):
    """A recipe of a later version, with one more field."""

    momentum: float = 0.0


def test_a_new_field_changes_no_digest_until_it_is_used() -> None:
    values = {name: getattr(PRESETS["tuned"], name) for name in FIRST_FIELDS}
    assert Later(**values).digest() == PINNED["tuned"]
    assert Later(**values, momentum=0.9).digest() != PINNED["tuned"]


def test_every_field_decides_the_digest() -> None:
    changed = {
        recipe("paper", **{name: value}).digest()
        for name, value in {
            "rate": 0.02,
            "seed": 1,
            "fill": "mean",
            "levels": [0.5],
            "one_adam": True,
        }.items()
    }
    assert len(changed | {PINNED["paper"]}) == 6


def test_a_recipe_that_was_recorded_without_a_later_field_means_its_default() -> None:
    stored = PRESETS["tuned"].to_json()
    assert Later.from_json(stored) == Later(
        **{name: getattr(PRESETS["tuned"], name) for name in FIRST_FIELDS}
    )


def test_a_recipe_survives_json_and_its_digest_covers_every_field() -> None:
    for preset in PRESETS.values():
        assert Recipe.from_json(preset.to_json()) == preset
    assert recipe("paper", gamma=10).digest() == PAPER.digest()
    changes = {
        int: lambda v: v + 2,
        float: lambda v: v * 1.5 + 0.01,
        bool: lambda v: not v,
        str: lambda v: {
            "l1": "squares",
            "grid": "image",
            "blur": "mean",
            "input": "photograph",
            "squash": "crop",
            "even": "grad-cam",
            "adam": "relative",
            "probability": "contrast",
            "none": "mean",
            "gfi": "rise",
        }[v],
        list: lambda v: [level / 2 for level in v],
    }
    digests = {PAPER.digest()}
    for field, value in PAPER.to_json().items():
        other = {"name": "other", "bank": "leaves"}
        changed = other[field] if field in other else changes[type(value)](value)
        digests.add(Recipe.from_json({**PAPER.to_json(), field: changed}).digest())
    assert len(digests) == len(PAPER.to_json()) + 1


def test_every_number_of_a_recipe_has_two_bounds() -> None:
    for field, value in PAPER.to_json().items():
        for far in (10**400, -(10**400)) if type(value) in (int, float) else ():
            with pytest.raises(MethodError, match=f"`{field}` is at least"):
                override(PAPER, {field: far})


@pytest.mark.parametrize(
    ("name", "overrides", "line"),
    [
        ("papper", {}, "no preset is called `papper`; the presets are paper, released"),
        ("paper", {"stepsinversion": 3}, "has no field `stepsinversion`; did you mean `steps_inversion`"),
        ("paper", {"gamma": "ten"}, "`gamma` is of type float, not 'ten'"),
        ("paper", {"steps_class": 1.5}, "`steps_class` is of type int"),
        ("paper", {"penalty": "l2"}, "`penalty` is one of l1, squares, not 'l2'"),
        ("paper", {"gamma": float("nan")}, "`gamma` is at least 0 and at most"),
        ("paper", {"steps_class": -1}, "`steps_class` is at least 0 and at most"),
        ("tuned", {"check_every": -1}, "`check_every` is at least 0 and at most"),
        ("paper", {"blur_kernel": 66}, "`blur_kernel` is odd, not 66"),
    ],
)
def test_a_wrong_recipe_is_one_line(name: str, overrides: dict, line: str) -> None:
    with pytest.raises(MethodError, match=line):
        recipe(name, **overrides)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"levels": []}, "list of numbers"),
        ({"levels": [0.5, 1.0]}, "between 0 and 1"),
        ({"levels": ["a"]}, "of type float"),
        ({"normalise": "image"}, "use `rectified`"),
        ({"softness": 0.0}, "at least 0.001"),
        ({"beta1": 1.0}, "`beta1` is at least 0 and less than 1, not 1.0"),
        ({"epsilon": -1.0}, "`epsilon` is at least 1e-16 and at most 1, not -1.0"),
        ({"blur_kernel": 1_000_000_001}, "at most 4,095, not 1000000001"),
        ({"seed": 2**64}, "`seed` is at least"),
        ({"levels": [0.5] * 65}, "at most 64 shares, not 65"),
        ({"steps_class": 20}, "`steps_class` is a multiple of 8, not 20"),
        ({"check_every": 4}, "`check_every` is a multiple of 8, not 4"),
        ({"bank": "leaves"}, "`steps_class` is a multiple of 12, not 32"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(changes: dict, text: str) -> None:
    with pytest.raises(MethodError, match=text):
        recipe("tuned", **changes)
