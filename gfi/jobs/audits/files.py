"""The files of an audit in the bucket, below `audits/JOB/AUDIT/`.

    screened-CLAIM.json, .npz      what the screens found, and the images that confirmation needs
    tested-N-CLAIM.json            what was measured for the N-th candidate
    earlier.json, .npz             what an audit until settled goes on from (`gfi.jobs.audits.earlier`)
    audit-CLAIM.json, audit.json   the outcome: enough to write its rows again
    decisions.json                 what people decided since
    FINDING/…                      pictures

CLAIM is the claim that wrote the file; the ledger names the one that counts (`screened` of the plan, `files` of the
task's progress). The pictures of stated hypotheses are in `audits/JOB/patches/`.
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfi.audit.candidates import Candidate
from gfi.audit.cluster_columns import Association
from gfi.audit.confirmation import Effects
from gfi.audit.explained import Explained
from gfi.audit.local_peaks import PeakCounts
from gfi.audit.places import Place
from gfi.audit.plan import STATED, Plan, Removal, Transplant
from gfi.audit.properties import PropertyCandidate
from gfi.audit.same_pixels import SamePixels
from gfi.audit.settings import AuditSettings
from gfi.domain.digests import canonical
from gfi.store.objects import Bucket
from gfi.store.queries import Audit

VERSION = 1


def folder(job_id: str) -> str:
    """The prefix of all audits of a job."""
    return f"audits/{job_id}/"


def key(job_id: str, audit_id: str, name: str) -> str:
    """The key of a file of an audit."""
    return f"{folder(job_id)}{audit_id}/{name}"


@dataclass(frozen=True)
class Kept:
    """The images that are looked at beyond the streaming screens. rows (N,): of the manifest; an image of several
    labels that are explained may be in several places."""

    rows: NDArray[np.int64]
    data: Explained

    def without(self, places: Sequence[int], *, confirming: bool) -> "Kept":
        """The same images, some of which are used no more: they stay at their places, in no class.

        confirming: whether the other images confirm; else they screen.
        """
        classes, screening = self.data.classes.copy(), self.data.screening.copy()
        classes[list(places)] = -1
        screening[list(places)] = confirming
        return Kept(self.rows, replace(self.data, classes=classes, screening=screening))


@dataclass(frozen=True)
class ScreenedJob:
    """What the screening task leaves to the confirmation.

    counts: of S1, at the first scale. facts: numbers and sentences for people.
    """

    candidates: tuple[Candidate, ...]
    properties: tuple[PropertyCandidate, ...]
    kept: Kept
    counts: PeakCounts
    facts: dict[str, Any] = field(default_factory=dict)


def save_screened(bucket: Bucket, audit: Audit, by: str, screened: ScreenedJob) -> None:
    """Store what the screening found. by: the claim of the task, which its plan names (`stored`)."""
    data = screened.kept.data
    boxes = data.boxes or {}
    owners = [i for i, of in boxes.items() for _ in of]
    arrays: dict[str, NDArray[Any]] = {
        "rows": screened.kept.rows,
        "classes": data.classes,
        "grids": data.grids.astype(np.float16),
        "screening": data.screening,
        "boxes": np.concatenate([*boxes.values(), np.zeros((0, 4))]),
        "owners": np.array(owners, np.int64),
        "boxed": np.array(data.boxes is not None),
        "counts": screened.counts.counts,
        "images": screened.counts.images,
    }
    for name in ("labels", "also"):
        if (values := getattr(data, name)) is not None:
            arrays[name] = values
    arrays |= pixels_of(screened.candidates)
    body = io.BytesIO()
    np.savez_compressed(body, allow_pickle=False, **arrays)
    bucket.put(key(audit.job_id, audit.id, f"screened-{by}.npz"), body.getvalue())
    described = {
        "version": VERSION,
        "candidates": [candidate_json(c) for c in screened.candidates],
        "properties": [asdict(p) for p in screened.properties],
        "share_of_maximum": screened.counts.share_of_maximum,
        "facts": screened.facts,
    }
    put_json(bucket, key(audit.job_id, audit.id, f"screened-{by}.json"), described)


def load_screened(bucket: Bucket, audit: Audit) -> ScreenedJob:
    """What `save_screened` stored. Raises NotFound."""
    at = key(audit.job_id, audit.id, f"screened-{(audit.plan or {})['stored']['screened']}")
    described = json.loads(bucket.get(f"{at}.json"))
    with np.load(io.BytesIO(bucket.get(f"{at}.npz")), allow_pickle=False) as stored:
        arrays = dict(stored)
    boxes: dict[int, NDArray[np.float64]] | None = None
    if arrays["boxed"]:
        owners = arrays["owners"]
        boxes = {int(i): arrays["boxes"][owners == i] for i in np.unique(owners)}
    # An image that the screening could not use is in no class; in the screening half, it confirms nothing.
    screening = arrays["screening"] | (arrays["classes"] < 0)
    data = Explained(
        arrays["classes"],
        arrays["grids"].astype(np.float32),
        screening,
        boxes,
        labels=arrays.get("labels"),
        images=arrays["rows"],
        also=arrays.get("also"),
    )
    candidates = tuple(
        candidate_of(value, arrays.get(f"pattern_{number}"), arrays.get(f"patch_{number}"))
        for number, value in enumerate(described["candidates"])
    )
    classes, cells, _ = arrays["counts"].shape
    counts = PeakCounts(classes, cells, described["share_of_maximum"])
    counts.counts, counts.images = arrays["counts"], arrays["images"]
    properties = tuple(PropertyCandidate(**value) for value in described["properties"])
    return ScreenedJob(candidates, properties, Kept(arrays["rows"], data), counts, described["facts"])


def pixels_of(candidates: Sequence[Candidate]) -> dict[str, NDArray[Any]]:
    """The patterns and patches of candidates, named by their numbers."""
    named: dict[str, NDArray[Any] | None] = {
        f"pattern_{number}": c.pattern for number, c in enumerate(candidates)
    }
    named |= {f"patch_{number}": c.patch for number, c in enumerate(candidates)}
    return {name: pixels for name, pixels in named.items() if pixels is not None}


def put_json(bucket: Bucket, at: str, value: Mapping[str, Any]) -> None:
    """Store a JSON file."""
    bucket.put(at, canonical(value).encode(), content_type="application/json")


def candidate_json(candidate: Candidate) -> dict[str, Any]:
    """A candidate without its pattern and its patch."""
    pixels = ("pattern", "patch")
    value = {f.name: getattr(candidate, f.name) for f in fields(candidate) if f.name not in pixels}
    goes_with = [one._asdict() for one in candidate.goes_with]
    return value | {"place": place_json(candidate.place), "goes_with": goes_with}


def candidate_of(
    value: Mapping[str, Any], pattern: NDArray[np.float32] | None, patch: NDArray[np.uint8] | None
) -> Candidate:
    """The candidate from its JSON form and its pixels."""
    goes_with = tuple(Association(**one) for one in value.get("goes_with", ()))
    changed = {"place": place_of(value["place"]), "goes_with": goes_with}
    return Candidate(**{**value, **changed}, pattern=pattern, patch=patch)


def place_json(place: Place | None) -> list[float] | None:
    """[left, top, right, bottom] as shares of the network's view."""
    return None if place is None else [place.left, place.top, place.right, place.bottom]


def place_of(value: Sequence[float] | None) -> Place | None:
    """The place from its JSON form."""
    return None if value is None else Place(*value)


def settings_json(settings: AuditSettings) -> dict[str, Any]:
    """The settings as JSON values."""
    return asdict(settings) | {"scales": list(settings.scales)}


def settings_of(value: Mapping[str, Any]) -> AuditSettings:
    """The settings from their JSON form; what a later version added is left out."""
    known = {f.name for f in fields(AuditSettings)}
    values = {name: v for name, v in value.items() if name in known}
    return AuditSettings(**values | {"scales": tuple(value["scales"])})


def tested_json(plan: Plan, effects: Effects | None) -> dict[str, Any]:
    """A plan that was carried out, without its candidate; effects: None where too few images could be used."""
    return {
        "plan": {
            "removals": [
                [r.image, place_json(r.place), [place_json(c) for c in r.controls], place_json(r.beside)]
                for r in plan.removals
            ],
            "transplants": [
                [t.host, t.source, place_json(t.place), list(t.controls)] for t in plan.transplants
            ],
            "seen": plan.seen,
            "images": plan.images,
            "outside": plan.outside,
            "reused": plan.reused,
            "labelled": plan.labelled,
            "labelled_otherwise": plan.labelled_otherwise,
            "boxed": plan.boxed,
            "beside_boxes": plan.beside_boxes,
        },
        "effects": None if effects is None else _effects_json(effects),
    }


def tested_of(value: Mapping[str, Any], candidate: Candidate) -> tuple[Plan, Effects | None]:
    """The plan and what was measured, from their JSON form."""
    stored = value["plan"]
    plan = Plan(
        candidate,
        tuple(
            Removal(i, Place(*p), tuple(Place(*c) for c in cs), place_of(beside[0]) if beside else None)
            for i, p, cs, *beside in stored["removals"]
        ),
        tuple(Transplant(h, s, Place(*p), tuple(cs)) for h, s, p, cs in stored["transplants"]),
        seen=stored["seen"],
        images=stored["images"],
        outside=stored["outside"],
        reused=stored["reused"],
        labelled=stored.get("labelled", 0),
        labelled_otherwise=stored.get("labelled_otherwise", 0),
        boxed=stored.get("boxed", 0),
        beside_boxes=stored.get("beside_boxes", 0),
    )
    return plan, None if value["effects"] is None else _effects_of(value["effects"])


def renamed(plan: Plan, name: Callable[[int], int]) -> Plan:
    """A plan whose images have other numbers: rows of a manifest instead of places among those explained."""

    def of(image: int) -> int:
        return image if image == STATED else name(image)

    return replace(
        plan,
        removals=tuple(replace(r, image=of(r.image)) for r in plan.removals),
        transplants=tuple(
            replace(t, host=of(t.host), source=of(t.source), controls=tuple(map(of, t.controls)))
            for t in plan.transplants
        ),
        foreign=(),
        foreign_places=(),
    )


_ARRAYS = tuple(f.name for f in fields(Effects) if f.name != "same_pixels")


def _effects_json(effects: Effects) -> dict[str, Any]:
    arrays = {}
    for name in _ARRAYS:
        values = np.asarray(getattr(effects, name))
        numbers = values.astype(object)
        numbers[values != values] = None  # NaN: a control that is missing
        arrays[name] = {"shape": list(values.shape), "values": numbers.ravel().tolist()}
    same = effects.same_pixels
    return arrays | {"same_pixels": None if same is None else asdict(same)}


def _effects_of(value: Mapping[str, Any]) -> Effects:
    arrays: dict[str, Any] = {}
    for name in _ARRAYS:
        stored = value[name]
        kind = bool if name == "flips" else float
        numbers = [np.nan if v is None else v for v in stored["values"]]
        arrays[name] = np.array(numbers, kind).reshape(stored["shape"])
    same = value["same_pixels"]
    return Effects(**arrays, same_pixels=None if same is None else SamePixels(**same))
