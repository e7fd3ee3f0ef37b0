"""The pages of the documentation: links that lead somewhere, decisions and migrations with numbers of their own."""

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from gfi.method import model_files

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
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
