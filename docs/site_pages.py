"""Pages of the documentation site that are made from what they describe; a hook of MkDocs (`mkdocs.yml`).

The commands come from the `gfi` command itself, the operations from the OpenAPI document, the settings from the classes
that read them, the first page from the README. `commands()`, `operations()` and `configuration()` return Markdown.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def _cell(text: str) -> str:
    """One line that fits into a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def commands() -> str:
    """Every command with its options and what it says about itself."""
    from gfi.cli.main import gfi

    lines = ["# Commands", "", "`gfi COMMAND --help` prints the same.", ""]
    context = click.Context(gfi, info_name="gfi")
    for name in gfi.list_commands(context):
        command = gfi.get_command(context, name)
        if command is not None:
            lines += _command(command, f"gfi {name}", 2)
    return "\n".join(lines)


def _command(command: click.Command, path: str, level: int) -> list[str]:
    context = click.Context(command, info_name=path)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"{'#' * level} `{path}`", "", "```text", f"{path} {usage}", "```", ""]
    told = inspect.cleandoc(command.help or "").replace("\b", "").replace("\f", "")
    lines += [told, ""]
    rows = [record for one in command.params if (record := one.get_help_record(context))]
    if rows:
        lines += ["| option | meaning |", "|---|---|"]
        lines += [f"| `{_cell(option)}` | {_cell(meaning)} |" for option, meaning in rows]
        lines += [""]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None and not inner.hidden:
                lines += _command(inner, f"{path} {name}", level + 1)
    return lines


def operations() -> str:
    """Every operation of the HTTP API: method, path, what it does."""
    from gfi.api import create_app

    document = create_app().openapi()
    lines = ["# Operations of the API", "", "The whole document is at `/v1/openapi.json`.", ""]
    by_tag: dict[str, list[tuple[str, str, str]]] = {}
    for path, methods in document["paths"].items():
        for method, about in methods.items():
            said = about.get("description") or about.get("summary") or ""
            tag = (about.get("tags") or ["service"])[0]
            by_tag.setdefault(tag, []).append((method.upper(), path, said.split("\n\n")[0]))
    for tag, rows in by_tag.items():
        lines += [f"## {tag.capitalize()}", "", "| operation | |", "|---|---|"]
        lines += [f"| `{method} {path}` | {_cell(said)} |" for method, path, said in rows]
        lines += [""]
    return "\n".join(lines)


def _documented(module: ModuleType, name: str) -> Iterator[tuple[str, str]]:
    """The fields of a class in the order of its source, each with the string below it."""
    tree = ast.parse(Path(str(module.__file__)).read_text())
    (owner,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    for at, node in enumerate(owner.body):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        after = owner.body[at + 1] if at + 1 < len(owner.body) else None
        said = ""
        if (
            isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            said = textwrap.dedent(after.value.value)
        yield node.target.id, said


def configuration() -> str:
    """Every variable that an installation reads: its default and its meaning."""
    from gfi.api import config
    from gfi.jobs import notify_addresses
    from gfi.store import settings

    lines = ["# Configuration", "", _documentation(settings), ""]
    for module, name, title in (
        (settings, "Settings", "Every process"),
        (config, "ApiSettings", "The API"),
        (notify_addresses, "NotifySettings", "Webhooks and e-mails: the API and `gfi up`"),
    ):
        owner: Any = getattr(module, name)
        lines += [f"## {title}", "", "| variable | default | meaning |", "|---|---|---|"]
        for field, said in _documented(module, name):
            about = owner.model_fields.get(field)
            if about is None:
                continue
            variable = owner.variables()[field]
            default = "" if about.default is None else f"`{about.default}`" if about.default != () else ""
            lines.append(f"| `{variable}` | {_cell(default)} | {_cell(said)} |")
        lines += [""]
    return "\n".join(lines)


def _documentation(module: ModuleType) -> str:
    """A module's docstring without its first line."""
    return inspect.cleandoc(module.__doc__ or "").partition("\n\n")[2]


def decisions() -> str:
    """The list of the decision records."""
    lines = ["# Decisions", ""]
    for path in sorted((ROOT / "docs" / "decisions").glob("0*.md")):
        title = path.read_text().partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines)


def from_root(name: str) -> str:
    """A page of the repository's root, with its links as seen from `docs/`."""

    def seen(match: re.Match[str]) -> str:
        image, text, target, anchor = match.groups(default="")
        if "://" not in target:
            target = target.removeprefix("docs/") if target.startswith("docs/") else f"../{target}"
        return f"{image}[{text}]({target}{anchor})"

    return _LINK.sub(seen, (ROOT / name).read_text())


GENERATED = {
    "index.md": lambda: from_root("README.md"),
    "contributing.md": lambda: from_root("CONTRIBUTING.md"),
    "changelog.md": lambda: from_root("CHANGELOG.md"),
    "decisions/index.md": decisions,
    "reference/commands.md": commands,
    "reference/operations.md": operations,
    "reference/configuration.md": configuration,
}
"""Pages of the site that are no file of `docs/`, and what makes each."""
_MOVED = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Adds the generated pages."""
    from mkdocs.structure.files import File

    for name, make in GENERATED.items():
        files.append(File.generated(config, name, content=make()))
    return files


def on_page_markdown(markdown: str, page: "Page", config: "MkDocsConfig", files: "Files") -> str:
    """Replaces links to folders and to files outside the site by the path in the repository."""
    folder = (ROOT / "docs" / page.file.src_uri).parent

    def seen(match: re.Match[str]) -> str:
        image, text, target, anchor = match.groups(default="")
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        path = Path(folder, target).resolve()
        if path.parent == ROOT and path.name in _MOVED:
            up = "../" * page.file.src_uri.count("/")
            return f"[{text}]({up}{_MOVED[path.name]}{anchor})"
        if path == ROOT / "docs" / "decisions":
            return f"[{text}]({target.rstrip('/')}/index.md)"
        if path.is_relative_to(ROOT / "docs") and not path.is_dir():
            return match[0]
        return image + text if image else f"{text} (`{path.relative_to(ROOT)}`)"

    return _LINK.sub(seen, markdown)
