"""`gfi gate`: the file with the limits of a comparison."""

from pathlib import Path

import click

from gfi.cli.errors import CommandError
from gfi.cli.open_service import open_service


@click.group()
def gate() -> None:
    """Write the file of limits for `gfi compare --gate`."""


@gate.command("init")
@click.argument("job_a")
@click.argument("job_b")
@click.option(
    "-o",
    "--output",
    default="gate.toml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The file.",
)
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
def init(job_a: str, job_b: str, output: Path, force: bool) -> None:
    """Write a commented gate file, made from two jobs."""
    if output.exists() and not force:
        raise CommandError(f"{output} exists; --force overwrites it, -o names another file")
    output.write_text(open_service().gate_file(job_a, job_b))
    click.echo(
        f"{output}: name training runs in [floor] jobs, then gfi compare {job_a} {job_b} --gate {output}"
    )
