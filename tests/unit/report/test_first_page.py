"""The first page says what was asked and what was found, and loads nothing from elsewhere."""

import re
from pathlib import Path

import pytest

from gfi.report.first_page import AuditPage, FindingGroup, FirstPage, Limit, Picture, ToldFinding, written
from gfi.report.page import write_page
from gfi.report.summary import summarise

ID = "0123456789ab"
HOSTILE = "<script>alert(1)</script>\"' onerror=alert(1)"


def page_of(*pictures: Picture, name: str = "moon", command: str = "gfi audit JOB") -> FirstPage:
    finding = ToldFinding(
        *(name, "top left", f"A shortcut: {name} relies on the top left."),
        *(("grown",), (f"Note: {name}",), pictures, (f"{name}.png",), command),
    )
    groups = (FindingGroup("Shortcuts, confirmed", "The same pixels repeat.", (finding,)),)
    limits = (Limit(name, 50, "30 %"),)
    audit = AuditPage(
        "1 shortcut confirmed", (("Audit", "A"),), ("A note.",), groups, limits, "Would.", "2 tested."
    )
    return FirstPage("Which part leads there?", audit, others=("Audit B: failed.",))


def text_of(folder: Path, first: FirstPage) -> str:
    return write_page(folder, "T", {}, summarise([]), [], None, first).read_text("utf-8")


def test_question_sentences_pictures_limits_and_tests_are_on_it(tmp_path: Path) -> None:
    text = text_of(
        tmp_path, page_of(Picture(f"{ID}-1.jpg", "one.png", b"jpeg"), Picture(f"{ID}-2.jpg", "lost"))
    )
    for said in (
        *(
            "Which part leads there?",
            "1 shortcut confirmed",
            "relies on the top left",
            ">grown<",
            "Note: moon",
        ),
        *("moon.png", "gfi audit JOB", "30 %", "of 50 images", "2 tested.", "A note.", "Audit B: failed."),
    ):
        assert said in text
    assert f'src="images/audit-{ID}-1.jpg"' in text
    assert f"{ID}-2.jpg" not in text
    assert (tmp_path / "images" / f"audit-{ID}-1.jpg").read_bytes() == b"jpeg"
    assert not re.search(r"(src|href)=.?(https?:)?//", text)
    text_of(tmp_path, page_of())  # a later report without the picture
    assert not list((tmp_path / "images").iterdir())


def test_without_an_audit_it_says_so_and_how_to_run_one(tmp_path: Path) -> None:
    text = text_of(tmp_path, FirstPage("Which?", None, "No audit was run.", "gfi audit JOB"))
    assert "No audit was run. <code>gfi audit JOB</code> tests it." in text


def test_a_finding_without_a_command_has_no_empty_one(tmp_path: Path) -> None:
    assert "how to repeat the test" in text_of(tmp_path, page_of())
    text = text_of(tmp_path, page_of(command=""))
    assert "<code></code>" not in text
    assert "how to repeat" not in text


def test_names_are_text(tmp_path: Path) -> None:
    assert "<script>alert" not in text_of(tmp_path, page_of(name=HOSTILE))


def test_a_picture_is_not_written_outside_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the name of a finding's picture"):
        written(page_of(Picture("../../x.jpg", "", b"")), tmp_path, set())
