"""The methods of a job and the recipes of the peers."""

import pytest

from gfi.domain.errors import MethodError
from gfi.domain.methods import METHODS, PEERS, TITLES, fields_of, method_named, passes, peer_recipe
from gfi.domain.presets import PRESETS, recipe
from gfi.domain.recipes import Recipe


def test_a_method_is_known_by_its_name_with_and_without_hyphens():
    assert {method_named(name) for name in METHODS} == set(METHODS) == set(TITLES)
    assert method_named("GradCAM") == method_named("grad_cam") == "grad-cam"


@pytest.mark.parametrize(
    ("name", "advice"),
    [("gradcams", "did you mean `grad-cam`?"), ("x", "the methods are gfi, grad-cam"), ("ris", "`rise`")],
)
def test_a_misspelt_method_is_refused_with_advice(name, advice):
    with pytest.raises(MethodError, match=advice.replace("?", r"\?")):
        method_named(name)


def test_every_peer_has_a_digest_of_its_own_which_its_parameters_change():
    digests = {recipe.digest() for recipe in (*PRESETS.values(), *PEERS.values())}
    assert len(digests) == len(PRESETS) + len(PEERS)
    assert peer_recipe("rise", rise_masks=100).digest() not in digests
    assert Recipe.from_json(PEERS["rise"].to_json()) == PEERS["rise"]


@pytest.mark.parametrize(
    ("method", "field", "advice"),
    [
        ("rise", {"rise_mask": 9}, "did you mean `rise_masks`"),
        (
            "rise",
            {"path_steps": 9},
            "does not read the recipe field `path_steps`, which is one of integrated-gradients",
        ),
        ("grad-cam", {"steps_class": 9}, "which is one of gfi"),
        ("rise", {"rise_masks": 0}, "at least 1"),
        ("rise", {"rise_keep": 1.0}, "less than 1"),
        ("occlusion", {"occlusion_window": 20}, "at most occlusion_cells"),
        ("opti-cam", {"method": "rise"}, "does not read the recipe field `method`"),
    ],
)
def test_a_field_that_a_peer_does_not_read_or_a_value_out_of_range_is_refused(method, field, advice):
    with pytest.raises(MethodError, match=advice):
        peer_recipe(method, **field)


def test_a_preset_reads_no_field_of_the_peers():
    with pytest.raises(MethodError, match="rise_masks"):
        recipe("paper", rise_masks=9)
    assert "steps_class" in fields_of("gfi")
    assert "method" not in fields_of("gfi")


def test_the_passes_of_a_mask_follow_from_its_parameters():
    assert (
        passes(peer_recipe("rise", rise_masks=10)).forward + 10
        == passes(peer_recipe("rise", rise_masks=20)).forward
    )
    assert (
        passes(peer_recipe("occlusion", occlusion_cells=4)).forward == passes(PEERS["grad-cam"]).forward + 8
    )
    assert passes(recipe("paper")) == (169, 150)
