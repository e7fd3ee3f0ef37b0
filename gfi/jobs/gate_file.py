"""Writes a first gate file, with comments, from two jobs."""

import json
from collections.abc import Iterator

from gfi.domain.metrics import CATALOGUE, COLUMNS
from gfi.drift.verdicts import ALPHA, MAX_FLIPPED, MAX_MOVED, MIN_IMAGES
from gfi.jobs.compare import Compared


def gate_file(compared: Compared) -> str:
    """The text of a gate file for jobs like these two."""
    return "\n".join(_lines(compared)) + "\n"


def _lines(compared: Compared) -> Iterator[str]:
    comparison = compared.comparison
    watched = [compared.names.get(index, str(index)) for index in comparison.classes]
    yield f"# Made from jobs {compared.a.id} and {compared.b.id}; docs/drift.md explains every line."
    yield "# gfi compare A B --gate this-file      exit status 0 pass, 10 fail, 11 undecided"
    yield ""
    yield "[moved]"
    yield "# The share of masks that may move beyond what training noise moves."
    yield f"max_moved = {MAX_MOVED}"
    yield "# The probability of a false fail, over all watched classes."
    yield f"alpha = {ALPHA}"
    yield "# A class with fewer masks, or a limit with fewer images, never passes."
    yield f"min_images = {MIN_IMAGES}"
    yield f'# "all", "none", or the classes that must not move. These two jobs have {len(watched)}:'
    yield f"# classes = {json.dumps(watched[:12], ensure_ascii=False)}"
    yield 'classes = "all"'
    yield "# All classes together are judged as well."
    yield "pooled = true"
    yield "# The share of a class that may be predicted otherwise, beyond what the runs of the floor are."
    yield f"max_flipped = {MAX_FLIPPED}"
    yield ""
    yield "[floor]"
    yield "# Other training runs of the first job's recipe. At least min_runs, the first job among them."
    yield 'level = "other_training"'
    yield "min_runs = 3"
    yield "jobs = []"
    yield ""
    yield "[limits]"
    yield "# The most that a mean may worsen from the first job to the second; its 95 % bound is judged."
    counts = comparison.counts
    share = counts.flipped_images / counts.predicted_images if counts.predicted_images else 0.0
    yield f"# Images that are predicted as another class: here {share:.3f}."
    # A limit near 1 would let a model pass that predicts every image otherwise.
    yield f"flips = {min(0.5, max(0.02, round(2 * share, 2)))}"
    for name, change in comparison.metrics.items():
        better = COLUMNS[name].better or "no way"
        yield f"# {name} ({better} is better): here {change.mean_a:.3f} and {change.mean_b:.3f}."
        yield f"# {name} = 0.05"
    unmeasured = [name for name in CATALOGUE if name not in comparison.metrics]
    yield f"# Not measured by both jobs: {', '.join(unmeasured)}."
    yield ""
    yield "# A gate that runs every night distributes alpha over the year."
    yield "# [nightly]"
    yield "# comparisons_per_year = 365"
    yield ""
    yield "# No shortcut that the audit of the second job confirmed and that of the first did not (`gfi audit JOB`)."
    yield "# [audit]"
    yield "# no_new_shortcuts = true"
    yield ""
    yield "# A fail that a named person accepts until a date."
    yield "# [[waivers]]"
    yield f'# class = {json.dumps(watched[0] if watched else "husky", ensure_ascii=False)}   # or limit = "flips"'
    yield '# owner = "anna@example.org"'
    yield "# until = 2027-01-31"
    yield '# reason = "new cameras"'
