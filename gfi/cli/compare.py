"""`gfi compare`: two finished jobs."""

import sys
from pathlib import Path

import click

from gfi.cli.follow import follow_task
from gfi.cli.open_service import open_service
from gfi.cli.printing import emit, json_option
from gfi.cli.reading import read_text
from gfi.cli.service import JSON


class _ManyFloors(click.Command):
    """Reads `--floor JOB JOB …` as `--floor JOB --floor JOB`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        expanded: list[str] = []
        within = False
        for word in args:
            if word == "--floor":
                within = True
            elif word.startswith("-"):
                within = False
                expanded.append(word)
            else:
                expanded += ["--floor", word] if within else [word]
        return super().parse_args(ctx, expanded)


@click.command(cls=_ManyFloors)
@click.argument("job_a")
@click.argument("job_b")
@click.option(
    "--floor",
    "floor_jobs",
    multiple=True,
    metavar="JOB [JOB …]",
    help="Other training runs of JOB_A's recipe: how far masks move when nothing has changed.",
)
@click.option(
    "--gate",
    "gate_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Judge by this file: exit status 0 pass, 10 fail, 11 undecided. `gfi gate init` writes one.",
)
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write the gate as JUnit XML.")
@click.option(
    "--look",
    type=click.IntRange(1),
    help="The number of this comparison in the year, for a gate with [nightly]. Default: its own, or the next.",
)
@click.option(
    "--unpaired", is_flag=True, help="Compare the masks of each class between jobs over different images."
)
@click.option(
    "--transfer",
    is_flag=True,
    help="Also show JOB_B's model the masks of JOB_A, and the floor's models each other's; a worker does it.",
)
@click.option(
    "--images",
    default=200,
    show_default=True,
    type=click.IntRange(1, 5000),
    help="The sample of --transfer.",
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0, 2**31 - 1), help="Of that sample."
)
@json_option
def compare(
    job_a: str,
    job_b: str,
    floor_jobs: tuple[str, ...],
    gate_path: Path | None,
    junit: Path | None,
    look: int | None,
    unpaired: bool,
    transfer: bool,
    images: int,
    seed: int,
    as_json: bool,
) -> None:
    """Compare JOB_B with JOB_A: which masks moved, and whether that is more than noise.

    Both jobs explain the same images. --floor names jobs of other training runs, which show how far masks move by
    chance.
    """
    if junit is not None and gate_path is None:
        raise click.UsageError("--junit goes with --gate")
    if look is not None and gate_path is None:
        raise click.UsageError("--look goes with --gate")
    if unpaired and (floor_jobs or gate_path is not None or transfer):
        raise click.UsageError("--unpaired goes with neither --floor nor --gate nor --transfer")
    service = open_service()
    if unpaired:
        answer = service.compare_unpaired(job_a, job_b)
        emit(answer) if as_json else click.echo(answer["sentence"])
        return
    gate = read_text(gate_path) if gate_path is not None else None
    answer = service.compare(
        job_a, job_b, floor_jobs=floor_jobs, gate=gate, gate_name=str(gate_path or ""), look=look
    )
    if transfer:
        # With the jobs that the comparison took as its floor, where the gate file names them.
        asked = service.request_transfer(
            answer["a"], answer["b"], floor_jobs=answer["floor_jobs"], images=images, seed=seed
        )
        answer["transfer"] = follow_task(service, asked)["result"]
        answer["sentences"] += answer["transfer"]["sentences"]
    if junit is not None:
        junit.write_text(answer["junit"])
    if as_json:
        emit({name: value for name, value in answer.items() if name != "junit"})
    else:
        for sentence in answer["sentences"]:
            click.echo(sentence)
        if answer["gate"] is not None:
            _print_gate(answer["gate"], answer["sentences"])
    if answer["gate"] is not None:
        sys.exit(answer["gate"]["exit_code"])


def _print_gate(gate: JSON, printed: list[str]) -> None:
    click.echo("")
    for check in gate["checks"]:
        word = "waived" if check["waived"] else check["verdict"]
        waiver = f" ({check['waiver']})" if check["waiver"] else ""
        click.echo(f"{word:>9}  {check['sentence']}{waiver}")
    for note in gate["notes"]:
        if note not in printed:
            click.echo(f"     note  {note}")
    click.echo(f"gate: {gate['verdict']}")
