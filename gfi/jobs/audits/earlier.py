"""What an audit until settled goes on from: the candidates of an earlier audit, with what was measured on them.

    earlier.json   the candidates, their shares of the level, what was measured, and what is left for new candidates
    earlier.npz    their pixels, and digests of the keys of the images that earlier audits used

Both are written when the job of the later audit is planned, and follow from the files of the earlier audit alone, which
has ended: every attempt writes the same. Images are told apart by their keys, since each listing numbers them anew.
"""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfi.audit.candidates import Candidate, alike
from gfi.audit.sequential import Evidence, SequentialSettings, shares_with_new
from gfi.audit.settling import Measured, evidence_of, joined
from gfi.audit.split import keyed_order
from gfi.datasets.manifest import Manifest
from gfi.jobs.audits.files import (
    candidate_json,
    candidate_of,
    key,
    pixels_of,
    put_json,
    renamed,
    tested_json,
    tested_of,
)
from gfi.store.ledger import UNTIL_SETTLED
from gfi.store.objects import Bucket
from gfi.store.queries import Audit

GONE = -2
"""The number of an image of an earlier audit that the listing does not have any more."""
_DIGESTS = "images of audits"


@dataclass(frozen=True)
class Earlier:
    """What an audit goes on from, on its own listing. Without an earlier audit: nothing, and the whole level is left.

    candidates: those that the earlier audit confirmed or left open; they come first among those of the audit. shares,
    measured: of each; images are rows of the listing, or GONE. left: the share of the level for new candidates.
    nothing: candidates that the earlier audit settled as having nothing there. digests: of the keys of all images that
    earlier audits used, ascending; used (N,): which rows of the listing these are.
    """

    digests: NDArray[np.uint64]
    used: NDArray[np.bool_]
    audit: str | None = None
    candidates: tuple[Candidate, ...] = ()
    shares: tuple[float, ...] = ()
    measured: tuple[Measured, ...] = ()
    left: float = 1.0
    nothing: int = 0

    @staticmethod
    def none(images: int) -> "Earlier":
        """Of an audit that begins anew. images: of its listing."""
        return Earlier(np.zeros(0, np.uint64), np.zeros(images, bool))

    def with_new(self, proposed: Sequence[Candidate]) -> tuple[tuple[Candidate, ...], int]:
        """The candidates of the audit, and how many of those proposed no share is left for.

        What is proposed again goes on as the candidate that it is.
        """
        new = [c for c in proposed if not any(alike(c, known) for known in self.candidates)]
        return (*self.candidates, *(new if self.left > 0 else [])), 0 if self.left > 0 else len(new)

    def evidence(self, candidates: Sequence[Candidate], settings: SequentialSettings) -> Evidence:
        """The evidence with which an audit begins. candidates: all of its own, those that go on first."""
        shares = shares_with_new(self.shares, self.left, len(candidates) - len(self.candidates))
        classes = np.array([c.class_index for c in candidates], np.int64)
        return evidence_of(Evidence(classes, settings, shares), [self.measured])

    def joint(
        self, candidates: Sequence[Candidate], measured: Sequence[Sequence[Measured]]
    ) -> list[Measured]:
        """What was measured on each candidate, by earlier audits and by the instalments of this one."""
        before = [[one] for one in self.measured] + [[]] * (len(candidates) - len(self.candidates))
        return [
            joined([*known, *(one[n] for one in measured)], candidate)
            for n, (known, candidate) in enumerate(zip(before, candidates, strict=True))
        ]


def digests_of(keys: Iterable[str]) -> NDArray[np.uint64]:
    """A number of each image (N,): two images with one number would be taken for the same, and one left out."""
    return keyed_order(keys, _DIGESTS)


def after(audit: Audit) -> str | None:
    """The id of the audit that an audit goes on from."""
    found = (audit.options.get(UNTIL_SETTLED) or {}).get("after")
    return None if found is None else str(found)


def save_earlier(
    bucket: Bucket,
    audit: Audit,
    candidates: Sequence[Candidate],
    shares: Sequence[float],
    measured: Sequence[Measured],
    keys: dict[int, str],
    digests: NDArray[np.uint64],
    left: float,
    nothing: int,
) -> None:
    """Store what `audit` goes on from. keys: of the images of `measured` that are shown, by their number there."""
    shown = sorted({image for plan, _ in measured for image in plan.used if image in keys})
    places = {image: place for place, image in enumerate(shown)}
    arrays: dict[str, NDArray[Any]] = {"digests": digests, **pixels_of(candidates)}
    body = io.BytesIO()
    np.savez_compressed(body, allow_pickle=False, **arrays)
    bucket.put(key(audit.job_id, audit.id, "earlier.npz"), body.getvalue())
    described = {
        "version": 1,
        "audit": after(audit),
        "candidates": [candidate_json(c) for c in candidates],
        "shares": list(shares),
        "left": left,
        "nothing": nothing,
        "keys": [keys[image] for image in shown],
        "measured": [
            tested_json(renamed(plan, lambda image: places.get(image, GONE)), effects)
            for plan, effects in measured
        ],
    }
    put_json(bucket, key(audit.job_id, audit.id, "earlier.json"), described)


def load_earlier(bucket: Bucket, audit: Audit, manifest: Manifest) -> Earlier:
    """What `audit` goes on from. manifest: the whole listing of its job. Raises NotFound before it was stored."""
    if after(audit) is None:
        return Earlier.none(manifest.count)
    described = json.loads(bucket.get(key(audit.job_id, audit.id, "earlier.json")))
    stored = io.BytesIO(bucket.get(key(audit.job_id, audit.id, "earlier.npz")))
    with np.load(stored, allow_pickle=False) as file:
        arrays = dict(file)
    used, rows = _on(manifest, arrays["digests"], described["keys"])
    candidates = tuple(
        candidate_of(value, arrays.get(f"pattern_{n}"), arrays.get(f"patch_{n}"))
        for n, value in enumerate(described["candidates"])
    )

    def row(place: int) -> int:
        return rows[place] if place >= 0 else place

    def on_listing(value: dict[str, Any], candidate: Candidate) -> Measured:
        plan, effects = tested_of(value, candidate)
        return renamed(plan, row), effects

    measured = (
        on_listing(value, candidate)
        for value, candidate in zip(described["measured"], candidates, strict=True)
    )
    return Earlier(
        arrays["digests"],
        used,
        described["audit"],
        candidates,
        tuple(described["shares"]),
        tuple(measured),
        described["left"],
        described["nothing"],
    )


def _on(
    manifest: Manifest, digests: NDArray[np.uint64], shown: Sequence[str]
) -> tuple[NDArray[np.bool_], list[int]]:
    """Which images of a listing were used, and the rows of some keys, GONE where it has not got them."""
    used, at = [np.zeros(0, bool)], {name: place for place, name in enumerate(shown)}
    rows, start = [GONE] * len(shown), 0
    for table in manifest.tables(["key"]):
        keys = table.column("key").to_pylist()
        used.append(np.isin(digests_of(keys), digests))
        for offset in np.flatnonzero(used[-1]).tolist():
            if keys[offset] in at:
                rows[at[keys[offset]]] = start + offset
        start += len(keys)
    return np.concatenate(used), rows
