"""Model files: what loads, and the message for every wrong field."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gfi.domain.errors import MethodError
from gfi.domain.preprocess import Preprocess
from gfi.domain.presets import PRESETS
from gfi.method.classifiers import load
from tests.unit.method.written_models import GOOD, explain, write


@pytest.mark.parametrize("channels", [1, 5])
def test_a_model_of_ones_own_channels_runs_from_a_file(tmp_path: Path, channels: int) -> None:
    write(
        tmp_path,
        f"""
        architecture = "file:net.py:build"
        weights = "seed:3"
        classes = ["a", "b", "c", "d", "e"]
        [arguments]
        channels = {channels}
        classes = 5
        [input]
        size = [32, 40]
        channels = {channels}
        mean = 0.4
        std = 0.2
        interpolation = "bicubic"
        crop = "centre"
        resize = 36
    """,
    )
    classifier = load("mine", tmp_path)
    assert classifier.preprocess.channels == channels
    assert classifier.preprocess.size == (32, 40)
    assert classifier.class_names == ("a", "b", "c", "d", "e")
    assert classifier.layer_choice(PRESETS["paper"]).how == "automatic"
    explain(classifier)


def test_a_timm_model_runs_from_a_file_with_its_own_layers_and_channels(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        architecture = "timm:resnet10t"
        weights = "seed:1"
        classes = "names.txt"
        [input]
        size = 64
        channels = 1
        [layers]
        inverted = "layer4"
        weighed = ["layer4.0.act1"]
    """,
    )
    (tmp_path / "names.txt").write_text("jay\nwren\n\nowl\n")
    classifier = load("mine", tmp_path)
    assert classifier.classes == 3
    assert classifier.layer_choice(PRESETS["paper"]).how == "model"
    assert classifier.layers_for(PRESETS["released"]).mask_layers == ("layer4",)
    explain(classifier)


def test_weights_come_from_a_state_dict_or_safetensors_and_decide_the_digest(tmp_path: Path) -> None:
    write(tmp_path, GOOD.replace("seed:0", "seed:7"))
    seeded = load("mine", tmp_path)
    state = seeded.module.state_dict()
    torch.save(state, tmp_path / "w.pth")
    torch.save({"state_dict": state}, tmp_path / "wrapped.pth")
    save_file(state, tmp_path / "w.safetensors")
    for file in ("w.pth", "wrapped.pth", "w.safetensors"):
        write(tmp_path, GOOD.replace("seed:0", file))
        assert load("mine", tmp_path).digest == seeded.digest
    write(tmp_path, GOOD)
    assert load("mine", tmp_path).digest != seeded.digest
    write(tmp_path, GOOD.replace("seed:0", "seed:7").replace("32", "40"))
    assert load("mine", tmp_path).digest != seeded.digest


class Harmful:
    def __reduce__(self) -> tuple:
        return (print, ("code from a weights file ran",))


def test_a_weights_file_with_code_in_it_is_refused_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"0.weight": Harmful()}, tmp_path / "w.pth")
    write(tmp_path, GOOD.replace("seed:0", "w.pth"))
    with pytest.raises(MethodError, match=r"w\.pth is not a file of tensors: .*`print`; save it with"):
        load("mine", tmp_path)
    assert capsys.readouterr().out == ""


def test_a_window_is_part_of_the_digest_and_of_the_record_where_there_is_one(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    write(tmp_path, GOOD + "window = [0, 4095]", "narrow")
    plain, narrow = load("mine", tmp_path), load("narrow", tmp_path)
    assert plain.digest != narrow.digest
    assert "window" not in plain.record()["preprocess"]
    assert narrow.record()["preprocess"]["window"] == [0.0, 4095.0]


def test_the_channels_that_people_see_are_in_the_record_and_not_in_the_digest(tmp_path: Path) -> None:
    """Colours of pictures change no mask, so results of both belong to one network."""
    five = GOOD.replace("[input]", "[arguments]\nchannels = 5\n[input]\nchannels = 5")
    write(tmp_path, five)
    write(tmp_path, five + "shown = [3, 2, 1]", "coloured")
    write(tmp_path, five + "shown = 5", "grey")
    plain, coloured, grey = (load(name, tmp_path) for name in ("mine", "coloured", "grey"))
    assert plain.digest == coloured.digest == grey.digest
    assert plain.earlier_digest == coloured.earlier_digest
    assert "shown" not in plain.record()["preprocess"]
    assert coloured.record()["preprocess"]["shown"] == [3, 2, 1]
    for one in (plain, coloured, grey):
        assert Preprocess.known(one.record()) == one.preprocess


WRONG = [
    ('weights = "seed:0"', "`architecture` is missing"),
    ('architecture = "torchvision:resnet18"', "`weights` is missing"),
    ('architecture = 3\nweights = "seed:0"', "`architecture` is a text, not 3"),
    ('architecture = "torchvision:resnet81"\nweights = "seed:0"', "no classifier `resnet81`; did you mean resnet18"),
    ('architecture = "timm:resnet1o"\nweights = "seed:0"', "timm has no model `resnet1o`"),
    ('architecture = "hub:x"\nweights = "seed:0"', "an architecture is torchvision:NAME or timm:NAME"),
    ('architecture = "file:../net.py:build"\nweights = "seed:0"', "not a function in a Python file of the same folder"),
    ('architecture = "file:net.py:nothing"\nweights = "seed:0"', "net.py has no function `nothing`"),
    (GOOD.replace("seed:0", "none.pth"), "none.pth: No such file"),
    (GOOD.replace("seed:0", "net.py"), "net.py is not a file of tensors"),
    (GOOD.replace("seed:0", "seed:x"), "`weights` names a seed, seed:N with N from 0 to 9.*7, not 'seed:x'"),
    (GOOD.replace("seed:0", "seed:99999999999999999999"), "`weights` names a seed, seed:N with N from 0 to"),
    (GOOD.replace("seed:0", "default"), '"default" is for torchvision'),
    ('colour = "red"\n' + GOOD, "there is no field `colour`"),
    (GOOD + 'chanels = 3', r"\[input\] has no field `chanels`; did you mean channels"),
    ('output = "logits"\n' + GOOD, "`output` is one of softmax, sigmoid, probabilities, not 'logits'"),
    ("classes = [1, 2]\n" + GOOD, "`classes` is a list of names, a file of names or"),
    ('classes = "gone.txt"\n' + GOOD, "`classes`: .*gone.txt cannot be read"),
    ('classes = ["a", "b"]\n' + GOOD, "2 class names for a network of 4 classes"),
    (GOOD.replace("32", '"big"'), "`input.size` is one or two whole numbers from 8 to 4096, not 'big'"),
    (GOOD + "channels = 65", "`input.channels` is a whole number from 1 to 64, not 65"),
    (GOOD + "channels = 1", "does not take an image of 1×32×32"),
    (GOOD + "mean = [0.5, 0.5]", "`input.mean` is 3 numbers"),
    (GOOD + "mean = nan", "`input.mean` is 3 numbers, not .nan"),
    (GOOD + "std = inf", "`input.std` is 3 numbers, not .inf"),
    (GOOD + "std = 0", "`input.std` is positive"),
    (GOOD + 'interpolation = "cubic"', "`input.interpolation` is one of nearest, bilinear, bicubic, lanczos"),
    (GOOD + 'crop = "left"', "`input.crop` is one of recipe, centre, none, letterbox"),
    (GOOD + "shown = [3, 2, 1]", "`input.shown` is for 2 or more than 3 channels"),
    (GOOD + "channels = 5\nshown = [0, 1, 2]", "`input.shown` is one channel or three, as numbers from 1 to 5"),
    (GOOD + "channels = 5\nshown = [5, 6, 1]", "`input.shown` is one channel or three, as numbers from 1 to 5"),
    (GOOD + "channels = 5\nshown = [1, 2]", "`input.shown` is one channel or three, as numbers from 1 to 5"),
    (GOOD + "window = [5, 5]", r"`input.window` is .low, high. or .percentile 0.5 99.5., not .5, 5."),
    (GOOD + "resize = 16", "`input.resize` is a whole number of at least 32"),
    (GOOD + '[layers]\nweighed = "3"', "`layers.inverted` is the name of a layer, not None"),
    (GOOD + '[layers]\ninverted = "3"\nweighed = 4', "`layers.weighed` is the name of a layer or a list"),
    (GOOD + '[layers]\ninverted = "3:gelu"', "`layers`: layer `3:gelu` is not of the form"),
    (GOOD + '[layers]\ninverted = "33"', "layer `33` does not exist in mine.* — `gfi layers mine` lists them all"),
    ("input = 3\n" + GOOD.split("[input]")[0], "`input` is a table, not 3"),
    ("architecture = ", "not a TOML file"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line"), WRONG, ids=[line[:40] for _, line in WRONG])
def test_each_wrong_field_is_named_with_its_file(tmp_path: Path, text: str, line: str) -> None:
    write(tmp_path, text)
    with pytest.raises(MethodError, match=line) as e:
        load("mine", tmp_path)
    assert "\n" not in str(e.value)
    assert "mine" in str(e.value)
