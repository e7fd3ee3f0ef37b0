"""What an audit until settled explains, and what it stores of each instalment.

    instalment-N.json   the rows that the N-th instalment asked for, from 1
    effects-N.json      what was measured on them, by candidate; images are rows of the manifest

The listing is ordered once, by a keyed hash within each class: the first images of each class are the sample on which
candidates are fixed, the next ones test them. A class is that of the label; images whose label is none of the model's
are one more class.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfi.audit.plan import STATED, Plan
from gfi.audit.sequential import Evidence, SequentialSettings, Settled, next_images
from gfi.audit.settling import Measured, hosts_wanted, joined
from gfi.audit.split import keyed_order
from gfi.datasets.manifest import Manifest, subset
from gfi.domain.digests import JSON
from gfi.domain.ids import new_id
from gfi.jobs.audits.files import ScreenedJob, key, put_json, tested_json, tested_of
from gfi.jobs.sharding import shard_bounds, shard_size
from gfi.store import ledger, queries
from gfi.store.database import Database
from gfi.store.ledger.shards import SAMPLE
from gfi.store.objects import Bucket
from gfi.store.queries import Audit, Job
from gfi.store.settings import Settings

MOST_UNLABELLED = 4000
GROWTH = 1.25
"""Each instalment is this much larger than the one before, so that a large dataset takes few of them."""


@dataclass(frozen=True)
class Order:
    """The listing as a sample is drawn from it. classes (N,): of the labels, −1 for none; order (N,): a keyed hash."""

    classes: NDArray[np.int64]
    order: NDArray[np.uint64]

    @staticmethod
    def of(manifest: Manifest, secret: str) -> "Order":
        """Of a manifest that was never reordered."""
        classes, order = [], []
        for table in manifest.tables(["key", "target"]):
            targets = table.column("target").fill_null(-1)
            classes.append(targets.to_numpy().astype(np.int64))
            order.append(keyed_order(table.column("key").to_pylist(), secret))
        return Order(np.concatenate(classes), np.concatenate(order))

    def first(self, number: int, classes: int) -> NDArray[np.intp]:
        """The rows of the sample on which candidates are fixed; of images without a class as many as of `classes`."""
        none = np.zeros(len(self.classes), bool)
        known = np.unique(self.classes[self.classes >= 0]).tolist()
        rows = next_images(self.classes, self.order, none, known, number)
        others = min(number * max(classes, 1), MOST_UNLABELLED)
        return np.union1d(rows, next_images(self.classes, self.order, none, [-1], others)).astype(np.intp)

    def instalment(
        self, used: NDArray[np.bool_], wanted: Sequence[int], number: int, beside: int
    ) -> NDArray[np.intp]:
        """The next `number` images of each wanted class, and `beside` of the other classes, as hosts.

        A wanted class that no label names is among the images without a class.
        """
        known = np.unique(self.classes).tolist()
        asked = [k for k in wanted if k in known]
        if len(asked) < len(wanted) and -1 in known:
            asked.append(-1)
        rows = next_images(self.classes, self.order, used, asked, number)
        others = [k for k in known if k not in asked]
        if beside > 0 and others:
            each = -(-beside // len(others))
            more = next_images(self.classes, self.order, used, others, each)
            more = more[np.argsort(self.order[more], kind="stable")][:beside]
            rows = np.union1d(rows, more).astype(np.intp)
        return rows


@dataclass(frozen=True)
class Wish:
    """The next instalment. plan: what the audit says of itself while it is explained."""

    rows: list[int]
    plan: JSON


def sequential_settings(audit: Audit) -> SequentialSettings:
    """The settings of the tests of an audit until settled."""
    given = audit.options["until_settled"]
    return SequentialSettings(**{f.name: given[f.name] for f in fields(SequentialSettings)})


def options_of(settings: SequentialSettings, first: int) -> JSON:
    """The settings as an option of an audit."""
    return asdict(settings) | {"first": first}


def images_of_instalment(settings: SequentialSettings, number: int) -> int:
    """How many images of a class the instalment `number` has, from 1."""
    return round(settings.instalment * GROWTH ** (number - 1))


def first_sample(audit: Audit, job: Job, manifest: Manifest) -> NDArray[np.intp]:
    """The rows on which the candidates of an audit are fixed."""
    classes = int((job.model or {}).get("classes") or len(job.class_names))
    return Order.of(manifest, audit.secret).first(audit.options["until_settled"]["first"], classes)


def instalments(bucket: Bucket, audit: Audit) -> list[list[int]]:
    """The rows of each instalment that the ledger has; a file may be ahead of it, of an attempt that was killed."""
    number = ((audit.plan or {}).get("settling") or {}).get("instalment", 0)
    names = [key(audit.job_id, audit.id, f"instalment-{n}.json") for n in range(1, number + 1)]
    return [json.loads(bucket.get(name))["rows"] for name in names]


def wish(
    audit: Audit,
    job: Job,
    manifest: Manifest,
    screened: ScreenedJob,
    evidence: Evidence,
    asked: Sequence[Sequence[int]],
    tested_classes: NDArray[np.integer],
    hosts_used: Sequence[int],
) -> Wish | None:
    """The next instalment; None where every class is settled, or the dataset has no image left of those that are not.

    asked: the rows of the instalments so far. tested_classes: of their images. hosts_used: of each candidate.
    """
    order = Order.of(manifest, audit.secret)
    used = np.zeros(manifest.count, bool)
    used[first_sample(audit, job, manifest)] = True
    for earlier in asked:
        used[list(earlier)] = True
    wanted = evidence.open_classes().tolist()
    number = images_of_instalment(evidence.settings, len(asked) + 1)
    controls = int(audit.settings["controls"])
    beside = hosts_wanted(evidence, tested_classes, hosts_used, dict.fromkeys(wanted, number), controls)
    mine = order.instalment(used, wanted, number, 0) if wanted else np.zeros(0, np.intp)
    if not len(mine):
        return None
    rows = order.instalment(used, wanted, number, beside)
    classes = {int(k) for k in evidence.classes}
    said = {
        "instalment": len(asked) + 1,
        "images": int(used.sum()) + len(rows),
        "listed": manifest.count,
        "classes": len(classes),
        "settled": len(classes) - len(wanted),
    }
    return Wish(
        rows.tolist(), {**(audit.plan or {}), "candidates": len(screened.candidates), "settling": said}
    )


def refusal(database: Database, job: Job, images: int) -> str | None:
    """Why the job may not explain this many images more; None where its owner may."""
    most = ledger.most_images(database, job.owner)
    if most is None or (job.total or 0) + images <= most:
        return None
    return f"its owner may explain {most:,} images a job"


def put_instalment(
    bucket: Bucket,
    database: Database,
    settings: Settings,
    job: Job,
    manifest: Manifest,
    wished: Wish,
    audit: Audit,
    folder: Path,
) -> dict[str, Any]:
    """Store an instalment; returns the arguments of `ledger.add_instalment`."""
    number = wished.plan["settling"]["instalment"]
    put_json(bucket, key(job.id, audit.id, f"instalment-{number}.json"), {"rows": wished.rows})
    at, bounds = put_sample(bucket, database, settings, job, manifest, wished.rows, folder)
    return {"manifest_key": at, "images": len(wished.rows), "bounds": bounds}


def put_sample(
    bucket: Bucket,
    database: Database,
    settings: Settings,
    job: Job,
    manifest: Manifest,
    rows: Sequence[int],
    folder: Path,
) -> tuple[str, list[tuple[int, int]]]:
    """Store a manifest of some rows of the job's. Returns its key, and the bounds of its shards."""
    at = f"jobs/{job.id}/{SAMPLE}{new_id()}.parquet"
    subset(manifest, rows, folder / "sample.parquet", {"sample": job.id})
    bucket.put(at, folder / "sample.parquet")
    rate = queries.measured_rate(database, job.config.work_digest())
    size = shard_size(len(rows), rate, settings.shard_seconds, job.config.batch)
    return at, list(shard_bounds(len(rows), size))


def put_effects(
    bucket: Bucket, audit: Audit, number: int, measured: Sequence[Measured], rows: NDArray[np.int64]
) -> None:
    """Store what an instalment measured. rows (N,): of the places that its plans name."""
    stored = [tested_json(renamed(plan, rows.tolist()), effects) for plan, effects in measured]
    put_json(bucket, key(audit.job_id, audit.id, f"effects-{number}.json"), {"measured": stored})


def effects_of(
    bucket: Bucket, audit: Audit, number: int, screened: ScreenedJob, rows: NDArray[np.int64]
) -> list[Measured]:
    """What `put_effects` stored, its images as places in `rows` (N,)."""
    stored = json.loads(bucket.get(key(audit.job_id, audit.id, f"effects-{number}.json")))["measured"]
    place = {int(row): at for at, row in enumerate(rows.tolist())}
    out = []
    for value, candidate in zip(stored, screened.candidates, strict=True):
        plan, effects = tested_of(value, candidate)
        out.append((renamed(plan, place), effects))
    return out


def renamed(plan: Plan, names: Sequence[int] | Mapping[int, int]) -> Plan:
    """A plan whose images have other numbers."""

    def name(image: int) -> int:
        return image if image == STATED else names[image]

    return replace(
        plan,
        removals=tuple(replace(r, image=name(r.image)) for r in plan.removals),
        transplants=tuple(
            replace(t, host=name(t.host), source=name(t.source), controls=tuple(map(name, t.controls)))
            for t in plan.transplants
        ),
        foreign=(),
        foreign_places=(),
    )


def hosts_of(measured: Sequence[Sequence[Measured]], number: int) -> set[int]:
    """The hosts that the candidate `number` had."""
    return {t.host for one in measured for t in one[number][0].transplants}


def settled_summary(
    screened: ScreenedJob,
    evidence: Evidence,
    measured: Sequence[Sequence[Measured]],
    names: Mapping[int, str],
    listed: int,
    explained: int,
    stopped: str | None,
) -> JSON:
    """What an audit until settled says of its end. stopped: why it ended early; None where it did not.

    names: of the candidates' classes. listed, explained: images.
    """
    states = evidence.settled()
    left = len(evidence.open_classes())
    nothing = []
    for number, (candidate, state) in enumerate(zip(screened.candidates, states, strict=True)):
        if state is not Settled.NOTHING:
            continue
        plan, _ = joined([one[number] for one in measured], candidate)
        where = "a repeated pattern" if candidate.place is None else f"the {candidate.place.words()}"
        nothing.append(
            {
                "class_index": candidate.class_index,
                "class_name": names[candidate.class_index],
                "sentence": f'"{names[candidate.class_index]}", {where} (seen in {plan.seen} of {plan.images} images)',
            }
        )
    saved = 1 - explained / max(listed, 1)
    why = stopped or (
        "every class is settled"
        if not left
        else f"the dataset has no more images of the {left} classes that are not settled"
        if left > 1
        else "the dataset has no more images of the class that is not settled"
    )
    return {
        "listed": listed,
        "explained": explained,
        "saved": saved,
        "instalments": len(measured),
        "classes": len(set(evidence.classes.tolist())),
        "open": left,
        "candidates": dict(Counter(str(state) for state in states)),
        "nothing": nothing,
        "excluded": "That removing and pasting both change the probability by "
        f"{evidence.settings.margin:.2f} or more is excluded (level {100 * evidence.settings.level:.0f} %).",
        "sentence": f"Ended after {explained:,} of {listed:,} images ({100 * saved:.0f} % not explained): {why}.",
    }
