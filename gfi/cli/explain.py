"""`gfi explain`: single photographs in this process, without any service."""

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
    from gfi.cli.explain_photographs import depths_of_photos, explain_photos

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
