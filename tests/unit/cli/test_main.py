"""The command line as a whole: its help and what it imports."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from gfi.cli.main import COMMANDS, gfi


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_of_itself_what_the_list_of_commands_says(name: str) -> None:
    command = gfi.get_command(click.Context(gfi), name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(200) == COMMANDS[name].help


def test_the_help_lists_every_command() -> None:
    shown = CliRunner().invoke(gfi, ["--help"]).output
    assert all(f"\n  {name} " in shown for name in COMMANDS)


def imported(*arguments: str) -> set[str]:
    """The modules that a process has imported when `gfi ARGUMENTS` ends."""
    program = (
        "import sys; from gfi.cli.main import gfi; gfi.main(sys.argv[1:], standalone_mode=False);"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_the_help_imports_no_command() -> None:
    modules = imported("--help")
    assert {name for name in modules if name.startswith("gfi.")} == {"gfi.cli", "gfi.cli.main"}


def test_the_list_of_jobs_imports_nothing_that_only_other_commands_need() -> None:
    modules = imported("jobs", "--help")
    assert not modules & {"torch", "numpy", "boto3", "celery", "PIL", "pyarrow", "fastapi", "gfi.domain.job"}


def test_a_list_of_jobs_loads_few_libraries() -> None:
    """The command's start: modules are counted, because times differ between machines."""
    code = """
import sys
from gfi.cli import jobs
from gfi.cli.local_service import LocalService
from gfi.store import queries, settings
print(len(sys.modules), *sorted({name.partition(".")[0] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, *loaded = done.stdout.split()
    unneeded = {
        "torch",
        "numpy",
        "boto3",
        "botocore",
        "pyarrow",
        "fastapi",
        "celery",
        "rich",
        "PIL",
        "dotenv",
    }
    assert not unneeded & set(loaded)
    assert int(count) < 500
