"""Looks for the pixels of an audit's shortcuts in the images that the model was trained on: the dataset of another job.

Its masks are not needed: its listing gives the images of each class, which are read as the audited network sees them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gfi.audit.settings import AuditSettings
from gfi.audit.split import keyed_order
from gfi.audit.training_images import InTraining, repeated_pattern, search
from gfi.audit.verdicts import SHORTCUTS, Tested, after_training_images, repeats
from gfi.datasets.errors import DatasetError, Unavailable
from gfi.datasets.manifest import Manifest
from gfi.datasets.sources import open_source
from gfi.domain.class_index import ClassIndex
from gfi.domain.preprocess import Preprocess
from gfi.jobs.audits.files import Kept
from gfi.jobs.audits.reading import LABELS
from gfi.jobs.audits.screen import photographs_of
from gfi.jobs.audits.views import Missing, Views
from gfi.store import queries
from gfi.store.database import Database
from gfi.store.errors import NotFound
from gfi.store.queries import Audit, Job
from gfi.store.settings import Settings

ROUND = 100
"""Photographs that are in memory at once."""


@dataclass(frozen=True)
class Searched:
    """What became of a search. shortcuts: how many were looked for, of those `wanted` whose pixels repeat. unusable:
    photographs that could not be used, by reason. failed: why no image could be searched; empty where they were."""

    job_id: str
    shortcuts: int = 0
    unusable: Mapping[str, int] = field(default_factory=dict)
    failed: str = ""
    wanted: int = 0

    def to_json(self) -> dict[str, Any]:
        """What the summary of the audit says of it."""
        return {
            "job": self.job_id,
            "shortcuts": self.shortcuts,
            "unusable": dict(self.unusable),
            "failed": self.failed,
            "wanted": self.wanted,
        }


Find = Callable[[str], int | None]
"""The class of a label; None where the model has no such class."""


def classes_of(record: Mapping[str, Any]) -> Find:
    """How a model understands labels. record: of the model."""
    index = ClassIndex.of(
        record.get("class_names") or [], record.get("wordnet_ids") or [], record.get("classes", 0)
    )
    return lru_cache(LABELS)(index.find)


def rows_of_classes(
    manifest: Manifest, classes: Sequence[int], find: Find, secret: str, most: int
) -> dict[int, tuple[NDArray[np.int64], int]]:
    """Of each class at most `most` rows, ascending: those of the smallest keyed hash; and how many images it has. An
    image with several labels is of each of their classes."""
    rows: dict[int, list[int]] = {k: [] for k in classes}
    order: dict[int, list[NDArray[np.uint64]]] = {k: [np.zeros(0, np.uint64)] for k in classes}
    for table in manifest.tables(["row", "key", *_LABELS]):
        keys: dict[int, list[str]] = {k: [] for k in classes}
        named = zip(
            table.column("row").to_pylist(), table.column("key").to_pylist(), _labels(table), strict=True
        )
        for row, key, labels in named:
            for k in {find(label) for label in labels}:
                if k is not None and k in rows:
                    rows[k].append(row)
                    keys[k].append(key)
        for k in classes:
            order[k].append(keyed_order(keys[k], secret))
    out = {}
    for k in classes:
        first = np.argsort(np.concatenate(order[k]), kind="stable")[:most]
        out[k] = np.sort(np.array(rows[k], np.int64)[first]), len(rows[k])
    return out


def is_labelled(manifest: Manifest, find: Find) -> bool:
    """Whether an image of a listing has a label that is a class."""
    return any(
        find(label) is not None
        for table in manifest.tables(_LABELS)
        for labels in _labels(table)
        for label in labels
    )


_LABELS = ("label", "labels")


def _labels(table: pa.Table) -> Iterator[Sequence[str]]:
    """The labels of each image. Of the manifest and not its targets: those were not looked up where the job explains
    the predicted class."""
    several = table.column("labels").to_pylist() if "labels" in table.column_names else [None] * len(table)
    for label, more in zip(table.column("label").to_pylist(), several, strict=True):
        yield (label,) if label is not None else (more or ())


def search_training_images(
    settings: Settings,
    database: Database,
    manifest_of: Callable[[Job], Manifest],
    audit: Audit,
    job: Job,
    found: Sequence[Tested],
    kept: Kept,
    views: Views,
    constants: AuditSettings,
    check: Callable[[], None],
) -> tuple[list[Tested], Searched]:
    """The verdicts of an audit once the training images that its options name were searched, and how that went.

    manifest_of: gives the listing of a job. views: the audited photographs. check: called often; raises to end.
    """
    wanted = {
        at: one for at, one in enumerate(found) if one.verdict in SHORTCUTS and _repeats(one, constants)
    }
    training_id = str(audit.options["training"])
    if not wanted:
        return list(found), Searched(training_id)
    try:
        training = queries.get_job(database, training_id)
        manifest = manifest_of(training)
        source = open_source(training.config.dataset.spec, settings)
    except NotFound:
        return list(found), Searched(training_id, failed="the job is deleted")
    except Unavailable:
        raise  # the store may answer at the next attempt
    except DatasetError as error:
        return list(found), Searched(training_id, failed=str(error))
    seen = Views(source, manifest, Preprocess.of_model(job.model or {}), job.config, check, ROUND)
    classes = sorted({one.plan.candidate.class_index for one in wanted.values()})
    find = classes_of(job.model or {})
    rows = rows_of_classes(manifest, classes, find, audit.secret, constants.training_images)
    searched: dict[int, InTraining] = {}
    for at, one in wanted.items():
        check()
        try:
            audited = photographs_of(views, kept)
            pattern = repeated_pattern(one.plan, audited, constants)
            shown = audited(np.array(one.plan.used, np.intp))
        except Missing:  # read a moment ago for the test
            continue
        if pattern is not None:
            mine, listed = rows[one.plan.candidate.class_index]
            searched[at] = search(pattern, _photographs(seen, mine), listed, shown, constants)
    out = after_training_images(found, searched, constants)
    return out, Searched(training_id, len(searched), seen.why, wanted=len(wanted))


def _repeats(one: Tested, constants: AuditSettings) -> bool:
    return one.effects is not None and repeats(one.effects, constants)


def _photographs(views: Views, rows: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
    """The photographs of some rows, a hundred at a time, without those that cannot be used: `views` counts them."""
    for start in range(0, len(rows), ROUND):
        some = rows[start : start + ROUND]
        try:
            yield views(some)
        except Missing as missing:
            left = np.setdiff1d(some, np.array(missing.rows, np.int64))
            if len(left):
                yield views(left)
