"""`gfi models`: registered models."""

import click

from gfi.cli.open_service import open_service
from gfi.cli.printing import emit, json_option, table


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
            model["digest"][:12],
            "×".join(map(str, model["input_size"])),
            model["classes"],
            f"{model['parameters'] / 1e6:.1f} M",
        )
        for model in registered
    ]
    columns = ("model", "digest", "input", "classes", "parameters")
    table("", columns, rows, "no model yet: gfi models add efficientnet-lite0")


@models.command("add")
@click.argument("reference")
@click.option("--here", is_flag=True, help="Load it in this process even if a worker is running.")
def add_model(reference: str, here: bool) -> None:
    """Register a model by its REFERENCE, or a model file NAME.toml, which is copied into the models folder.

    The network is loaded once, by a worker, or in this process if no worker runs. Its layers, digest, input size and
    class names are stored, so that the API and the scheduler need no torch.
    """
    record = open_service().add_model(reference, here=here)
    click.echo(f"{record['reference']}: {record['classes']} classes, digest {record['digest'][:12]}")


@models.command("known")
def known_models() -> None:
    """List the references that can be loaded on this machine."""
    from gfi.method.classifiers import available_models
    from gfi.store.settings import Settings

    for reference in available_models(Settings.load().models):
        click.echo(reference)
