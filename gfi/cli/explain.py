"""`gfi explain`: single photographs in this process, without a service."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from gfi.cli.errors import CommandError
from gfi.cli.job_options import overrides_of
from gfi.cli.printing import emit, json_option, table
from gfi.domain.methods import METHODS, OWN

SAMPLE_MODEL = "efficientnet-lite0"


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--model",
    default=SAMPLE_MODEL,
    show_default=True,
    help="A model reference; `gfi models known` lists them.",
)
@click.option("--method", default=OWN, show_default=True, help=", ".join(METHODS))
@click.option("--preset", help="paper, released or tuned. [default: tuned]")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="FIELD=VALUE",
    help="A single field of the recipe, for example steps_class=24.",
)
@click.option("--layers", help="`L0,L1` instead of the preset's layers; `gfi layers MODEL` lists them.")
@click.option("--target", help="Class index, WordNet id or name. [default: the predicted class]")
@click.option("--rather-than", help="Another class: explain why the target rather than this one.")
@click.option(
    "--top",
    type=click.IntRange(1, 10),
    help="Explain this many of the most probable classes of each photograph.",
)
@click.option(
    "--by-layer",
    is_flag=True,
    help="Show one mask per layer: what each depth of the network still preserves (stage 1 of `paper`).",
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
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:N or mps (never tested).")
@click.option(
    "--map",
    "colours",
    default="viridis",
    show_default=True,
    type=click.Choice(["viridis", "magma", "jet"]),
    help="Colour map of the mask over the photograph.",
)
@json_option
def explain(
    photos: tuple[Path, ...],
    model: str,
    method: str,
    preset: str | None,
    overrides: tuple[str, ...],
    layers: str | None,
    target: str | None,
    rather_than: str | None,
    top: int | None,
    by_layer: bool,
    output: Path,
    batch: int | None,
    device: str,
    colours: str,
    as_json: bool,
) -> None:
    """Explain photographs in this process, without a service.

    Writes NAME-mask.png and NAME-overlay.png for each PHOTO; with --top NAME-CLASS-mask.png and NAME-CLASS-overlay.png
    for each class; with --by-layer one strip, NAME-by-layer.png.
    """
    _check_files(photos)
    if top is not None and target is not None:
        raise CommandError("--top chooses the classes; leave --target out")
    if by_layer:
        if target or rather_than or top or layers or preset or overrides or method != OWN:
            raise CommandError(
                "--by-layer explains no class and has its own layers and preset; leave out --target, --rather-than,"
                " --top, --layers, --method, --preset and --set"
            )
        from gfi.cli.explain_by_layer import depths_of_photos

        depths = depths_of_photos(photos, output, model=model, batch=batch, device=device, colours=colours)
        if as_json:
            emit(depths)
            return
        show(depths, ("photograph", "layer", "error", "status", "strip"), output)
        return
    from gfi.cli.explain_photographs import explain_photos

    rows = explain_photos(
        photos,
        output,
        model=model,
        method=method,
        preset=preset,
        overrides=overrides_of(overrides),
        layers=layers,
        target=target,
        rather_than=rather_than,
        top=top,
        batch=batch,
        device=device,
        colours=colours,
        quiet=as_json,
    )
    if as_json:
        emit(rows)
    else:
        show(rows, ("photograph", "status", "target", "probability", "kept", "removed", "overlay"), output)
    if any(row["status"] == "error" for row in rows):
        raise SystemExit(1)


def _check_files(photos: Sequence[Path]) -> None:
    """Raises CommandError for the first of `photos` that is not a file."""
    for photo in photos:
        if photo.is_dir():
            raise CommandError(
                f"{photo} is a folder; explain a folder with `gfi submit --dataset {photo}`, or name its photographs"
            )
        if not photo.is_file():
            raise CommandError(f"no such photograph: {photo}")


def show(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], output: Path) -> None:
    """Print explanations as a table with the names of their files, and the folder of the files once."""

    def cell(row: Mapping[str, Any], column: str) -> object:
        value = row.get(column)
        return Path(value).name if value and column in ("photograph", "overlay", "strip") else value

    table("", columns, [[cell(row, column) for column in columns] for row in rows], "")
    if any(row.get("overlay") or row.get("strip") for row in rows):
        click.echo(f"pictures are in {output}/", err=True)
