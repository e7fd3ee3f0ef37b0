"""Classifiers by reference: what loads, their probabilities, digest and record."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gfi import samples
from gfi.domain import imagenet
from gfi.domain.errors import MethodError
from gfi.domain.layer_names import Layers
from gfi.domain.presets import PRESETS, recipe
from gfi.method.classifiers import LITE, available_models, describe_layers, from_module, load
from gfi.method.engine import Engine
from gfi.method.item import Item
from gfi.method.network import Network
from tests.unit.method.written_models import GOOD, explain, write


@pytest.mark.parametrize("name", LITE)
def test_the_lite_networks_know_a_cat_and_have_layers_for_every_preset(name: str) -> None:
    classifier = load(name)
    assert name in available_models()
    cat = np.asarray(Image.open(samples.path() / "cat.jpg").convert("RGB"))
    for preset in PRESETS:
        (explanation,) = Engine(
            classifier, recipe(preset, steps_inversion=0, steps_class=2, levels=[0.25]), batch=1
        ).explain_many([Item(0, classifier.prepare(cat, recipe(preset)))])
        assert classifier.class_names[explanation.prediction] == "Egyptian cat"
        assert explanation.status in ("ok", "target_lost")  # two steps


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


@pytest.mark.parametrize(
    ("reference", "line"),
    [
        ("vgg", r"unknown model `vgg`; known: efficientnet-lite0.* — or torchvision:NAME@seed:N"),
        ("hub:vgg19", "`hub:` is not a source"),
        ("torchvision:vgg91@seed:0", "no classifier `vgg91`; did you mean"),
        *(
            (
                f"torchvision:vgg19@{behind}",
                "after @ comes seed:N with N from 0 to 9223372036854775807, for example torchvision:vgg19@seed:0",
            )
            for behind in (
                "0",
                "",
                "seed:",
                "seed:-1",
                "seed:x",
                "seed:9223372036854775808",
                "seed:" + "9" * 30,
            )
        ),
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


def test_files_and_folders_are_texts_or_paths(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    wanted = load("mine", tmp_path).digest
    assert load("mine", str(tmp_path)).digest == wanted
    file = tmp_path / "mine.toml"
    assert load(file).digest == load(str(file)).digest == wanted
    with pytest.raises(MethodError, match=r"none\.toml: No such file"):
        load(tmp_path / "none.toml")


def test_default_weights_that_lie_on_this_machine_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    seeded = load("torchvision:squeezenet1_1@seed:5")
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(seeded.module.state_dict(), folder / "squeezenet1_1-b8a52dc0.pth")
    assert "torchvision:squeezenet1_1" in available_models()
    loaded = load("torchvision:squeezenet1_1")
    assert loaded.digest == seeded.digest
    assert loaded.class_names[0] == "tench"
    assert loaded.wordnet_ids == imagenet.wordnet_ids()


def test_a_seed_names_a_model_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    one = load("torchvision:squeezenet1_1@seed:0")
    assert torch.equal(torch.rand(1), expected)
    assert one.digest == load("torchvision:squeezenet1_1@seed:0").digest
    assert one.digest != load("torchvision:squeezenet1_1@seed:1").digest


def test_the_record_holds_what_processes_without_torch_must_know(tmp_path: Path) -> None:
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


def test_the_record_counts_what_one_forward_pass_costs() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    )
    record = from_module(net, (16, 16)).record()
    assert record["flops"] == 2 * (16 * 16 * 8 * 3 * 9 + 8 * 5)
    assert record["activations"] == 2 * 8 * 16 * 16 + 2 * 8 + 5


def test_a_single_sigmoid_output_has_a_negative_class_too(tmp_path: Path) -> None:
    text = GOOD.replace(
        "[input]", 'output = "sigmoid"\nclasses = ["healthy", "ill"]\n[arguments]\nclasses = 1\n[input]'
    )
    classifier = load(write(tmp_path, text), tmp_path)
    assert classifier.classes == 2
    images = torch.rand(2, 3, 32, 32)
    healthy, ill = (
        Network(classifier, Layers("2", ("3",)), torch.device("cpu"), torch.float32, False)
        .probabilities(images)
        .unbind(1)
    )
    assert torch.allclose(ill, classifier.module(images).sigmoid()[:, 0])
    assert torch.allclose(healthy, 1 - ill)
    explain(classifier)


def test_thresholds_are_those_of_a_sigmoid_by_class(tmp_path: Path) -> None:
    text = GOOD.replace(
        "[input]", 'output = "sigmoid"\nclasses = ["a", "b", "c", "d"]\nthresholds = {b = 0.2}\n[input]'
    )
    one = load(write(tmp_path, text), tmp_path)
    assert one.thresholds == (0.5, 0.2, 0.5, 0.5) == tuple(one.record()["thresholds"])
    other = load(write(tmp_path, text.replace("0.2", "0.3"), "other"), tmp_path)
    assert other.digest != one.digest
    for wrong, said in (
        ("{e = 0.2}", "name classes, not 'e'"),
        ("1.5", "between 0 and 1"),
        ('"x"', "between 0 and 1"),
    ):
        with pytest.raises(MethodError, match=said):
            load(write(tmp_path, text.replace("{b = 0.2}", wrong), "wrong"), tmp_path)
    with pytest.raises(MethodError, match='output = "sigmoid"'):
        load(write(tmp_path, text.replace('"sigmoid"', '"softmax"'), "wrong"), tmp_path)
