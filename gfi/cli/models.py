"""`gfi models`: registered models."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from gfi.cli.open_service import open_service
from gfi.cli.printing import emit, json_option, status, table


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """List the registered models; `gfi models add` registers one."""
    if context.invoked_subcommand is not None:
        return
    registered = open_service().models()
    if as_json:
        emit(registered)
        return
    rows = [
        (
            model["reference"],
            model["version"],
            model["digest"][:12],
            "×".join(map(str, model["input_size"])),
            model["classes"],
            f"{model['parameters'] / 1e6:.1f} M",
        )
        for model in registered
    ]
    columns = ("model", "version", "digest", "input", "classes", "parameters")
    table("", columns, rows, "no model yet: gfi models add efficientnet-lite0")


@models.command("add")
@click.argument("reference")
@click.option("--here", is_flag=True, help="Load it in this process even if a worker is running.")
@click.option("--note", default="", help="What this version is, for people.")
@click.option(
    "--architecture", help="For a file of weights: torchvision:NAME, timm:NAME or file:net.py:build."
)
@click.option("--classes", help="For a file of weights: their number, a,b,c, a file of names, or imagenet.")
@click.option("--name", help="For a file of weights: the model's name; without it, the file's.")
def add_model(
    reference: str, here: bool, note: str, architecture: str | None, classes: str | None, name: str | None
) -> None:
    """Register a model by its REFERENCE, or a model file NAME.toml, which is copied into the models folder.

    Of a file of weights, `gfi models add birds.pth --architecture torchvision:resnet18 --classes 12`, the model file
    birds.toml is written beside it and then registered. A program of torch.export, birds.pt2, and a folder of
    Hugging Face's transformers with config.json and model.safetensors need no --architecture.

    The network is loaded once, by a worker, or in this process if no worker runs. Its layers, digest, input size and
    class names are stored, so that the API and the scheduler need no torch.
    """
    from gfi.cli.new_model_file import as_model_file

    with as_model_file(reference, architecture, classes, name) as file:
        service = open_service()
        before = {model["reference"]: model["version"] for model in service.models()}
        with status(f"loading {file}"):
            record = service.add_model(file, here=here, note=note)
    if file != reference:
        click.echo(f"wrote {file}")
    unchanged = before.get(record["reference"]) == record["version"]
    said = "unchanged, still version" if unchanged else "version"
    click.echo(
        f"{record['reference']}: {record['classes']} classes, digest {record['digest'][:12]}, {said}"
        f" {record['version']}"
    )
    if found := record.get("weights_note"):
        click.echo(f"weights: {found}")


@models.command("show")
@click.argument("name")
@json_option
def show_model(name: str, as_json: bool) -> None:
    """Show a model, NAME or NAME@3: its digest, who registered it and when, its note, its other versions."""
    model = open_service().model(name)
    if as_json:
        emit(model)
        return
    at = datetime.fromtimestamp(model["registered_at"], UTC)
    lines = {
        "model": f"{model['reference']}@{model['version']}",
        "digest": model["digest"],
        "registered": f"{at:%Y-%m-%d %H:%M} UTC by {model['registered_by'] or 'unknown'}",
        "note": model["note"],
        "input": "×".join(map(str, model["input_size"])),
        "output": f"{model['output']}, {model['classes']} classes",
        "nondeterministic": model.get("nondeterministic"),
        "weights": model.get("weights_note"),
        "last layer": _head(model),
        "versions": ", ".join(map(str, model["versions"])),
    }
    for label, value in lines.items():
        if value:
            click.echo(f"{label:16} {value}")


def _head(model: Mapping[str, Any]) -> str | None:
    """What is stored of the last linear layer; None where an earlier version registered the model."""
    head = model.get("head")
    if head is None:
        return None
    if head["layer"] is None:
        return "not linear, so it is not stored"
    return f"{head['layer']}, {head['classes']} × {head['width']}, {head['bytes'] / 1e6:.1f} MB in the bucket"


@models.command("rm")
@click.argument("name")
def remove_model(name: str) -> None:
    """Remove a model, NAME with all its versions or NAME@3 alone. Its number is not used again."""
    open_service().remove_model(name)
    click.echo(f"removed {name}")


@models.command("known")
def known_models() -> None:
    """List the references that can be loaded on this machine."""
    from gfi.method.classifiers import available_models
    from gfi.store.settings import Settings

    for reference in available_models(Settings.load().models):
        click.echo(reference)
