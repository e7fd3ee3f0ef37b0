"""What an audit until settled explains, and what it stores of each instalment.

    instalment-N-CLAIM.json   the rows that the N-th instalment asked for, from 1
    effects-N-CLAIM.json      what was measured on them, by candidate; images are rows of the manifest

A file has the claim that wrote it in its name, and the plan of the audit names those that count: it is written in the
commit of the task, under its fence. So a worker that was taken for dead and goes on later changes nothing.

The listing is ordered once, by a keyed hash within each class: the first images of each class are the sample on which
candidates are fixed, the next ones test them. A class is that of the label; images whose label is none of the model's
are one more class, of which so many are explained that the rarest class asked for is among them.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfi.audit.sequential import Evidence, SequentialSettings, Settled, next_images
from gfi.audit.settling import Measured, can_paste, hosts_wanted
from gfi.audit.split import keyed_order
from gfi.datasets.manifest import Manifest, subset
from gfi.domain.digests import JSON
from gfi.domain.ids import new_id
from gfi.domain.records import ControlClaim
from gfi.jobs.audits import cost
from gfi.jobs.audits.earlier import Earlier
from gfi.jobs.audits.files import Kept, ScreenedJob, key, put_json, settings_of, tested_json, tested_of
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

    def first(self, number: int, classes: int, used: NDArray[np.bool_] | None = None) -> NDArray[np.intp]:
        """The rows of the sample on which candidates are fixed; of images without a class as many as of `classes`.

        used (N,): images that it is not drawn from.
        """
        used = np.zeros(len(self.classes), bool) if used is None else used
        known = np.unique(self.classes[self.classes >= 0]).tolist()
        rows = next_images(self.classes, self.order, used, known, number)
        others = min(number * max(classes, 1), MOST_UNLABELLED)
        return np.union1d(rows, next_images(self.classes, self.order, used, [-1], others)).astype(np.intp)

    def instalment(
        self, used: NDArray[np.bool_], wanted: Sequence[int], number: int, beside: int, unlabelled: int = 0
    ) -> NDArray[np.intp]:
        """The next `number` images of each wanted class, and `beside` of the other classes, as hosts.

        unlabelled: how many images without a class, in which a wanted class is looked for that no label names.
        """
        known = np.unique(self.classes).tolist()
        asked = [k for k in wanted if k in known]
        rows = next_images(self.classes, self.order, used, asked, number)
        if unlabelled:
            rows = np.union1d(rows, next_images(self.classes, self.order, used, [-1], unlabelled))
            asked.append(-1)
        others = [k for k in known if k not in asked]
        if beside > 0 and others:
            each = -(-beside // len(others))
            more = next_images(self.classes, self.order, used, others, each)
            more = more[np.argsort(self.order[more], kind="stable")][:beside]
            rows = np.union1d(rows, more)
        return rows.astype(np.intp)

    def unlabelled(self, wanted: Sequence[int], number: int, explained: Kept) -> int:
        """How many images without a class have `number` of the rarest wanted class that no label names, going by those
        of the first sample; 0 where labels name all of them."""
        unnamed = [k for k in wanted if not (self.classes == k).any()]
        if not unnamed:
            return 0
        found = explained.data.classes[self.classes[explained.rows] < 0]
        rarest = min(max(1, int((found == k).sum())) for k in unnamed)
        return min(MOST_UNLABELLED, -(-number * max(len(found), 1) // rarest))


@dataclass(frozen=True)
class Instalments:
    """What is known of the instalments so far. asked: the rows of each. images: those that were explained of them.

    measured: of each instalment; its images are rows of the manifest. earlier: what the audit goes on from, whose
    candidates are tested on the first sample too, in the first instalment.
    """

    asked: Sequence[Sequence[int]]
    images: Kept
    measured: Sequence[Sequence[Measured]]
    earlier: Earlier

    @staticmethod
    def none(screened: ScreenedJob, earlier: Earlier) -> "Instalments":
        """Before the first instalment."""
        none = replace(screened.kept.data, classes=np.zeros(0, np.int64), also=None)
        return Instalments([], Kept(np.zeros(0, np.int64), none), [], earlier)


@dataclass(frozen=True)
class Decision:
    """What follows: the `rows` that are explained next, or none, and the audit ends.

    plan: what the audit says of itself while they are explained. stopped: why it ends with something left open.
    without_hosts: numbers of the open candidates whose crops no image is left for. first_sample: no other image is
    left, and the candidates of an earlier audit are tested on the first sample.
    """

    rows: list[int]
    plan: JSON
    stopped: str | None = None
    without_hosts: frozenset[int] = frozenset()
    first_sample: bool = False

    @property
    def goes_on(self) -> bool:
        """Whether the audit does."""
        return bool(self.rows) or self.first_sample


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


def first_sample(audit: Audit, job: Job, manifest: Manifest, used: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The rows on which the candidates of an audit are fixed. used (N,): images of earlier audits, none of which is
    among them."""
    classes = int((job.model or {}).get("classes") or len(job.class_names))
    return Order.of(manifest, audit.secret).first(audit.options["until_settled"]["first"], classes, used)


def stored_of(audit: Audit, name: str) -> list[str]:
    """The names of the files that count, of each instalment. name: `instalments` or `effects`."""
    return list(((audit.plan or {}).get("stored") or {}).get(name) or ())


def instalments(bucket: Bucket, audit: Audit) -> list[list[int]]:
    """The rows of each instalment."""
    names = stored_of(audit, "instalments")
    return [json.loads(bucket.get(key(audit.job_id, audit.id, name)))["rows"] for name in names]


def decide(
    database: Database,
    audit: Audit,
    job: Job,
    manifest: Manifest,
    screened: ScreenedJob,
    evidence: Evidence,
    so_far: Instalments,
) -> Decision:
    """What is explained next; nothing where every class is settled or cannot be settled.

    A class cannot be settled when the dataset has no image left of it, or no image to paste its candidates into; and
    nothing is, once the owner's limits are reached.
    """
    order, before = Order.of(manifest, audit.secret), so_far.earlier
    first = first_sample(audit, job, manifest, before.used)
    used = before.used.copy()
    used[first] = True
    for earlier in so_far.asked:
        used[list(earlier)] = True
    controls, images = int(audit.settings["controls"]), so_far.images
    going_on = range(len(before.candidates))
    hosts = [hosts_of(so_far.measured, n) for n in range(len(screened.candidates))]
    if (
        going_on and so_far.asked
    ):  # then images of the first sample are kept, and new candidates may not use them
        for n in range(len(going_on), len(hosts)):
            hosts[n] |= set(first[order.classes[first] != screened.candidates[n].class_index].tolist())
    open_now = [n for n, state in enumerate(evidence.settled()) if state is Settled.OPEN]

    def has_hosts(n: int) -> bool:
        explained = screened.kept if n in going_on and not so_far.asked else images
        return _hosts_left(screened, n, order, used, explained, hosts[n], controls)

    without = frozenset(n for n in open_now if not has_hosts(n))
    wanted = sorted({screened.candidates[n].class_index for n in open_now if n not in without})
    number = images_of_instalment(evidence.settings, len(so_far.asked) + 1)
    unlabelled = order.unlabelled(wanted, number, screened.kept)
    left = Counter(order.classes[order.instalment(used, wanted, number, 0, unlabelled)].tolist())
    # Of each class, images that the screening read: the candidates of an earlier audit are tested on them.
    screened_now = Counter([] if so_far.asked else screened.kept.data.classes.tolist())
    tests_first = {
        k for n in going_on if n in open_now and (k := screened.candidates[n].class_index) in wanted
    }
    tests_first = {k for k in tests_first if screened_now[k]}
    if not left and not tests_first:
        return Decision([], {}, None, without)
    # An image without a label may be of any class. A class of which no image comes is not tested, and costs nothing.
    coming = {k: min(number, left[k] + left[-1]) for k in wanted if left[k] + left[-1]}
    known = images.data.classes[images.data.classes >= 0]
    beside = hosts_wanted(evidence, known, [len(one) for one in hosts], coming, controls)
    rows = order.instalment(used, wanted, number, beside, unlabelled).tolist() if left else []
    plan = dict(audit.plan or {})
    last = plan.get("settling") or {}
    settings = settings_of(audit.settings)

    def answered(k: int, images: int, among: Iterable[int]) -> int:
        of_class = [screened.candidates[n] for n in among if n in open_now and n not in without]
        return cost.answers([c for c in of_class if c.class_index == k], images, settings)

    answers = sum(answered(k, images, range(len(screened.candidates))) for k, images in coming.items())
    answers += sum(answered(k, screened_now[k], going_on) for k in sorted(tests_first))
    rate = cost.rate_of(database, job)
    tests_s = cost.seconds(answers, rate, float(screened.facts.get("steps") or 0.0), job.config.recipe)
    device_s = last.get("device_s", 0.0)
    if rate:
        device_s += (tests_s or 0.0) + len(rows) / rate
    else:
        device_s = max(device_s, queries.device_seconds(database, job.id))
    classes = {int(k) for k in evidence.classes}
    plan["candidates"] = len(screened.candidates)
    plan["settling"] = {
        "instalment": len(so_far.asked) + 1,
        "images": int((used & ~before.used).sum()) + len(rows),
        "listed": manifest.count,
        "classes": len(classes),
        "settled": len(classes) - len(evidence.open_classes()),
        "estimate_s": tests_s,
        "device_s": device_s,
    }
    why = refusal(database, job, len(rows), plan["settling"]["device_s"])
    return Decision([] if why else rows, plan, why, without, first_sample=not rows and not why)


def _hosts_left(
    screened: ScreenedJob,
    number: int,
    order: Order,
    used: NDArray[np.bool_],
    explained: Kept,
    hosts: set[int],
    controls: int,
) -> bool:
    """Whether an image is left, explained or not, that a crop of the candidate could be pasted into.

    An image without a label that is not explained yet may be of any class.
    """
    k = screened.candidates[number].class_index
    mine = explained.data.classes
    free = mine[(mine >= 0) & ~explained.data.carrying(k) & ~np.isin(explained.rows, sorted(hosts))]
    coming = order.classes[~used & (order.classes != k)]
    unknown = coming < 0
    coming[unknown] = -1 - np.arange(int(unknown.sum()))
    return can_paste(np.concatenate([free, coming]), controls)


def refusal(database: Database, job: Job, images: int, device_s: float) -> str | None:
    """Why the job may not explain this many images more; None where its owner may.

    device_s: seconds on a device of all instalments, with this one and its tests; without a measured rate, of what was
    done so far.
    """
    most = ledger.most_images(database, job.owner)
    if most is not None and (job.total or 0) + images > most:
        return f"its owner may explain {most:,} images a job"
    return ledger.refused_seconds(database, job.owner, device_s)


def put_instalment(
    bucket: Bucket,
    database: Database,
    settings: Settings,
    job: Job,
    manifest: Manifest,
    decision: Decision,
    audit: Audit,
    claim: ControlClaim,
    folder: Path,
    effects: str | None = None,
) -> dict[str, Any]:
    """Store an instalment; returns the arguments of `ledger.add_instalment`. effects: the name of the file of what the
    one before measured."""
    name = f"instalment-{decision.plan['settling']['instalment']}-{claim.name}.json"
    put_json(bucket, key(job.id, audit.id, name), {"rows": decision.rows})
    at, bounds = job.manifest_key or "", list[tuple[int, int]]()
    if decision.rows:
        at, bounds = put_sample(bucket, database, settings, job, manifest, decision.rows, folder)
    plan = with_effects(decision.plan, audit, effects)
    plan["stored"]["instalments"] = [*stored_of(audit, "instalments"), name]
    return {"plan": plan, "manifest_key": at, "images": len(decision.rows), "bounds": bounds}


def with_effects(plan: JSON, audit: Audit, effects: str | None) -> JSON:
    """A plan that names what the newest instalment measured, too. effects: the name of its file; None: it did not."""
    named = [*stored_of(audit, "effects"), *([effects] if effects else [])]
    return plan | {"stored": {**(plan.get("stored") or {}), "effects": named}}


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
    rate = cost.rate_of(database, job)
    size = shard_size(len(rows), rate, settings.shard_seconds, job.config.batch)
    return at, list(shard_bounds(len(rows), size))


def put_effects(
    bucket: Bucket, audit: Audit, claim: ControlClaim, number: int, measured: Sequence[Measured]
) -> str:
    """Store what an instalment measured, its images as rows of the manifest. Returns the name of the file."""
    name = f"effects-{number}-{claim.name}.json"
    stored = [tested_json(plan, effects) for plan, effects in measured]
    put_json(bucket, key(audit.job_id, audit.id, name), {"measured": stored})
    return name


def effects_of(bucket: Bucket, audit: Audit, screened: ScreenedJob) -> list[list[Measured]]:
    """What `put_effects` stored of each instalment."""
    return [
        [
            tested_of(value, candidate)
            for value, candidate in zip(
                json.loads(bucket.get(key(audit.job_id, audit.id, name)))["measured"],
                screened.candidates,
                strict=True,
            )
        ]
        for name in stored_of(audit, "effects")
    ]


def hosts_of(measured: Sequence[Sequence[Measured]], number: int) -> set[int]:
    """The hosts that the candidate `number` had, as rows of the manifest."""
    return {t.host for one in measured for t in one[number][0].transplants}


def told_rows(screened: ScreenedJob, earlier: Earlier) -> Kept:
    """The images that findings tell of, by rows of the manifest: −1 for those that other jobs explained."""
    rows = np.arange(len(earlier.used))
    return Kept(np.where(earlier.used, -1, rows), screened.kept.data)


def settled_summary(
    screened: ScreenedJob,
    evidence: Evidence,
    joint: Sequence[Measured],
    names: Mapping[int, str],
    listed: int,
    explained: int,
    decision: Decision,
    earlier: Earlier,
    instalments: int = 0,
    unlabelled: int = 0,
) -> JSON:
    """What an audit until settled says of its end. decision: its last one.

    joint: what was measured on each candidate. names: of the candidates' classes. listed, explained: images.
    instalments: that were tested. unlabelled: images of the listing without a class.
    """
    states = evidence.settled()
    left = len(evidence.open_classes())
    lonely = sorted({screened.candidates[n].class_index for n in decision.without_hosts})
    nothing = []
    for candidate, state, (plan, _) in zip(screened.candidates, states, joint, strict=True):
        if state is not Settled.NOTHING:
            continue
        where = "a repeated pattern" if candidate.place is None else f"the {candidate.place.words()}"
        nothing.append(
            {
                "class_index": candidate.class_index,
                "class_name": names[candidate.class_index],
                "sentence": f'"{names[candidate.class_index]}", {where} (seen in {plan.seen} of {plan.images} images)',
            }
        )
    before = int(earlier.used.sum())
    saved = 1 - (explained + before) / max(listed, 1)
    rest = left - len(lonely)
    why = decision.stopped or (
        "every class is settled"
        if not left
        else f"no image is left to paste candidates of {_quoted([names[k] for k in lonely])} into"
        if not rest
        else f"the dataset has no more images of the {rest} classes that are not settled"
        if rest > 1
        else "the dataset has no more images of the class that is not settled"
    )
    besides = f", and {before:,} that earlier audits used" if before else ""
    return {
        "listed": listed,
        "explained": explained,
        "saved": saved,
        "instalments": instalments,
        "classes": len(set(evidence.classes.tolist())),
        "open": left,
        "candidates": dict(Counter(str(state) for state in states)),
        "unlabelled": unlabelled,
        "without_hosts": [{"class_index": k, "class_name": names[k]} for k in lonely],
        "nothing": nothing,
        "after": _told(earlier, screened),
        "excluded": "That removing and pasting both change the probability by "
        f"{evidence.settings.margin:.2f} or more is excluded (level {100 * evidence.settings.level:.0f} %).",
        "sentence": f"Ended after {explained:,} of {listed:,} images{besides} ({100 * saved:.0f} % not explained): "
        f"{why}.",
    }


def _told(earlier: Earlier, screened: ScreenedJob) -> JSON | None:
    """What is said of the audit that one goes on from."""
    if earlier.audit is None:
        return None
    going_on = len(earlier.candidates)
    new, untested = len(screened.candidates) - going_on, int(screened.facts.get("untested") or 0)
    sentence = (
        f"Goes on from audit {earlier.audit}: {going_on} of its candidates, with what was measured on them; "
        f"{earlier.nothing} others were settled as having nothing there. {100 * earlier.left:.0f} % of the level was "
        f"left for new candidates, of which there are {new}."
    )
    if untested:
        sentence += (
            f" {untested} more were proposed and not tested, since nothing of the level was left for them."
        )
    return {
        "audit": earlier.audit,
        "candidates": going_on,
        "nothing": earlier.nothing,
        "left": earlier.left,
        "new": new,
        "untested": untested,
        "sentence": sentence,
    }


def _quoted(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(f'"{name}"' for name in names[:5]) + (" …" if len(names) > 5 else "")
