"""`gfi audit`, `gfi audits`: does a job's model look at the wrong thing, where, and how sure is that?"""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from gfi.audit.sequential import SequentialSettings
from gfi.audit.settings import FIRST_SAMPLE
from gfi.cli.errors import CommandError
from gfi.cli.follow import follow_task
from gfi.cli.open_service import open_service
from gfi.cli.printing import duration, emit, json_option, table, when
from gfi.cli.service import JSON, Service
from gfi.domain.states import AUDIT_OPEN, AuditState
from gfi.jobs.audits.words import GONE, GROUPS, coverage_sentence
from gfi.store.errors import Transient

EXIT_STATUS = {AuditState.SCREENED: 4, AuditState.FAILED: 5, AuditState.CANCELLED: 6}
"""The exit status of `--wait` for an audit that is not done, as for jobs; 4: screened, and not allowed to go on."""
POLL_S = 0.5
AWAY_S = 1.0
LINE_EVERY_S = 15.0


class _RunByDefault(click.Group):
    """Reads `gfi audit JOB` as `gfi audit run JOB`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_RunByDefault)
def audit() -> None:
    """Test what a job's model looks at.

    \b
    gfi audit JOB [--dry-run] [--class NAME] [--patch crop.png] [--training JOB2] [--wait]
    gfi audit --dataset SPEC --model REF --until-settled [--wait]
    gfi audit show AUDIT
    gfi audit verify AUDIT --sample 1%
    """


@audit.command()
@click.argument("job_id", required=False)
@click.option(
    "--until-settled",
    is_flag=True,
    help="Instead of JOB: explain a sample of a dataset, and more of it until every class is settled.",
)
@click.option("--dataset", metavar="SPEC", help="With --until-settled: the dataset.")
@click.option("--model", metavar="REF", help="With --until-settled: the model.")
@click.option("--preset", help="With --until-settled: the recipe of the masks.")
@click.option(
    "--first",
    type=click.IntRange(20, 10_000),
    help=f"With --until-settled: images of each class on which candidates are fixed.  [default: {FIRST_SAMPLE}]",
)
@click.option(
    "--margin",
    type=click.FloatRange(SequentialSettings.least_effect, 1, min_open=True),
    help="With --until-settled: a class without an effect of this size is settled.  "
    f"[default: {SequentialSettings.margin:.2f}]",
)
@click.option(
    "--after",
    metavar="AUDIT",
    help="With --until-settled: go on from an earlier audit of the same question, with its evidence.",
)
@click.option("--dry-run", is_flag=True, help="Screen only, and say what testing the candidates takes.")
@click.option("--class", "classes", multiple=True, metavar="NAME", help="Test candidates of this class only.")
@click.option(
    "--patch",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A picture of a mark: the hypothesis that it leads to the class named with --class.",
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0, 2**31 - 1), help="Of every draw."
)
@click.option(
    "--training",
    metavar="JOB",
    help="A job over the labelled images that the model was trained on: are the pixels of a shortcut in them?",
)
@click.option("--wait", is_flag=True, help="Follow the audit until it ends, and print its findings.")
@json_option
def run(
    job_id: str | None,
    until_settled: bool,
    dataset: str | None,
    model: str | None,
    preset: str | None,
    first: int | None,
    margin: float | None,
    after: str | None,
    dry_run: bool,
    classes: tuple[str, ...],
    patch: Path | None,
    seed: int,
    training: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Audit a job that has ended, or a dataset until settled.

    With --wait the exit status is 0 for an audit that is done, 4 for one that may not go on, 5 failed, 6 cancelled.
    """
    own = {"dataset": dataset, "model": model, "preset": preset}
    given = {name: value for name, value in own.items() if value is not None}
    if until_settled:
        if job_id is not None or dry_run or patch is not None or training is not None:
            raise CommandError(
                "--until-settled audits a dataset: without JOB, --dry-run, --patch and --training"
            )
        if dataset is None:
            raise CommandError("--until-settled needs --dataset SPEC; --model REF names the model")
        service = open_service()
        requested = service.audit_until_settled(
            given, classes=classes, seed=seed, first=first or FIRST_SAMPLE, margin=margin, after=after
        )
    else:
        sequential = {"first": first, "margin": margin, "after": after}
        alone = given | {name: value for name, value in sequential.items() if value is not None}
        if alone:
            raise CommandError(f"--{next(iter(alone))} goes with --until-settled")
        if job_id is None:
            raise CommandError("name a job, or --dataset SPEC --model REF --until-settled")
        service = open_service()
        requested = service.request_audit(
            job_id,
            dry_run=dry_run,
            classes=classes,
            patch=patch.read_bytes() if patch is not None else None,
            seed=seed,
            training=training,
        )
    made = requested["audit"]
    if not wait:
        if as_json:
            emit(requested)
        else:
            click.echo(f"audit {made['id']}" + ("" if requested["created"] else " (it is under way already)"))
        return
    ended = follow_audit(service, made["id"], quiet=as_json)
    emit(ended) if as_json else print_audit(ended)
    _exit_as(ended)


@audit.command()
@click.argument("audit_id")
@click.option("--wait", is_flag=True, help="Follow the audit until it ends.")
@click.option(
    "--pictures",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the pictures and crops of its findings into this folder.",
)
@json_option
def show(audit_id: str, wait: bool, pictures: Path | None, as_json: bool) -> None:
    """Show an audit with its findings."""
    service = open_service()
    shown = follow_audit(service, audit_id, quiet=as_json) if wait else service.audit(audit_id)
    if pictures is not None:
        click.echo(f"{_write_pictures(service, shown, pictures)} pictures in {pictures}", err=True)
    emit(shown) if as_json else print_audit(shown)
    if wait:
        _exit_as(shown)


def _write_pictures(service: Service, shown: JSON, folder: Path) -> int:
    """Writes FINDING-1.jpg … and FINDING-crop.png; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    for finding in shown["findings"]:
        record = finding["record"]
        names = [one["name"] for one in record.get("pictures") or ()]
        for name in [*names, record["crop"]] if record.get("crop") else names:
            data = service.finding_picture(shown["id"], finding["id"], name)
            (folder / f"{finding['id']}-{name}").write_bytes(data)
            number += 1
    return number


@audit.command()
@click.argument("audit_id")
@click.option("--wait", is_flag=True, help="Follow the audit until it ends, and print its findings.")
def confirm(audit_id: str, wait: bool) -> None:
    """Test the candidates of an audit that was only screened, failed or was cancelled."""
    service = open_service()
    audit_id = service.audit(audit_id)["id"]
    service.confirm_audit(audit_id)
    if not wait:
        click.echo(f"audit {audit_id} is confirming")
        return
    ended = follow_audit(service, audit_id)
    print_audit(ended)
    _exit_as(ended)


@audit.command()
@click.argument("audit_id")
def cancel(audit_id: str) -> None:
    """Cancel an audit that is not done."""
    service = open_service()
    audit_id = service.audit(audit_id)["id"]
    service.cancel_audit(audit_id)
    click.echo(f"audit {audit_id} is cancelled")


def _share(context: click.Context, parameter: click.Parameter, text: str) -> float:
    """`1%` or `0.01`."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise click.BadParameter(f"{text} is not a share such as 1% or 0.01")
    return share


@audit.command()
@click.argument("audit_id")
@click.option("--sample", "share", default="1%", show_default=True, callback=_share, help="1% or 0.01.")
@json_option
def verify(audit_id: str, share: float, as_json: bool) -> None:
    """Explain a sample of an audit's images again, and compare the masks bit by bit.

    The exit status is 0 if all are equal, 1 if not.
    """
    service = open_service()
    task_id = service.verify_audit(service.audit(audit_id)["id"], share)["id"]
    task = follow_task(service, task_id)
    result = task["result"]
    if as_json:
        emit(result)
    else:
        click.echo(verification_sentence(result))
    if result["different"]:
        sys.exit(1)


def verification_sentence(result: JSON) -> str:
    """What a verification found, in words.

    >>> verification_sentence({"sampled": 8, "equal": 8, "different": 0, "unusable": 0, "same_profile": True})
    '8 of 8 images were explained again; all 8 masks are equal in every bit'
    """
    again = result["equal"] + result["different"]
    text = f"{again} of {result['sampled']} images were explained again; "
    if not result["different"]:
        text += f"all {again} masks are equal in every bit"
    else:
        rows = ", ".join(map(str, result["rows"][:10]))
        text += (
            f"{result['different']} masks differ, by at most {result['largest_difference']:.2g} (rows {rows})"
        )
    if not result["same_profile"]:
        text += "; this worker has another execution profile than the job"
    if result["unusable"]:
        text += f"; {result['unusable']} photographs changed or cannot be read"
    return text


@audit.command()
@click.argument("audit_id")
@click.argument("finding_id")
def accept(audit_id: str, finding_id: str) -> None:
    """Accept a finding: a person agrees with it."""
    _decide(audit_id, finding_id, {"accepted": True})


@audit.command()
@click.argument("audit_id")
@click.argument("finding_id")
@click.option("--reason", required=True, help="Why it does not matter; it stays dismissed unless it grows.")
def dismiss(audit_id: str, finding_id: str, reason: str) -> None:
    """Set a finding aside, with a reason."""
    _decide(audit_id, finding_id, {"dismissed": reason})


@audit.command()
@click.argument("audit_id")
@click.argument("finding_id")
@click.argument("text")
def note(audit_id: str, finding_id: str, text: str) -> None:
    """Write a note on a finding."""
    _decide(audit_id, finding_id, {"note": text})


@audit.command()
@click.argument("audit_id")
@click.argument("finding_id")
@click.argument("name")
def assign(audit_id: str, finding_id: str, name: str) -> None:
    """Assign a finding to somebody."""
    _decide(audit_id, finding_id, {"assignee": name})


def _decide(audit_id: str, finding_id: str, changes: JSON) -> None:
    service = open_service()
    service.decide_finding(service.audit(audit_id)["id"], finding_id, changes)
    click.echo(f"finding {finding_id}: " + ", ".join(f"{name} {value}" for name, value in changes.items()))


@click.command()
@click.argument("job_id")
@json_option
def audits(job_id: str, as_json: bool) -> None:
    """List the audits of a job, newest first."""
    listed = open_service().audits(job_id)
    if as_json:
        emit(listed)
        return
    rows = [
        (one["id"], one["state"], _counts(one), when(one["created_at"]), one["owner"], one["reason"] or "")
        for one in listed
    ]
    columns = ("audit", "state", "findings", "requested", "owner", "reason")
    table("", columns, rows, f"no audit; gfi audit {job_id} makes one")


def _counts(one: JSON) -> str:
    verdicts = (one["summary"] or {}).get("verdicts", {})
    none = "none" if one["state"] == "done" else ""
    return ", ".join(f"{n} {verdict.replace('_', ' ')}" for verdict, n in verdicts.items()) or none


def follow_audit(
    service: Service, audit_id: str, quiet: bool = False, watch: Callable[[], None] = lambda: None
) -> JSON:
    """Wait until an audit has ended, with a line on stderr whenever its state changes. `watch`: called at each poll."""
    last, spoken = "", 0.0
    while True:
        watch()
        try:
            shown = service.audit(audit_id)
        except Transient:
            time.sleep(AWAY_S)
            continue
        line = _line(shown)
        if not quiet and (line.split(":")[0] != last or time.monotonic() - spoken > LINE_EVERY_S):
            last, spoken = line.split(":")[0], time.monotonic()
            click.echo(line, err=True)
        if shown["state"] not in AUDIT_OPEN:
            return shown
        time.sleep(POLL_S)


def _line(shown: JSON) -> str:
    progress, plan = shown["progress"] or {}, shown["plan"]
    if shown["state"] == AuditState.EXPLAINING:
        return settling_sentence(plan)
    counted = f": {progress['done']:,} of {progress['total']:,}" if progress.get("total") else ""
    if shown["state"] == AuditState.CONFIRMING:
        counted = counted + " candidates" if counted else f": {plan['candidates']} candidates" if plan else ""
    return f"{shown['state']}{counted}"


def print_audit(shown: JSON) -> None:
    """Print an audit: what it found by verdict, what it could not say, and what was tested."""
    click.echo(f"audit {shown['id']} of job {shown['job_id']}: {shown['state']}")
    if shown["state"] == AuditState.FAILED and shown["reason"]:
        click.echo(f"  {shown['reason']}")
    plan, summary = shown["plan"], shown["summary"]
    if shown["state"] == AuditState.EXPLAINING:
        click.echo(f"  {settling_sentence(plan)}")
    elif plan is not None and summary is None:
        click.echo("  " + plan_sentence(plan))
        if plan.get("refused"):
            click.echo(f"  not tested: {plan['refused']}")
        click.echo(f"  gfi audit confirm {shown['id']} tests them")
    if summary is None:
        return
    compared = bool(summary.get("previous"))
    current = [finding for finding in shown["findings"] if finding["history"] != "gone"]
    for verdicts, heading, _ in GROUPS:
        listed = [finding for finding in current if finding["verdict"] in verdicts]
        if listed:
            click.echo(f"\n{heading}")
            for finding in listed:
                click.echo(f"  {finding['id']}  {_marks(finding, compared)}{finding['sentence']}")
                for name, text in _more(finding["record"]):
                    click.echo(f"      {name:8}{text}")
    gone = [finding for finding in shown["findings"] if finding["history"] == "gone"]
    if gone:
        click.echo(f"\n{GONE[0]}")
        for finding in gone:
            click.echo(f"  {finding['id']}  {finding['class_name']}: {finding['kind']}")
    click.echo("")
    for sentence in summary["notes"]:
        click.echo(sentence)
    if summary["limits"]:
        click.echo("\nWhat would have been found in classes without a confirmed shortcut")
        for one in summary["limits"]:
            click.echo(f"  {one['sentence']}")
    if (settled := summary.get("settled")) and settled["nothing"]:
        click.echo(f"\nNothing there: {settled['excluded']}")
        for one in settled["nothing"]:
            click.echo(f"  {one['sentence']}")
    click.echo(f"\n{coverage_sentence(summary)}")


def settling_sentence(plan: JSON | None) -> str:
    """What an audit until settled waits for, in words.

    >>> at = {"instalment": 2, "images": 700, "listed": 2000, "classes": 3, "settled": 1}
    >>> settling_sentence({"candidates": 4, "settling": at})
    'explaining instalment 2: 700 of 2,000 images; 1 of 3 classes settled'
    >>> settling_sentence({"settling": at | {"device_s": 90.0}})
    'explaining instalment 2: 700 of 2,000 images; 1 of 3 classes settled; 1 min 30 s on a device'
    """
    at = (plan or {}).get("settling")
    if at is None:
        return "explaining the first sample"
    return (
        f"explaining instalment {at['instalment']}: {at['images']:,} of {at['listed']:,} images; {at['settled']} of "
        f"{at['classes']} classes settled"
        + (f"; {duration(at['device_s'])} on a device" if at.get("device_s") else "")
    )


def plan_sentence(plan: JSON) -> str:
    """What testing takes, in words.

    >>> plan_sentence({"candidates": 2, "answers": 2976, "estimate_s": None})
    'testing 2 candidates takes at most 2,976 answers of the network, about ?'
    """
    return (
        f"testing {plan['candidates']} candidates takes at most {plan['answers']:,} answers of the network, about "
        f"{duration(plan['estimate_s'])}"
    )


def _more(record: JSON) -> Iterator[tuple[str, str]]:
    """What is printed below the sentence of a finding."""
    if record.get("before"):
        yield "before", record["before"]
    for one in record.get("goes_with") or ():
        yield "cluster", f"its images {one['words']} (q {one['q']:.2g})"
    if record.get("rows") and record.get("view"):
        yield "images", record["view"]
    if record.get("command"):
        yield "again", record["command"]


def _marks(finding: JSON, compared: bool) -> str:
    words = [finding["history"]] if compared else []
    if finding["accepted"]:
        words.append("accepted")
    if finding["dismissed"]:
        words.append(f"dismissed: {finding['dismissed']}")
    if finding["assignee"]:
        words.append(f"for {finding['assignee']}")
    return f"[{', '.join(words)}] " if words else ""


def _exit_as(shown: JSON) -> None:
    state = AuditState(shown["state"])
    if state is AuditState.SCREENED and not (shown["plan"] or {}).get("refused"):
        return
    if state in EXIT_STATUS:
        why = shown["reason"] or (shown["plan"] or {}).get("refused") or ""
        click.echo(f"gfi: audit {shown['id']}: {state}" + (f": {why}" if why else ""), err=True)
        sys.exit(EXIT_STATUS[state])
