"""Digests of recipes: pinned, and indifferent to fields that nobody used."""

from dataclasses import dataclass

from gfi.domain.presets import PRESETS, recipe
from gfi.domain.recipes import FIRST_FIELDS, Recipe

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
