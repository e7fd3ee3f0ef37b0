"""`gfi explain`, `gfi layers`, `gfi models`: the method without any service, and the networks it can read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from gfi.cli.errors import CommandError
from gfi.cli.printing import emit, table

SAMPLE_MODEL = "efficientnet-lite0"


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", default=SAMPLE_MODEL, show_default=True, help="A model reference: see `gfi models`.")
@click.option("--preset", help="paper, released or tuned. [default: the model's]")
@click.option("--layers", help="`L0,L1` in place of the preset's: see `gfi layers MODEL`.")
@click.option("--target", help="Class index, WordNet id or name; default: the predicted class.")
@click.option("--rather-than", help="Another class: why the target rather than this one.")
@click.option(
    "--top", type=click.IntRange(1, 10), help="Explain each of the so many most probable classes instead."
)
@click.option(
    "--by-layer",
    is_flag=True,
    help="Instead, what each depth still keeps: stage 1 of `paper` over a ladder of layers.",
)
@click.option(
    "--output",
    default="explanations",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for the pictures.",
)
@click.option(
    "--batch", type=click.IntRange(1), help="Images optimised together. [default: what fits the memory]"
)
@click.option("--device", default="cpu", show_default=True)
@click.option(
    "--map", "colours", default="viridis", show_default=True, type=click.Choice(["viridis", "magma", "jet"])
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(
    photos: tuple[Path, ...], model: str, preset: str | None, layers: str | None, target: str | None,
    rather_than: str | None, top: int | None, by_layer: bool, output: Path, batch: int | None, device: str,
    colours: str, as_json: bool,
) -> None:  # fmt: skip
    """Explain photographs in this process; no service is needed.

    For each PHOTO writes NAME-mask.png and NAME-overlay.png; with --top NAME-CLASS-mask.png and so on,
    with --by-layer one strip NAME-by-layer.png.
    """
    from gfi.cli.explaining import depths_of_photos, explain_photos

    missing = [str(photo) for photo in photos if not photo.is_file()]
    if missing:
        folder = Path(missing[0]).is_dir()
        advice = f"a folder is a job: `gfi submit --dataset {missing[0]}`, or name its photographs here"
        raise CommandError(
            f"{missing[0]} is a folder; {advice}" if folder else f"no such photograph: {missing[0]}"
        )
    if top is not None and target is not None:
        raise CommandError("--top names the classes itself; leave --target out")
    if by_layer:
        if target or rather_than or top or layers or preset:
            raise CommandError(
                "--by-layer asks for no class and takes its own layers and preset; leave --target, --rather-than,"
                " --top, --layers and --preset out"
            )
        depths = depths_of_photos(photos, output, model=model, batch=batch, device=device, colours=colours)
        if as_json:
            emit(depths)
            return
        show(depths, ("photograph", "layer", "error", "status", "strip"), output)
        return
    rows = explain_photos(
        photos, output, model=model, preset=preset, layers=layers, target=target, rather_than=rather_than, top=top,
        batch=batch, device=device, colours=colours, quiet=as_json,
    )  # fmt: skip
    if as_json:
        emit(rows)
    else:
        show(rows, ("photograph", "status", "target", "probability", "kept", "removed", "overlay"), output)
    if any(row["status"] == "error" for row in rows):
        raise SystemExit(1)


def show(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], output: Path) -> None:
    """A table of explanations for people: files by their names, and once where they are."""

    def cell(row: Mapping[str, Any], column: str) -> object:
        value = row.get(column)
        return Path(value).name if value and column in ("photograph", "overlay", "strip") else value

    table("", columns, [[cell(row, column) for column in columns] for row in rows], "")
    if any(row.get("overlay") or row.get("strip") for row in rows):
        click.echo(f"pictures are in {output}/", err=True)


@click.command()
@click.argument("model")
@click.option("--all", "every", is_flag=True, help="Also layers without a spatial map.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def layers(model: str, every: bool, as_json: bool) -> None:
    """List the layers of MODEL, with those the presets choose."""
    from gfi.domain.errors import MethodError
    from gfi.domain.layer_names import TOKENS
    from gfi.domain.presets import PRESETS
    from gfi.method.classifiers import describe_layers, load
    from gfi.store.settings import Settings

    classifier = load(model, Settings.load().models)
    described = describe_layers(classifier)
    chosen = {}
    for name, recipe in PRESETS.items():
        try:
            found = classifier.chosen(recipe)
            chosen[name] = {**found.layers.to_json(), "how": found.how}
        except MethodError as error:
            chosen[name] = {"error": str(error)}
    if as_json:
        keys = ("name", "type", "shape", "rectified")
        emit(
            {
                "model": model,
                "layers": [dict(zip(keys, each, strict=True)) for each in described],
                "chosen": chosen,
            }
        )
        return
    last = {call.name: call for call in classifier.calls}
    rows = [
        (
            name + TOKENS * last[name].tokens,
            kind,
            "×".join(map(str, shape)),
            "≥ 0" if rectified else "signed",
        )
        for name, kind, shape, rectified in described
        if every or last[name].spatial
    ]
    table(model, ("layer", "type", "output", "values"), rows, "no spatial layer")
    for name, choice in chosen.items():
        text = choice.get("error") or f"{choice['inverted']},{'+'.join(choice['weighed'])}  ({choice['how']})"
        click.echo(f"{name:<9} {text}")


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """The registered models; `gfi models add` registers one."""
    if context.invoked_subcommand is not None:
        return
    from gfi.cli.stack import open_stack
    from gfi.store import queries

    _, database = open_stack()
    found = queries.list_models(database)
    if as_json:
        emit([model.record | {"registered_at": model.created_at} for model in found])
        return
    rows = [
        (
            model.reference,
            model.digest[:12],
            "×".join(map(str, model.record["input_size"])),
            model.record["classes"],
            f"{model.record['parameters'] / 1e6:.1f} M",
        )
        for model in found
    ]
    table(
        "",
        ("model", "digest", "input", "classes", "parameters"),
        rows,
        "no model yet: gfi models add efficientnet-lite0",
    )


@models.command("add")
@click.argument("reference")
def add_model(reference: str) -> None:
    """Register REFERENCE, or a model file NAME.toml (it is copied into the models folder).

    Reads the network once: its layers, digest, input size and class names are stored, so that the API and the scheduler
    never need torch.
    """
    from gfi.cli.models import register
    from gfi.cli.stack import open_stack

    settings, database = open_stack()
    record = register(database, settings, reference)
    click.echo(f"{record['reference']}: {record['classes']} classes, digest {record['digest'][:12]}")


@models.command("known")
def known_models() -> None:
    """List the references that can be loaded on this machine."""
    from gfi.method.classifiers import known
    from gfi.store.settings import Settings

    for reference in known(Settings.load().models):
        click.echo(reference)


COMMANDS = (explain, layers, models)
