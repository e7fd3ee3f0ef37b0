"""References and model files: what loads, and what a wrong field is told."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from gfi import samples
from gfi.domain import imagenet
from gfi.domain.errors import MethodError
from gfi.domain.presets import PRESETS, recipe
from gfi.method.classifiers import LITE, Classifier, available_models, describe_layers, load
from gfi.method.engine import Engine
from gfi.method.item import Item

NET = """
import torch
from torch import nn

def build(channels=3, classes=4):
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 1, 1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, classes),
    )
"""
GOOD = """
architecture = "file:net.py:build"
weights = "seed:0"
[input]
size = 32
"""


def write(folder: Path, text: str, name: str = "mine") -> str:
    (folder / "net.py").write_text(NET)
    (folder / f"{name}.toml").write_text(text)
    return name


def explain(classifier: Classifier) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    for preset in PRESETS:
        quick = recipe(preset, steps_inversion=2, steps_class=2, levels=[0.25])
        (found,) = Engine(classifier, quick, batch=1).explain_many([Item(0, classifier.prepare(rgb, quick))])
        assert np.isfinite([found.probability, found.kept, found.removed, found.loss]).all()
        assert found.iterations == 4


@pytest.mark.parametrize("name", LITE)
def test_the_lite_networks_know_a_cat_and_have_layers_for_every_preset(name: str) -> None:
    classifier = load(name)
    assert name in available_models()
    cat = np.asarray(Image.open(samples.path() / "cat.jpg").convert("RGB"))
    for preset in PRESETS:
        (found,) = Engine(
            classifier, recipe(preset, steps_inversion=0, steps_class=2, levels=[0.25]), batch=1
        ).explain_many([Item(0, classifier.prepare(cat, recipe(preset)))])  # fmt: skip
        assert classifier.class_names[found.prediction] == "Egyptian cat"
        assert found.status == "ok"


def test_a_grey_model_of_ones_own_runs_from_a_file(tmp_path: Path) -> None:
    write(tmp_path, '''
        architecture = "file:net.py:build"
        weights = "seed:3"
        classes = ["a", "b", "c", "d", "e"]
        [arguments]
        channels = 1
        classes = 5
        [input]
        size = [32, 40]
        channels = 1
        mean = 0.4
        std = [0.2]
        interpolation = "bicubic"
        crop = "centre"
        resize = 36
    ''')  # fmt: skip
    classifier = load("mine", tmp_path)
    assert classifier.preprocess.channels == 1
    assert classifier.preprocess.size == (32, 40)
    assert classifier.class_names == ("a", "b", "c", "d", "e")
    assert classifier.layer_choice(PRESETS["paper"]).how == "automatic"
    explain(classifier)


def test_a_sigmoid_model_uses_the_sigmoid_and_a_probability_model_nothing(tmp_path: Path) -> None:
    logits = torch.tensor([[0.0, 2.0, -1.0, 1.0]])
    for output, wanted in (
        ("sigmoid", logits.sigmoid()),
        ("softmax", logits.softmax(1)),
        ("probabilities", logits),
    ):
        write(tmp_path, f'output = "{output}"\n{GOOD}')
        classifier = load("mine", tmp_path)
        assert torch.equal(classifier.as_probabilities(logits), wanted)
        if output == "sigmoid":
            explain(classifier)


def test_a_timm_model_runs_from_a_file_with_its_own_layers_and_channels(tmp_path: Path) -> None:
    write(tmp_path, '''
        architecture = "timm:resnet10t"
        weights = "seed:1"
        classes = "names.txt"
        [input]
        size = 64
        channels = 1
        [layers]
        inverted = "layer4"
        weighed = ["layer4.0.act1"]
    ''')  # fmt: skip
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
    with pytest.raises(MethodError, match=r"w\.pth is not a file of tensors; save it with"):
        load("mine", tmp_path)
    assert capsys.readouterr().out == ""


WRONG = [
    ('weights = "seed:0"', "`architecture` is missing"),
    ('architecture = "torchvision:resnet18"', "`weights` is missing"),
    ('architecture = 3\nweights = "seed:0"', "`architecture` is a text, not 3"),
    ('architecture = "torchvision:resnet81"\nweights = "seed:0"', "no classifier `resnet81`; did you mean resnet18"),
    ('architecture = "timm:resnet1o"\nweights = "seed:0"', "timm has no model `resnet1o`"),
    ('architecture = "hub:x"\nweights = "seed:0"', "an architecture is torchvision:NAME or timm:NAME"),
    ('architecture = "file:../net.py:build"\nweights = "seed:0"', "not a function in a Python file beside this one"),
    ('architecture = "file:net.py:nothing"\nweights = "seed:0"', "net.py has no function `nothing`"),
    (GOOD.replace("seed:0", "none.pth"), "none.pth: No such file"),
    (GOOD.replace("seed:0", "net.py"), "net.py is not a file of tensors"),
    (GOOD.replace("seed:0", "seed:x"), "`weights` names a seed like seed:0, not 'seed:x'"),
    (GOOD.replace("seed:0", "default"), '"default" is for torchvision'),
    ('colour = "red"\n' + GOOD, "there is no field `colour`"),
    (GOOD + 'chanels = 3', r"\[input\] has no field `chanels`; did you mean channels"),
    ('output = "logits"\n' + GOOD, "`output` is one of softmax, sigmoid, probabilities, not 'logits'"),
    ("classes = [1, 2]\n" + GOOD, "`classes` is a list of names, a file of names or"),
    ('classes = "gone.txt"\n' + GOOD, "`classes`: .*gone.txt cannot be read"),
    ('classes = ["a", "b"]\n' + GOOD, "2 class names for a network of 4 classes"),
    (GOOD.replace("32", '"big"'), "`input.size` is one or two whole numbers from 8 to 4096, not 'big'"),
    (GOOD + "channels = 2", "`input.channels` is 1 or 3, not 2"),
    (GOOD + "channels = 1", "does not take an image of 1×32×32"),
    (GOOD + "mean = [0.5, 0.5]", "`input.mean` is 3 numbers"),
    (GOOD + "std = 0", "`input.std` is positive"),
    (GOOD + 'interpolation = "cubic"', "`input.interpolation` is one of nearest, bilinear, bicubic, lanczos"),
    (GOOD + 'crop = "left"', "`input.crop` is one of recipe, centre, none"),
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


@pytest.mark.parametrize(
    ("reference", "line"),
    [
        ("vgg", r"unknown model `vgg`; known: efficientnet-lite0.* — or torchvision:NAME@seed:N"),
        ("hub:vgg19", "`hub:` is not a source"),
        ("torchvision:vgg91@seed:0", "no classifier `vgg91`; did you mean"),
        ("torchvision:vgg19@0", "after @ comes seed:N, for example torchvision:vgg19@seed:0"),
        (
            "torchvision:squeezenet1_0",
            "not on this machine and gfi downloads nothing: put squeezenet1_0-.*pth into",
        ),
        ("timm:resnet10t", "gfi downloads no weights"),
        ("../secret", "unknown model"),
    ],
)
def test_a_wrong_reference_is_one_line_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, line: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MethodError, match=line) as e:
        load(reference, tmp_path)
    assert "\n" not in str(e.value)


def test_default_weights_that_lie_on_this_machine_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    seeded = load("torchvision:squeezenet1_1@seed:5")
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(seeded.module.state_dict(), folder / "squeezenet1_1-b8a52dc0.pth")
    assert "torchvision:squeezenet1_1" in available_models()
    found = load("torchvision:squeezenet1_1")
    assert found.digest == seeded.digest
    assert found.class_names[0] == "tench"
    assert found.wordnet_ids == imagenet.wordnet_ids()


def test_a_seed_is_a_model_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    one = load("torchvision:squeezenet1_1@seed:0")
    assert torch.equal(torch.rand(1), expected)
    assert one.digest == load("torchvision:squeezenet1_1@seed:0").digest
    assert one.digest != load("torchvision:squeezenet1_1@seed:1").digest


def test_the_record_holds_what_the_rooms_without_torch_must_know(tmp_path: Path) -> None:
    import json

    classifier = load(write(tmp_path, GOOD), tmp_path)
    record = json.loads(json.dumps(classifier.record()))
    assert record["reference"] == "mine"
    assert record["input_size"] == [32, 32]
    assert record["classes"] == 4
    assert record["chosen"]["paper"] == {"inverted": "4", "weighed": ["3"], "how": "automatic"}
    assert record["chosen"]["released"] == {"inverted": "4", "weighed": ["4"], "how": "automatic"}
    assert record["layers"][0] == {"name": "0", "type": "Conv2d", "shape": [8, 16, 16], "rectified": False}
    assert len(record["layers"]) == len(describe_layers(classifier))


def test_imagenet_has_a_thousand_names_and_ids() -> None:
    assert len(set(imagenet.wordnet_ids())) == len(imagenet.names()) == 1000
    assert imagenet.classes()[243] == ("n02108422", "bull mastiff")
