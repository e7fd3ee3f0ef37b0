"""The summary of the rows of `make bench-audit`, and its table in docs/audit.md."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import audit_peers
from benchmarks.audit_scenarios import SCENARIOS, TARGET
from gfi.audit.bounds import share_upper_bound
from gfi.audit.verdicts import Verdict


def auroc(positive: list[float], negative: list[float]) -> float:
    """The chance that a planted class scores above a clean one; ties count half."""
    p, n = np.array(positive), np.array(negative)
    return float((p[:, None] > n).mean() + 0.5 * (p[:, None] == n).mean())


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line for each scenario, share, whether boxes were used and whether training images were given."""
    out = []
    groups = sorted({(r["scenario"], r["share"], r["boxes"], r.get("training", False)) for r in rows})
    clean = {
        b: [s for r in rows if r["scenario"] == "clean" and r["boxes"] == b for s in r["scores"]]
        for b in (True, False)
    }
    for name, share, boxes, training in groups:
        mine = [
            r
            for r in rows
            if (r["scenario"], r["share"], r["boxes"], r.get("training", False))
            == (name, share, boxes, training)
        ]
        n = len(mine)
        false = sum(r["false_shortcuts"] > 0 for r in mine)
        line = {"scenario": name, "share": share, "boxes": boxes, "runs": n, "with_false_shortcut": false}
        if training:
            line["training"] = True
        line["false_upper"] = round(share_upper_bound(false, n), 3)
        if "first" in mine[0]:
            kind = Verdict.OFF_OBJECT if boxes else Verdict.REPEATED_MARK
            line["first"] = sum(r["first"] for r in mine)
            line["confirmed"] = sum(r["confirmed"] for r in mine)
            line["right_kind"] = sum(r["first"] and r["kind"] == kind for r in mine)
            line["both"] = sum(r["marks_found"] == 2 for r in mine)
            line["property"] = sum(bool(r["properties"]) for r in mine)
            line["seconds"] = round(float(np.median([r["seconds"] for r in mine])), 1)
            if name == "corner" and not training:
                positive = [r["scores"][TARGET] for r in mine]
                others = [s for r in mine for k, s in enumerate(r["scores"]) if k != TARGET]
                line["auroc"] = round(auroc(positive, others + clean[boxes]), 4)
                if not boxes:
                    line |= _of_spray(mine, rows)
        out.append(line)
    return out


def _of_spray(mine: list[dict[str, Any]], rows: list[dict[str, Any]]) -> dict[str, float]:
    """AUROC of SpRAy's two scores over the same classes and runs."""
    out = {}
    mine = [r for r in mine if "spray" in r]
    for name in ("eigengap", "fisher") if mine else ():
        clean = [s for r in rows if r["scenario"] == "clean" and "spray" in r for s in r["spray"][name]]
        others = [s for r in mine for k, s in enumerate(r["spray"][name]) if k != TARGET]
        positive = [r["spray"][name][TARGET] for r in mine]
        out[f"spray_{name}"] = round(auroc(positive, others + clean), 4)
    return out


PHOTOGRAPHS = ("watermark", "shared photographs")
"""The scenarios of `benchmarks.watermark`, which have no planted truth."""
PAGE = Path(__file__).parents[1] / "docs" / "audit.md"


def page(lines: list[dict[str, Any]], rows: list[dict[str, Any]]) -> str:
    """The table of docs/audit.md."""
    head = (
        "planted",
        "share",
        "boxes",
        "runs",
        "first, right class, place and kind",
        "confirmed",
        "with a false shortcut",
    )
    table = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for line in lines:
        if line["scenario"] in PHOTOGRAPHS:
            continue
        planted_mark = line["scenario"] in ("corner", "moving", "two")
        cells = (
            line["scenario"] + (", training images given" if line.get("training") else ""),
            f"{line['share']:.0%}" if line["share"] else "",
            "yes" if line["boxes"] else "no",
            line["runs"],
            line["right_kind"] if planted_mark else "",
            line["confirmed"] if planted_mark else "",
            f"{line['with_false_shortcut']} (95 %: at most {line['false_upper']:.0%})",
        )
        table.append("| " + " | ".join(map(str, cells)) + " |")
    notes = []
    for line in lines:
        if line["scenario"] == "corner" and "auroc" in line:
            boxes = "with" if line["boxes"] else "without"
            notes.append(
                f"AUROC over classes, mark in {line['share']:.0%}, {boxes} boxes: {line['auroc']:.3f}."
                + _peer(line)
            )
        if line["scenario"] == "two":
            notes.append(f"Two marks: both confirmed in {line['both']} of {line['runs']} runs.")
        if line["scenario"] in ("tint", "blur"):
            notes.append(
                f"S5 names a property of the class, {line['scenario']}: {line['property']} of {line['runs']} runs."
            )
    notes += [*_training(rows), *_cleanlab(rows), *_resamples(lines), *_photographs(rows)]
    kept, promised = limits_kept(rows)
    notes.append(
        f"Detection limits: the clean twins promised {promised} of the corner marks without boxes; "
        f"{kept} of these were confirmed."
    )
    flips = [
        (r["share"], r["true_flips"])
        for r in rows
        if r["scenario"] == "corner" and not r["boxes"] and not r.get("training")
    ]
    for share in sorted({s for s, _ in flips}):
        values = sorted(f for s, f in flips if s == share)
        notes.append(
            f"What the networks do, mark in {share:.0%}: pasting the true mark flips {values[0]:.0%} to "
            f"{values[-1]:.0%} of other classes' images."
        )
    return (
        f"{_extent(rows)}\n\n" + "\n".join(table) + "\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"
    )


def _extent(rows: list[dict[str, Any]]) -> str:
    """How much was run, of what `make bench-audit-full` runs."""
    seeds = len({r["seed"] for r in rows if r["scenario"] == "clean"})
    again = sum(r["scenario"] in ("subsample", "relabelling") for r in rows)
    resampled = (
        f"{again:,} subsamples and relabellings of them" if again else "no subsample or relabelling of them"
    )
    return (
        f"{seeds} seeds were run, and {resampled} (`make bench-audit-full`: twenty, and 200). Where none of {seeds} "
        f"runs has a false shortcut, their rate is at most {share_upper_bound(0, seeds):.0%} with 95 %."
    )


def _peer(line: dict[str, Any]) -> str:
    if "spray_fisher" not in line:
        return ""
    return (
        f" SpRAy on the same masks: {line['spray_eigengap']:.3f} by eigengap, {line['spray_fisher']:.3f} by Fisher's "
        "discriminant."
    )


def _training(rows: list[dict[str, Any]]) -> Iterator[str]:
    """What the search of training images found, where there was a shortcut, and in clean twins of these images."""
    for name in dict.fromkeys(s.name for s in SCENARIOS if s.training):
        mine = [one for r in rows if r["scenario"] == name and r.get("training") for one in r["searched"]]
        if not mine:
            continue
        found, marked, images, wrong = (
            sum(one[key] for one in mine) for key in ("found", "marked", "images", "without")
        )
        shortcuts = "shortcut" if len(mine) == 1 else "shortcuts"
        yield (
            f"Training images given, {name}: {images:,} training images were searched for {len(mine)} {shortcuts}. "
            f"{marked:,} of them have the mark, {found:,} were found; of as many images of the clean twins {wrong:,}."
        )


def _cleanlab(rows: list[dict[str, Any]]) -> Iterator[str]:
    """cleanlab's score of whole datasets: the lowest of any property, and how many it would flag."""
    scored = [r for r in rows if "cleanlab" in r]
    if not scored:
        return
    said = []
    for name in dict.fromkeys(s.name for s in SCENARIOS):
        lowest = [min(r["cleanlab"].values()) for r in scored if r["scenario"] == name]
        if lowest:
            flagged = sum(score < audit_peers.FLAGGED_BELOW for score in lowest)
            said.append(f"{name} {min(lowest):.2f} ({flagged} of {len(lowest)} flagged)")
    yield (
        "cleanlab's property score of the datasets, which names no class and flags what is below "
        f"{audit_peers.FLAGGED_BELOW}; the lowest: {', '.join(said)}."
    )


def _resamples(lines: list[dict[str, Any]]) -> Iterator[str]:
    """How often clean runs that were drawn again had a shortcut."""
    mine = [line for line in lines if line["scenario"] in ("subsample", "relabelling")]
    runs, false = (sum(line[name] for line in mine) for name in ("runs", "with_false_shortcut"))
    if runs:
        yield (
            f"Subsamples and relabellings of clean runs: a shortcut in {false} of {runs} (95 %: at most "
            f"{share_upper_bound(false, runs):.0%})."
        )


def _photographs(rows: list[dict[str, Any]]) -> Iterator[str]:
    """What `benchmarks.watermark` found."""
    for r in rows:
        if r["scenario"] == "watermark":
            yield (
                f"ImageNet-W's watermark, our own drawing, on {r['photographs']} photographs and {r['network']}: top-1 "
                f"{r['top1']:.0%} without and {r['top1_marked']:.0%} with the mark; mean p(carton) {r['carton']:.4f}, "
                f"then {r['carton_marked']:.4f}; {r['taken_for_carton']:.0%} are taken for a carton. As a stated "
                f"hypothesis (`--patch`): {r['verdict'].replace('_', ' ')}. {r['sentence']}"
            )
        if r["scenario"] == "shared photographs":
            yield (
                f"An audit of the {r['photographs']} shared photographs, one of each of {r['classes']} classes: "
                + (
                    "the classes are compared"
                    if r["class_null"]
                    else "too few images of any class to compare classes"
                )
                + f"; {r['tested']} candidates."
            )


def limits_kept(rows: list[dict[str, Any]]) -> tuple[int, int]:
    """How many corner marks were confirmed, of those whose share is at least the limit that the clean twin printed."""
    limits = {r["seed"]: r["limit"] for r in rows if r["scenario"] == "clean" and not r["boxes"]}
    marks = [
        r
        for r in rows
        if r["scenario"] == "corner"
        and not r["boxes"]
        and not r.get("training")
        and limits.get(r["seed"]) is not None
    ]
    promised = [r for r in marks if r["share"] >= limits[r["seed"]]]
    return sum(r["confirmed"] for r in promised), len(promised)


def write_page(lines: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """Put the table between its marks in docs/audit.md."""
    before, rest = PAGE.read_text().split("<!-- results -->\n")
    after = rest.split("<!-- /results -->")[1]
    PAGE.write_text(f"{before}<!-- results -->\n{page(lines, rows)}<!-- /results -->{after}")
