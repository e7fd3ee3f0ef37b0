"""`gfi doctor`: finds problems of this machine and says what to do."""

import click

from gfi.cli.printing import emit, json_option


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check what gfi needs on this machine.

    Prints one line per check, and exits with 1 when one of them fails.
    """
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
