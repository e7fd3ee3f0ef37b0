"""Maps the labels of a dataset to the classes of a model."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_INDEX = re.compile(r"([0-9]{1,9})(?:\.0+)?", re.ASCII)
_WORDNET = re.compile(r"(n\d{8})(?:[_\s-].*)?")


def _loose(name: str) -> str:
    return " ".join(re.sub(r"[_\-\s]+", " ", name).casefold().split())


@dataclass(frozen=True)
class ClassIndex:
    """Finds the classifier's index of a dataset's label.

    class_names: one per class, synonyms separated by commas ("tench, Tinca tinca"). wordnet_ids: one per class, or ().
    """

    class_names: Sequence[str]
    wordnet_ids: Sequence[str] = ()
    _wordnet: dict[str, int] = field(init=False, repr=False, compare=False)
    _exact: dict[str, int | None] = field(init=False, repr=False, compare=False)
    _tolerant: dict[str, int | None] = field(init=False, repr=False, compare=False)

    @classmethod
    def of(cls, class_names: Sequence[str], wordnet_ids: Sequence[str], classes: int) -> "ClassIndex":
        """The classes of a model. Without class names, labels can only be indices below `classes`."""
        return cls(class_names or [str(index) for index in range(classes)], wordnet_ids)

    def __post_init__(self) -> None:
        exact: dict[str, int | None] = {}
        tolerant: dict[str, int | None] = {}
        for index, name in enumerate(self.class_names):
            for word in {name, *name.split(",")}:
                for table, key in ((exact, word.strip()), (tolerant, _loose(word))):
                    if key:
                        table[key] = index if table.get(key, index) == index else None
        by_wordnet = {wordnet: index for index, wordnet in enumerate(self.wordnet_ids)}
        object.__setattr__(self, "_wordnet", by_wordnet)
        object.__setattr__(self, "_exact", exact)
        object.__setattr__(self, "_tolerant", tolerant)

    def find(self, label: str | int | None) -> int | None:
        """The index of the class that `label` means; None if it means no class or more than one.

        In this order: a WordNet id ("n01440764", also "n01440764_tench"); a name or synonym as written; the
        same ignoring case, underscores and hyphens; an index. A name comes before an index so that classes
        called "1" … "9", "0" are found by name. 3.0 is read as 3. "crane", bird and machine, is ambiguous: None.
        """
        if label is None or isinstance(label, bool):
            return None
        if isinstance(label, int):
            return label if 0 <= label < self.count else None
        text = label.strip()
        wordnet = _WORDNET.fullmatch(text)
        if wordnet and self.wordnet_ids:
            return self._wordnet.get(wordnet[1])
        for table, key in ((self._exact, text), (self._tolerant, _loose(text))):
            if key in table:
                return table[key]
        number = _INDEX.fullmatch(text)
        if number is None:
            return None
        return self.find(number[1] if "." in text else int(number[1]))

    def decision(self, label: str) -> str | None:
        """A sentence that says how an ambiguous label was read; None if the label has only one meaning."""
        text, number, meant = label.strip(), _INDEX.fullmatch(label.strip()), self.find(label)
        if number is None or meant is None:
            return None
        index = int(number[1])
        if meant != index and index < self.count:
            return f"the label {text} is read as the class called {text}, which has index {meant}"
        return "a label that is a whole number with a point (1.0) is read without it" if "." in text else None

    @property
    def count(self) -> int:
        return max(len(self.class_names), len(self.wordnet_ids))
