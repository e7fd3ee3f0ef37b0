"""Models: what registration read, and registering one."""

from pathlib import Path

import pytest

from tests.service.api.conftest import World


def test_models_show_what_registration_read(one_world: World) -> None:
    (model,) = one_world.call("GET", "/v1/models").json()
    assert (model["reference"], model["classes"], model["parameters"]) == ("tiny", 3, 1000)
    layers = one_world.call("GET", "/v1/models/tiny/layers").json()
    assert [layer["name"] for layer in layers] == ["features.2", "features.4"]
    assert one_world.call("GET", "/v1/models/vgg99").status_code == 404


def test_an_administrator_registers_a_model_by_its_name(one_world: World) -> None:
    reference = "torchvision:squeezenet1_1@seed:0"  # a name, neither a path nor code
    assert one_world.call("POST", "/v1/models", "submit", json={"reference": reference}).status_code == 403
    made = one_world.call("POST", "/v1/models", json={"reference": reference})
    assert made.status_code == 201, made.text
    model = made.json()
    assert (model["reference"], model["classes"], model["input_size"]) == (reference, 1000, [224, 224])
    assert len(model["digest"]) == 64
    layers = one_world.call("GET", f"/v1/models/{reference}/layers", "read").json()
    assert "features.12" in [layer["name"] for layer in layers]
    assert one_world.submit("submit", model=reference).status_code == 201
    entries = one_world.call("GET", "/v1/audit").json()["items"]
    assert ("admin-test", "model.registered") in [(entry["actor"], entry["action"]) for entry in entries]
    assert one_world.call("DELETE", f"/v1/models/{reference}").status_code == 204


def test_registration_takes_a_reference_never_a_path_or_an_option(one_world: World) -> None:
    for reference in (
        "/tmp/x.toml",
        "../x",
        "file:/tmp/m.py:Net",
        "a/b",
        "--help",
        "x.toml/..",
        "",
        "torchvision:a b",
        "a\nb",
    ):
        answer = one_world.call("POST", "/v1/models", json={"reference": reference})
        assert answer.status_code == 422, reference


def test_registration_imports_nothing_from_the_working_directory(
    one_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gfi", "datasets", "click"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('{name} of the working directory')")
    monkeypatch.chdir(tmp_path)
    refused = one_world.call("POST", "/v1/models", json={"reference": "torchvision:vgg99"})
    assert refused.status_code == 422
    assert "vgg99" in refused.json()["detail"]
    assert "working directory" not in refused.json()["detail"]
