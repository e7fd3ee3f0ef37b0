"""A tiny twin of `make bench-audit`, and what its rows and summary are computed from."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import audit, audit_page, audit_scale, planted
from benchmarks.audit_scenarios import SCENARIOS, TARGET
from benchmarks.planted import CLASSES, SIZE, Plant
from gfi.audit.settings import AuditSettings
from gfi.audit.verdicts import SHORTCUTS, Verdict


class MarkReader(torch.nn.Module):
    """Says class 3 where the glyph is, anywhere; otherwise the brightness of the middle says one of the others.

    One convolution with the glyph as its filter, so that Grad-CAM has a map to weigh.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        glyph = torch.from_numpy(planted.glyph(seed)).permute(2, 0, 1).float()
        glyph = glyph - glyph.mean()
        self.mark = torch.nn.Conv2d(3, 1, planted.MARK, padding=planted.MARK // 2)
        self.mark.weight.data[0] = glyph / (glyph**2).sum() / 4
        self.mark.bias.data.fill_(-0.6)  # type: ignore[union-attr]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = torch.relu(self.mark(x)).amax((1, 2, 3))
        shade = x[:, :, 20:44, 20:44].mean((1, 2, 3))
        centres = torch.linspace(-0.6, 0.6, len(CLASSES))
        logits = -20 * (shade[:, None] - centres) ** 2
        logits[:, TARGET] += 40 * found
        return logits


def run(share: float) -> tuple[audit.Audited, planted.Images]:
    images = planted.draw_images(0, 24, Plant("corner", TARGET, share), 1)
    net = MarkReader(0).eval()
    classes = images.labels
    marked = images.marked
    grids = np.full((len(classes), 16, 16), 0.01, np.float32)
    for i, (left, top, right, bottom) in enumerate(images.boxes):
        grids[i, int((top + bottom) / 8), int((left + right) / 8)] = 1
    grids[marked, 2, 2] = 1.1
    halves = audit.in_screening_half([f"{i}" for i in range(len(classes))], "0")
    data = audit.Explained(classes, grids, halves)
    settings = AuditSettings(
        seed=0, most_images=8, candidates_per_class=1, fewest_images=8, most_candidates=6
    )
    return audit.audited(net, images, data, settings), images


def test_the_planted_mark_is_first_and_its_row_says_so() -> None:
    a, images = run(1.0)
    scenario = SCENARIOS[1]
    row = audit.row(scenario, 0, False, a, {})
    assert row["first"]
    assert row["kind"] == Verdict.REPEATED_MARK
    assert row["false_shortcuts"] == 0
    assert row["marks_found"] == 1
    assert max(range(len(CLASSES)), key=lambda k: row["scores"][k]) == TARGET
    assert audit.on_mark(a.tested[0], images)
    json.dumps(row)


def test_a_mark_that_is_not_in_the_training_images_is_no_shortcut_in_its_row() -> None:
    a, _ = run(1.0)
    settings = AuditSettings(training_share=0.1)
    for name, share, is_one in (("afterwards", 0.5, False), ("corner", 0.3, True)):
        scenario = next(s for s in SCENARIOS if (s.name, s.share) == (name, share))
        assert scenario.training
        searched, (found,) = audit.with_training_images(scenario, 0, a, settings, per_class=40)
        assert (found["found"], found["images"], found["without"]) == (found["marked"], 40, 0)
        assert found["marked"] == (12 if is_one else 0)
        assert bool([r for r in searched.tested if r.verdict in SHORTCUTS]) == is_one
        json.dumps(found)


def test_the_clean_twin_has_no_shortcut() -> None:
    a, _ = run(0.0)
    assert not [r for r in a.tested if r.verdict in SHORTCUTS]


def test_a_planted_dataset_equals_its_clean_twin_but_for_the_mark() -> None:
    clean = planted.draw_images(5, 3, Plant(), 1)
    marked = planted.draw_images(5, 3, Plant("corner", 3, 1.0), 1)
    differs = (clean.pixels != marked.pixels).any((1, 2, 3))
    assert (differs == (clean.labels == 3)).all()
    x, y = planted.CORNERS[0]
    rest = np.ones((SIZE, SIZE), bool)
    rest[y : y + planted.MARK, x : x + planted.MARK] = False
    assert (clean.pixels[:, rest] == marked.pixels[:, rest]).all()


@pytest.mark.parametrize("kind", ["moving", "two", "tint", "blur"])
def test_each_kind_is_planted_in_its_share(kind: planted.Kind) -> None:
    images = planted.draw_images(1, 10, Plant(kind, 2, 0.5), 0)
    assert images.marked.sum() == 5
    assert (images.labels[images.marked] == 2).all()


def test_the_area_under_the_curve_counts_ties_half() -> None:
    assert audit_page.auroc([2.0, 3.0], [1.0, 0.0]) == 1
    assert audit_page.auroc([1.0], [1.0, 0.0]) == 0.75


def test_the_scale_is_measured_with_every_streaming_screen() -> None:
    row = audit_scale.streaming(20_000, 50)
    assert row["screens"] == "S1, S2, S5"
    assert row["candidates"] <= 50


def test_the_page_counts_what_the_rows_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def row(seed: int, scenario: str, share: float, **more: object) -> dict[str, object]:
        scores = [0.1 * (k == TARGET and share > 0) for k in range(len(CLASSES))]
        plain = {
            "first": False,
            "confirmed": False,
            "kind": "",
            "marks_found": 0,
            "properties": [],
            "seconds": 1.0,
        }
        common = {"scenario": scenario, "share": share, "seed": seed, "boxes": False, "scores": scores}
        return common | plain | {"false_shortcuts": 0, "true_flips": 0.5, "limit": 0.4} | more

    found = {"first": True, "confirmed": True, "kind": Verdict.REPEATED_MARK.value}
    rows = [row(s, "clean", 0.0) for s in range(3)] + [row(0, "corner", 0.5, **found), row(1, "corner", 0.5)]
    rows.append(row(2, "corner", 0.5, false_shortcuts=1))
    lines = audit_page.summary(rows)
    corner = next(line for line in lines if line["scenario"] == "corner")
    assert (corner["right_kind"], corner["confirmed"], corner["with_false_shortcut"]) == (1, 1, 1)
    assert corner["auroc"] == 1
    assert audit_page.limits_kept(rows) == (1, 3)
    said = {"found": 5, "images": 200, "marked": 6, "without": 1}
    rows += [row(s, "afterwards", 0.5, false_shortcuts=1 - s, training=True, searched=[said]) for s in (0, 1)]
    lines = audit_page.summary(rows)
    page = tmp_path / "audit.md"
    page.write_text("before\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    monkeypatch.setattr(audit_page, "PAGE", page)
    audit_page.write_page(lines, rows)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| corner | 50% | no | 3 | 1 | 1 | 1 (95 %" in text
    assert "| afterwards, training images given | 50% | no | 2 |  |  | 1 (95 %" in text
    assert "afterwards: 400 training images were searched for 2 shortcuts. 12 of them have the mark" in text
    assert "10 were found; of as many images of the clean twins 2." in text


def test_the_page_of_the_docs_says_what_the_stored_rows_say() -> None:
    stored = json.loads(audit.RESULTS.read_text())
    assert audit_page.summary(stored["rows"]) == stored["summary"]
    shown = audit_page.PAGE.read_text().split("<!-- results -->\n")[1].split("<!-- /results -->")[0]
    assert shown == audit_page.page(stored["summary"], stored["rows"]), (
        "python -m benchmarks.audit --seeds 0 writes it"
    )
