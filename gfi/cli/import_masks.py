"""`gfi import`: masks that were made elsewhere, as a finished job."""

from pathlib import Path

import click

from gfi.cli.errors import CommandError
from gfi.cli.open_service import open_service
from gfi.cli.printing import emit, json_option


@click.command("import")
@click.option(
    "--masks",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="A folder with KEY.npy, .npz, .png or .pt; a FiftyOne dataset; or a file .zip, .npz, .npy, .h5 or .pt.",
)
@click.option("--dataset", help="The images, as for `gfi submit`.")
@click.option("--method", metavar="NAME", help="What made the masks, such as captum-lrp.")
@click.option("--model", metavar="REF", help="A registered model, whose classes the labels are.")
@click.option(
    "--crop", is_flag=True, help="The masks show what the model sees, such as the centre crop (with --model)."
)
@click.option("--name", default="", help="A display name of the job.")
@click.option(
    "--resume", metavar="JOB", help="Go on with an import that was interrupted (with --masks alone)."
)
@json_option
def import_masks(
    masks: Path,
    dataset: str | None,
    method: str | None,
    model: str | None,
    crop: bool,
    name: str,
    resume: str | None,
    as_json: bool,
) -> None:
    """Import masks that were made elsewhere as a finished job.

    Gallery, report, box metrics, audit, comparison and export work on it; it says "imported, not verified". Nothing is
    run on the images. Docs: docs/imports.md.

    \b
    gfi import --masks maps/ --dataset /data/photographs --method captum-lrp
    gfi import --masks attributions.h5 --dataset list.csv --method zennit-epsilon --model birds --crop
    gfi import --masks maps/ --resume JOB
    """
    if resume is not None:
        if any((dataset, method, model, crop, name)):
            raise CommandError("--resume takes --masks alone: the rest is that of the job")
        imported = open_service().resume_import(resume, masks)
    elif dataset is None or method is None:
        raise CommandError("an import needs --dataset and --method; an interrupted one --resume JOB")
    else:
        options = {"masks": masks, "dataset": dataset, "method": method}
        imported = open_service().import_masks(options | {"model": model, "crop": crop, "name": name})
    if as_json:
        emit(imported)
        return
    click.echo(
        f"job {imported['job']}: {imported['with_mask']:,} of {imported['images']:,} images have a mask"
    )
