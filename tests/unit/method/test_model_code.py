"""The code of a factory: read once, executed as read, with what lies beside it, and fresh at every load."""

import importlib
import sys
from pathlib import Path

import pytest

from gfi.domain.errors import MethodError
from gfi.method.model_code import load_code


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder / "net.py"


@pytest.mark.parametrize(
    "statement",
    [
        "from blocks import VALUE",
        "from .blocks import VALUE",
        "import blocks; VALUE = blocks.VALUE",
        "from . import blocks as b; VALUE = b.VALUE",
        "from kinds.deep import VALUE",
        "import kinds.deep; VALUE = kinds.deep.VALUE",
        "import kinds.deep as d; VALUE = d.VALUE",
        "from kinds import deep; VALUE = deep.VALUE",
        "import importlib; VALUE = importlib.import_module('.blocks', __package__).VALUE",
    ],
)
def test_what_lies_beside_the_factory_is_found_hashed_and_fresh_at_every_load(
    tmp_path: Path, statement: str
) -> None:
    file = write(tmp_path, net=statement, blocks="VALUE = 1", kinds__deep="from blocks import VALUE")
    code, module = load_code(file)
    assert module.VALUE == 1
    assert "blocks.py" in code.digests()
    (tmp_path / "blocks.py").write_text(
        "VALUE = 2"
    )  # as long and perhaps as old as before: a .pyc would not notice
    changed, again = load_code(file)
    assert (module.VALUE, again.VALUE) == (1, 2)
    assert code.digests() != changed.digests()
    assert not list(tmp_path.rglob("*.pyc"))


def test_an_import_within_a_function_is_read_with_the_rest(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        net="def late():\n    import blocks\n    return blocks.VALUE\ndef unseen():\n    return __import__('other')",
        blocks="VALUE = 1",
        other="",
    )
    code, module = load_code(file)
    code.seal()
    (tmp_path / "blocks.py").write_text("VALUE = 2")
    assert module.late() == 1
    assert set(code.digests()) == {"net.py", "blocks.py"}
    with pytest.raises(ModuleNotFoundError):  # it was not hashed, so it is not executed
        module.unseen()


def test_a_file_called_like_a_library_does_not_replace_it(tmp_path: Path) -> None:
    file = write(tmp_path, net="import random, numpy\nV = random.random, numpy.pi", random="", numpy="")
    assert load_code(file)[1].V[1] == pytest.approx(3.14159, abs=1e-4)
    itself = tmp_path / "json5.py"
    itself.write_text("try:\n    import json5\n    V = 'itself'\nexcept ImportError:\n    V = 'the library'")
    assert load_code(itself)[1].V == "the library"


def test_two_models_have_modules_of_the_same_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, net="from blocks import VALUE", blocks=f"VALUE = '{name}'")
    assert [load_code(tmp_path / name / "net.py")[1].VALUE for name in ("a", "b")] == ["a", "b"]
    assert "blocks" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("blocks")


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("VALUE = 1")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "blocks.py").symlink_to(tmp_path / "outside.py")
    with pytest.raises(MethodError, match=r"net\.py fails: No module named 'blocks'"):
        load_code(write(tmp_path / "models", net="import blocks"))


def test_code_that_fails_is_one_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    before = set(sys.modules)
    for text in ("def build(:", "import blocks\nraise RuntimeError('no weights')"):
        with pytest.raises(MethodError, match=r"net\.py fails: (invalid syntax|no weights)"):
            load_code(write(tmp_path, net=text, blocks=""))
    assert not {name for name in set(sys.modules) - before if name.startswith("gfi_model_code")}


def test_dataclasses_and_source_texts_work_as_in_any_module(tmp_path: Path) -> None:
    text = (
        "from __future__ import annotations\nimport dataclasses, inspect\n"
        "@dataclasses.dataclass\nclass A:\n    x: int = 3\nTEXT = inspect.getsource(A)\nHERE = __file__\n"
    )
    _, module = load_code(write(tmp_path, net=text))
    assert module.A().x == 3
    assert "x: int = 3" in module.TEXT
    assert str(tmp_path / "net.py") == module.HERE
