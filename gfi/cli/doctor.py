"""`gfi doctor`: what is wrong here, and the next command to type."""

import click

from gfi.cli.printing import emit


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Check what gfi needs here, one line each; exits 1 when something is wrong."""
    from gfi.cli.examine import examine

    findings = examine()
    if as_json:
        emit([finding.__dict__ for finding in findings])
    else:
        for finding in findings:
            mark = click.style("ok  ", fg="green") if finding.ok else click.style("BAD ", fg="red")
            click.echo(f"{mark}{finding.what:<10} {finding.says}")
    if not all(finding.ok for finding in findings):
        raise SystemExit(1)
