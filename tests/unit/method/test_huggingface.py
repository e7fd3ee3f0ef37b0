"""Image classifiers from a folder of transformers: what is read, what is refused, and how it is registered."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from gfi.domain.errors import MethodError
from gfi.method import huggingface
from gfi.method.classifiers import load
from gfi.method.model_bundle import bundled
from tests.unit.method.written_models import explain


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ResNet as `save_pretrained` writes it, and a model file beside it."""
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    names = {0: "jay", 1: "wren", 2: "owl"}
    config = ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 12],
        depths=[1, 1],
        layer_type="basic",
        num_labels=3,
        id2label=names,
    )
    folder = tmp_path_factory.mktemp("saved")
    ResNetForImageClassification(config).save_pretrained(folder / "birds")
    (folder / "birds" / "preprocessor_config.json").write_text(
        json.dumps(
            {"size": {"shortest_edge": 64}, "do_center_crop": True, "crop_size": {"height": 48, "width": 40}}
            | {"image_processor_type": "BitImageProcessor"}
            | {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7], "resample": 3}
        )
    )
    (folder / "birds.toml").write_text('architecture = "huggingface"\nweights = "birds"\n')
    return folder


def copy(saved: Path, tmp_path: Path) -> Path:
    shutil.copytree(saved, tmp_path / "copy")
    return tmp_path / "copy" / "birds"


def test_a_folder_is_a_classifier_with_its_own_input_and_class_names(saved: Path) -> None:
    from transformers import ResNetForImageClassification

    classifier = load(str(saved / "birds.toml"))
    assert (classifier.class_names, classifier.output) == (("jay", "wren", "owl"), "softmax")
    seen = classifier.preprocess
    assert (seen.size, seen.mean, seen.interpolation) == ((48, 40), (0.1, 0.2, 0.3), "bicubic")
    assert (seen.crop, seen.resize) == ("centre", 64)
    images = torch.rand(2, 3, 48, 40)
    theirs = ResNetForImageClassification.from_pretrained(saved / "birds").eval()
    with torch.no_grad():
        assert torch.allclose(classifier.module(images), theirs(images).logits, atol=1e-6)
    explain(classifier)


def test_it_is_registered_with_its_files_and_means_the_same_elsewhere(saved: Path) -> None:
    with bundled(saved / "birds.toml") as bundle:
        files = ["config.json", "model.safetensors", "preprocessor_config.json"]
        assert sorted(bundle.names) == ["birds.toml", *(f"birds/{name}" for name in files)]
        again = load("birds", bundle.folder)
        assert again.digest == load(str(saved / "birds.toml")).digest
        assert again.record()["chosen"]["tuned"]["inverted"].startswith("resnet.encoder.stages.1")


def test_several_labels_are_a_sigmoid(saved: Path, tmp_path: Path) -> None:
    folder = copy(saved, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"problem_type": "multi_label_classification"}))
    assert load(str(folder.parent / "birds.toml")).output == "sigmoid"


@pytest.mark.parametrize("fault", ["code", "pickle", "weights", "shape", "config"])
def test_what_is_not_read_says_what_to_do(saved: Path, tmp_path: Path, fault: str) -> None:
    folder = copy(saved, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    if fault == "code":
        (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoConfig": "net.Config"}}))
        said = "not run: write it as file:net.py:build"
    elif fault == "pickle":
        (folder / "model.safetensors").unlink()
        torch.save({}, folder / "pytorch_model.bin")
        said = "save it with save_pretrained"
    elif fault == "weights":
        (folder / "model.safetensors").write_bytes(b"nothing")
        said = "not an image classifier of transformers"
    elif fault == "shape":
        (folder / "config.json").write_text(json.dumps(config | {"depths": [1, 2]}))
        said = "do not fit ResNetForImageClassification: missing resnet.encoder"
    else:
        (folder / "config.json").write_text("{")
        said = "config.json is not JSON"
    with pytest.raises(MethodError, match=said):
        load(str(folder.parent / "birds.toml"))


def test_a_model_file_names_a_folder_beside_it(saved: Path, tmp_path: Path) -> None:
    outside = copy(saved, tmp_path).parent / "in" / "birds.toml"
    outside.parent.mkdir()
    outside.write_text('architecture = "huggingface"\nweights = "../birds"\n')
    with pytest.raises(MethodError, match="leads out of the model's folder"), bundled(outside):
        pass
    assert huggingface.files_of(outside.parent.parent / "birds")
