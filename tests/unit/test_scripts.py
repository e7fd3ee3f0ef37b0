"""The dashboard's scripts: what one imports, the other exports, and it is used."""

import re
from pathlib import Path

import pytest

import gfi

STATIC = Path(gfi.__file__).parent / "web" / "static"
SCRIPTS = {file.name: file.read_text(encoding="utf-8") for file in sorted(STATIC.glob("*.js"))}
_IMPORT = re.compile(r'^import \{([^}]*)\} from "/static/([\w-]+\.js)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?:async )?(?:const|let|function|class) ([\w$]+)", re.MULTILINE)


def imported(text: str) -> list[tuple[str, str, str]]:
    """(Script, name there, name here) of each import."""
    names = [(script, name.strip()) for given, script in _IMPORT.findall(text) for name in given.split(",")]
    return [(script, name.split(" as ")[0], name.split(" as ")[-1]) for script, name in names]


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_import_exists_and_is_used(script: str) -> None:
    text = SCRIPTS[script]
    assert len(_IMPORT.findall(text)) == sum(line.startswith("import ") for line in text.splitlines())
    rest = _IMPORT.sub("", text)
    for other, there, here in imported(text):
        assert there in _EXPORT.findall(SCRIPTS[other]), f"{other} exports no {there}"
        use = rf"(?<![\w$])(?:(?<=\.\.\.)|(?<!\.)){re.escape(here)}(?![\w$])"  # no field, but perhaps spread
        assert re.search(use, rest), f"{here} of {other} is not used"
