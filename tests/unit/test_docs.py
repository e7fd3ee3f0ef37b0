"""The pages of the documentation: links that lead somewhere, decisions and migrations with numbers of their own."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from gfi.cli.main import gfi
from gfi.method import model_files

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), ROOT / "llms.txt", *(ROOT / "docs").rglob("*.md")]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("text", [(ROOT / "docs" / "models.md").read_text(), model_files.__doc__])
def test_every_field_of_a_model_file_is_documented(text: str) -> None:
    start = text.index('architecture = "torchvision:resnet18"')
    example = tomllib.loads(text[start : text.index("1.bn1:relu", start)] + '"')
    written = {section: set(example[section] if section else example) for section in model_files.FIELDS}
    assert written == {section: set(fields) for section, fields in model_files.FIELDS.items()}


@pytest.mark.parametrize(("folder", "suffix"), [("docs/decisions", ".md"), ("migrations/versions", ".py")])
def test_every_decision_and_every_migration_has_a_number_of_its_own(folder: str, suffix: str) -> None:
    numbers = Counter(path.name[:4] for path in (ROOT / folder).glob(f"0*{suffix}"))
    assert numbers
    assert max(numbers.values()) == 1, numbers.most_common(3)


def test_the_heading_of_a_decision_has_the_number_of_its_file() -> None:
    for path in (ROOT / "docs" / "decisions").glob("0*.md"):
        assert path.read_text().startswith(f"# {int(path.name[:4])}. "), path.name


FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def command_lines(text: str) -> Iterator[list[str]]:
    """The words of every `gfi` command in the fenced blocks of a page, without `gfi`."""
    for language, block in FENCE.findall(text):
        if language not in ("", "console", "sh", "yaml"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"\s*(?:- run: |- )?(?:[A-Z_]+=\S* )*gfi (.*)", line)
            if found:
                # What follows two spaces or a line of a drawing is said about the command.
                words = shlex.split(re.split("  | ─", found[1])[0].replace("…", ""), comments=True)
                ends = [at for at, word in enumerate(words) if word in ("|", ">", "&&", "||", ";", "&")]
                yield words[: ends[0]] if ends else words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_of_a_page_exists_with_its_options(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Values are placeholders, such as JOB: only the names of commands and options and the number of arguments count.
    monkeypatch.setattr(
        click.Parameter, "handle_parse_result", lambda self, context, given, rest: (None, rest)
    )
    for words in command_lines(page.read_text()):
        command, context, rest = gfi, click.Context(gfi, info_name="gfi"), words
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            inner = command.get_command(context, rest[0])
            if inner is None:
                break
            command, rest = inner, rest[1:]
            context = click.Context(command, info_name=command.name, parent=context)
        assert command is not gfi or words[:1] in (["--version"], ["--help"]), f"gfi {' '.join(words)}"
        try:
            command.parse_args(context, list(rest))
        except click.exceptions.NoArgsIsHelpError:
            pass
        except click.UsageError as error:
            pytest.fail(f"gfi {' '.join(words)}: {error.format_message()}")


BLOCK = re.compile(r"(?:^ *<!-- (.*) -->\n)?^ *```(\w*)\n(?:.*\n)*?^ *```$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_of_commands_is_run_or_says_why_not(page: Path) -> None:
    """Above each: `<!-- run -->` (by the test of documented commands in tests/service/cli), `<!-- run by FILE -->`, or
    `<!-- not run: REASON -->`. Blocks that are no commands have the language `text`."""
    for block in BLOCK.finditer(page.read_text()):
        mark, language = block[1] or "", block[2]
        if language in ("text", "toml", "mermaid", "json"):
            continue
        assert mark == "run" or mark.startswith(("run by ", "not run: ")), block[0]
        for named in re.findall(r"tests/[\w/.]+", mark):
            assert (ROOT / named).exists(), mark


@pytest.fixture(scope="module")
def site_pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_pages", ROOT / "docs" / "site_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_setting_and_every_command_is_in_the_reference_with_its_meaning(site_pages: ModuleType) -> None:
    rows = [row for row in site_pages.configuration().splitlines() if row.startswith("| `GFI_")]
    assert "| `GFI_LEASE_S` | `90.0` | How long a worker keeps a shard without renewing its lease. |" in rows
    commands = site_pages.commands()
    for name in gfi.list_commands(click.Context(gfi)):
        assert f"## `gfi {name}`" in commands
    assert "| `POST /v1/jobs` |" in site_pages.operations()


def test_the_site_is_built_without_a_warning_or_a_dead_link(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for page in ("index", "tutorial", "reference/commands", "reference/operations", "decisions/index"):
        assert (tmp_path / f"{page}.html").is_file()
