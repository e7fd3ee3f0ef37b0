"""A sample of a dataset: `?sample=200`, `?sample=20&per=class`, with another `seed`.

Which images are chosen depends on the seed and their keys alone, not on their order, so a dataset that has grown keeps
most of its sample. The options are part of the spec, and the digest of the listing is that of the sample.
"""

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gfi.datasets.errors import DatasetError
from gfi.datasets.listing import Fetched, Listed, Source
from gfi.datasets.notes import ListingNotes

OPTIONS = ("sample", "per", "seed")
LARGEST = 10_000_000


@dataclass(frozen=True)
class SampleOptions:
    """images: how many, of each class where `per` is class. The class of an image is its label, or its labels."""

    images: int
    per: Literal["class"] | None = None
    seed: int = 0

    @classmethod
    def taken_from(cls, options: dict[str, str]) -> "SampleOptions | None":
        """The options of a sample, which are removed from `options`; None without one. DatasetError if they are
        wrong."""
        taken = {name: options.pop(name) for name in OPTIONS if name in options}
        if not taken:
            return None
        per = taken.get("per")
        if per not in (None, "class"):
            raise DatasetError(f"the option per is class, not {per[:40]!r}")
        return cls(
            _number("sample", taken.get("sample"), 1),
            "class" if per else None,
            _number("seed", taken.get("seed", "0"), 0),
        )

    def to_spec(self, spec: str) -> str:
        """`spec` with these options at its end."""
        seed = f"&seed={self.seed}" if self.seed else ""
        return (
            f"{spec}{'&' if '?' in spec else '?'}sample={self.images}{'&per=class' if self.per else ''}{seed}"
        )


class Sampled:
    """The sample of a source; its kind is that of the source."""

    def __init__(self, source: Source, options: SampleOptions) -> None:
        self._source, self._options = source, options
        self.kind, self.spec = source.kind, options.to_spec(source.spec)

    def describe(self) -> str:
        of = " per class" if self._options.per else ""
        return f"a sample of {self._options.images:,}{of} from {self._source.describe()}"

    def list(self, notes: ListingNotes | None = None) -> Iterator[Listed]:
        """The sampled images in the order of the source. The whole listing is read; the sample is held in memory."""
        notes = ListingNotes() if notes is None else notes
        kept: dict[object, list[tuple[int, int, Listed]]] = {}
        count = 0
        for place, listed in enumerate(self._source.list(notes)):
            count += 1
            group = (listed.label, listed.labels) if self._options.per else None
            heap = kept.setdefault(group, [])
            entry = (-self._draw(listed.key), -place, listed)
            if len(heap) < self._options.images:
                heapq.heappush(heap, entry)
            elif entry[:2] > heap[0][:2]:
                heapq.heapreplace(heap, entry)
        drawn = (entry for heap in kept.values() for entry in heap)
        chosen = [listed for _, _, listed in sorted(drawn, key=lambda entry: -entry[1])]
        notes.say(f"a sample of {len(chosen):,} of {count:,} images (seed {self._options.seed})")
        yield from chosen

    def _draw(self, key: str) -> int:
        drawn = hashlib.blake2b(f"{self._options.seed} {key}".encode(), digest_size=8)
        return int.from_bytes(drawn.digest(), "big")

    def fetch(self, key: str, version: str | None = None) -> Fetched:
        return self._source.fetch(key, version)


def _number(name: str, text: str | None, least: int) -> int:
    if text is None or not text.isdecimal() or not least <= int(text) <= LARGEST:
        raise DatasetError(
            f"the option {name} is a whole number from {least:,} to {LARGEST:,}, not {(text or '')[:40]!r}"
        )
    return int(text)
