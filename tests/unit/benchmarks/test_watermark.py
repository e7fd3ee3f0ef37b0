"""The drawing of the watermark, and how the page tells what it does."""

import numpy as np

from benchmarks import audit_page, watermark
from benchmarks.audit_scenarios import TARGET


def test_the_mark_is_six_white_glyphs_that_are_half_transparent() -> None:
    drawn = watermark.mark()
    assert drawn.shape == (watermark.SIDE, 6 * watermark.SIDE, 4)
    alpha = drawn[..., 3]
    assert alpha.max() == 128
    assert (drawn[..., :3] == 255).all()
    glyphs = alpha.reshape(watermark.SIDE, 6, watermark.SIDE)
    assert (glyphs > 64).any((0, 2)).all()
    assert 0.05 < (alpha > 64).mean() < 0.4


def test_the_page_tells_the_watermark_the_peers_and_the_resamples() -> None:
    common = {"seed": 0, "boxes": False, "false_shortcuts": 0}
    clean = {
        "scenario": "clean", "share": 0.0, "scores": [0.0] * 10, "first": False, "confirmed": False, "kind": "",
        "marks_found": 0, "properties": [], "seconds": 1.0, "limit": None,
        "cleanlab": {"brightness": 0.95}, "spray": {"eigengap": [0.1] * 10, "fisher": [0.1] * 10},
    }  # fmt: skip
    spray = {name: [0.1 + 0.1 * (k == TARGET) for k in range(10)] for name in ("eigengap", "fisher")}
    rows = [
        clean | common,
        clean | common | {"scenario": "corner", "share": 0.5, "spray": spray, "true_flips": 0.8},
        *({"scenario": "subsample", "share": 0.0, "number": i, **common} for i in range(2)),
        {
            "scenario": "watermark", "share": 0.0, "photographs": 100, "network": "net", "top1": 0.7,
            "top1_marked": 0.6, "carton": 0.001, "carton_marked": 0.02, "taken_for_carton": 0.05,
            "verdict": "relies_on", "sentence": "The stated mark leads to it.", **common,
        },
        {
            "scenario": "shared photographs", "share": 0.0, "photographs": 100, "classes": 100, "class_null": False,
            "tested": 0, **common,
        },
    ]  # fmt: skip
    text = audit_page.page(audit_page.summary(rows), rows)
    assert "SpRAy on the same masks: 1.000 by eigengap" in text
    assert "clean 0.95 (0 of 1 flagged)" in text
    assert "a shortcut in 0 of 2" in text
    assert "top-1 70% without and 60% with the mark" in text
    assert "too few images of any class" in text
    assert "| watermark" not in text
    assert np.char.count(text, "| subsample") == 1
