"""How layers are written."""

import pytest

from gfi.domain.errors import MethodError
from gfi.domain.layer_names import Layers, check_layers, parse_layer


def test_a_layer_is_a_name_with_suffixes() -> None:
    assert parse_layer("features.34") == ("features.34", False, False)
    assert parse_layer("features.34:relu") == ("features.34", False, True)
    assert parse_layer("encoder.ln:tokens") == ("encoder.ln", True, False)
    assert parse_layer("encoder.ln:tokens:relu") == ("encoder.ln", True, True)
    with pytest.raises(MethodError, match="not of the form NAME, NAME:relu or NAME:tokens:relu"):
        Layers.parse("features.3:gelu")


@pytest.mark.parametrize("text", ["a", "a,b:relu", "a:tokens,b+c:relu"])
def test_a_choice_of_layers_is_read_written_and_stored(text: str) -> None:
    layers = Layers.parse(text)
    assert Layers.parse(str(layers)) == layers
    assert Layers.from_json(layers.to_json()) == layers


@pytest.mark.parametrize("text", ["", "a,b,c", "a,", "a,+"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(MethodError):
        Layers.parse(text)


def test_a_layer_that_is_not_there_is_answered_with_the_last_convolutions() -> None:
    known = [("features.0", "Conv2d"), ("features.1", "ReLU"), ("features.2", "Conv2d"), ("head", "Linear")]
    check_layers(Layers.parse("features.2,features.1:relu"), known, "mine")
    with pytest.raises(MethodError) as error:
        check_layers(Layers.parse("body"), known, "mine")
    assert str(error.value) == (
        "layer `body` does not exist in mine; the last convolutions are features.2, .0"
        " — `gfi layers mine` lists them all"
    )
