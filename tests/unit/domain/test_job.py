"""The frozen configuration: its stored form is read back unchanged, and `question` changes with everything that
determines a result."""

from dataclasses import replace
from typing import Any

import pytest

from gfi.domain.digests import digest
from gfi.domain.job import DatasetRef, JobConfig, ModelRef
from gfi.domain.layer_names import Layers
from gfi.domain.presets import PRESETS, recipe

CONFIG = JobConfig(
    dataset=DatasetRef("folder:/d", "folder"),
    model=ModelRef("net", "a" * 64),
    preset="paper",
    recipe=PRESETS["paper"],
    layers=Layers("conv", ("conv:relu",)),
    target="auto",
    metrics=("deletion", "pointing"),
)
PROFILE = {"device_kind": "cpu", "batch": 4}


def test_the_stored_form_comes_back_as_it_was() -> None:
    full = replace(
        CONFIG,
        foil=3,
        top=2,
        save=("png",),
        batch=8,
        target=7,
        thumbnails=False,
        features="full",
        most_images=9,
    )
    for config in (CONFIG, full):
        again = JobConfig.from_json(config.to_json())
        assert again.to_json() == config.to_json()
        assert replace(again, recorded_method=None) == config


def test_options_added_later_do_not_change_the_digest_of_an_unchanged_request() -> None:
    stored = CONFIG.to_json()
    assert not {"top", "thumbnails", "features", "most_images"} & set(stored)


def test_a_configuration_of_the_first_version_is_read() -> None:
    stored = CONFIG.to_json()
    for name in ("rather_than", "batch", "save", "metrics"):
        del stored[name]
    assert JobConfig.from_json(stored).metrics == ()


def test_a_job_keeps_the_method_digest_it_was_recorded_with() -> None:
    stored = CONFIG.to_json() | {"method_digest": "of an earlier scheme"}
    config = JobConfig.from_json(stored)
    assert config.method_digest == "of an earlier scheme"
    assert config.to_json()["method_digest"] == "of an earlier scheme"
    assert config.question(PROFILE) == CONFIG.question(PROFILE), "it means the same"


@pytest.mark.parametrize(
    "changes",
    [
        {"model": ModelRef("net", "b" * 64)},
        {"recipe": recipe("paper", steps_class=20)},
        {"layers": Layers("conv", ("conv",))},
        {"target": 3},
        {"foil": 1},
        {"top": 2},
        {"metrics": ("deletion",)},
    ],
)
def test_whatever_decides_an_answer_is_in_the_question(changes: dict[str, Any]) -> None:
    assert replace(CONFIG, **changes).question(PROFILE) != CONFIG.question(PROFILE)


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": DatasetRef("folder:/e", "folder")},
        {"model": ModelRef("other", "a" * 64)},
        {"model": ModelRef("net", "a" * 64, 3)},
    ],
)
def test_names_and_places_are_not(changes: dict[str, Any]) -> None:
    assert replace(CONFIG, **changes).question(PROFILE) == CONFIG.question(PROFILE)


def test_profile_label_and_boxes_are_part_of_an_images_question() -> None:
    asked = CONFIG.question(PROFILE, "cat", [{"left": 0}])
    assert asked != CONFIG.question({**PROFILE, "batch": 8}, "cat", [{"left": 0}])
    assert asked != CONFIG.question(PROFILE, "dog", [{"left": 0}])
    assert asked != CONFIG.question(PROFILE, "cat", [{"left": 1}])
    unboxed = replace(CONFIG, metrics=("deletion",))
    assert unboxed.question(PROFILE, "cat", [{"left": 0}]) == unboxed.question(PROFILE, "cat", [])


def test_the_work_digest_is_what_rates_were_kept_under_before() -> None:
    parts = ["a" * 64, CONFIG.method_digest, CONFIG.layers.to_json(), ["deletion", "pointing"]]
    assert CONFIG.work_digest() == digest(parts)
    assert replace(CONFIG, top=3).work_digest() == digest([*parts, 3])


def test_a_version_of_the_model_is_kept_and_older_jobs_have_none() -> None:
    config = replace(CONFIG, model=ModelRef("net", "a" * 64, 3))
    assert config.to_json()["model"] == {"reference": "net", "digest": "a" * 64, "version": 3}
    assert JobConfig.from_json(config.to_json()).model == config.model
    assert "version" not in CONFIG.to_json()["model"]
    assert JobConfig.from_json(CONFIG.to_json()).model.version is None
