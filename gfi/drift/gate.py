"""The gate file: the limits for a release, or for every night.

    [moved]                      # masks that moved, see `gfi.drift.verdicts`
    max_moved = 0.10
    alpha = 0.05
    min_images = 50              # a class with fewer masks, or a limit with fewer images, does not pass
    classes = "all"              # or "none", or a list of class names that must not move
    pooled = true
    max_flipped = 0.25           # images of one class that may be predicted otherwise, beyond what the floor's runs do

    [floor]
    level = "other_training"
    min_runs = 3
    jobs = []                    # other training runs, when --floor names none

    [limits]                     # the most that a mean may worsen, or change if neither direction is better
    flips = 0.02                 # images that are predicted as another class
    energy_in_box = 0.05

    [nightly]                    # spread alpha over a year
    comparisons_per_year = 365

    [audit]
    no_new_shortcuts = true      # needs an audit of each job

    [[waivers]]
    class = "husky"              # or limit = "flips"
    owner = "anna@example.org"
    until = 2027-01-31           # the last day on which it holds
    reason = "new collars, see ticket 512"

An unknown key is an error that names the nearest known one.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gfi.domain.metrics import COLUMNS
from gfi.drift.errors import DriftError
from gfi.drift.floors import FloorLevel
from gfi.drift.spending import Spending
from gfi.drift.verdicts import ALPHA, MAX_FLIPPED, MAX_MOVED, MIN_IMAGES, Tolerance

FLIPS = "flips"
GATE = "gate.toml"
"""The name of a gate file in errors, where none is given."""
LIMITS = (FLIPS, *COLUMNS)
"""What `[limits]` may name: flips, and every number of a result."""

Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class MovedSpec(_Section):
    """`[moved]`: how many masks may move, and of which classes."""

    max_moved: Share = MAX_MOVED
    alpha: Share = ALPHA
    min_images: Annotated[int, Field(ge=1)] = MIN_IMAGES
    classes: Literal["all", "none"] | list[str] = "all"
    pooled: bool = True
    max_flipped: Share = MAX_FLIPPED


class FloorSpec(_Section):
    """`[floor]`: the requirements for the floor. jobs: the jobs of the floor, if the command names none."""

    level: Literal["same_profile", "other_profile", "other_training"] = "other_training"
    min_runs: Annotated[int, Field(ge=2)] = 3
    jobs: list[str] = []


class NightlySpec(_Section):
    """`[nightly]`: alpha is the probability of a false fail in a year of so many comparisons."""

    comparisons_per_year: Annotated[int, Field(ge=1, le=100_000)] = 365


class AuditSpec(_Section):
    """`[audit]`: the requirements for the audits of the two jobs."""

    no_new_shortcuts: bool = False


class Waiver(_Section):
    """`[[waivers]]`: a fail of one class or one limit that a named person accepts until a date."""

    class_: Annotated[str | None, Field(alias="class")] = None
    limit: str | None = None
    owner: Annotated[str, Field(min_length=1)]
    until: date
    reason: str = ""

    @model_validator(mode="after")
    def _names_one(self) -> "Waiver":
        if (self.class_ is None) == (self.limit is None):
            raise ValueError("a waiver names either a class or a limit")
        return self

    def sentence(self, today: date) -> str:
        """The owner of the waiver, and its last day."""
        ended = self.until < today
        why = f": {self.reason}" if self.reason else ""
        return f"waiver of {self.owner} {'ended on' if ended else 'until'} {self.until.isoformat()}{why}"


class GateSpec(_Section):
    """A gate file, checked."""

    moved: MovedSpec = MovedSpec()
    floor: FloorSpec = FloorSpec()
    limits: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}
    nightly: NightlySpec | None = None
    audit: AuditSpec = AuditSpec()
    waivers: list[Waiver] = []

    @property
    def level(self) -> FloorLevel:
        """The level that the floor must have."""
        return FloorLevel(self.floor.level)

    def tolerance(self, look: int = 1) -> Tolerance:
        """The tolerance for verdicts. look: the number of the comparison in the year, for a nightly gate."""
        moved = self.moved
        alpha = moved.alpha if self.nightly is None else self.spending.level(look) / self.tests
        return Tolerance(moved.max_moved, alpha, moved.min_images, moved.alpha)

    @property
    def tests(self) -> int:
        """How many tests may fail a comparison by chance: of moved masks and of flips in all watched classes, of all
        classes together, and of each limit; at least 1. A nightly gate shares the level of a night among them."""
        return max(1, 2 * self.watches_classes + self.moved.pooled + len(self.limits))

    @property
    def watches_classes(self) -> bool:
        """Whether single classes are judged."""
        return self.moved.classes not in ("none", [])

    @property
    def spending(self) -> Spending:
        """How a nightly gate distributes its significance level over the year."""
        return Spending(self.moved.alpha, (self.nightly or NightlySpec()).comparisons_per_year)


def parse_gate(text: str, name: str = GATE) -> GateSpec:
    """The gate of a TOML text. DriftError names the file, the place, and the nearest key of an unknown one."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DriftError(f"{name} is not TOML: {error}") from None
    try:
        spec = GateSpec.model_validate(values)
    except ValidationError as error:
        raise DriftError(f"{name}: {next(_problems(error))}") from None
    for limit in (*spec.limits, *(waiver.limit for waiver in spec.waivers if waiver.limit is not None)):
        if limit not in LIMITS:
            raise DriftError(f"{name}: [limits] has no {limit!r}{_nearest(limit, LIMITS)}")
    if not (spec.moved.pooled or spec.watches_classes or spec.limits or spec.audit.no_new_shortcuts):
        raise DriftError(
            f"{name} checks nothing, so that everything would pass: set [moved] classes or pooled, [limits], or"
            " [audit] no_new_shortcuts"
        )
    return spec


def check_classes(spec: GateSpec, names: Mapping[int, str], file: str = GATE) -> None:
    """DriftError when the gate names a class that the model does not have."""
    known = set(names.values()) | {str(index) for index in names}
    watched = spec.moved.classes if isinstance(spec.moved.classes, list) else []
    for name in (*watched, *(waiver.class_ for waiver in spec.waivers if waiver.class_ is not None)):
        if known and name not in known:
            raise DriftError(f"{file}: the model has no class {name!r}{_nearest(name, sorted(known))}")


def _problems(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        place = [piece for piece in problem["loc"] if not str(piece).startswith(("literal[", "list["))]
        if problem["type"] == "extra_forbidden":
            *path, key = place
            known = _keys(path)
            yield f"{_section(path)} has no key {str(key)!r}{_nearest(str(key), known)}"
        elif problem["type"] == "missing":
            yield f"{_section(place[:-1])} needs {place[-1]}"
        else:
            message = problem["msg"].removeprefix("Value error, ")
            last = place[-1] if place else ""
            key = f"number {last + 1}" if isinstance(last, int) else str(last)  # the second of the waivers
            yield f"{_section(place[:-1])} {key}: {message[:1].lower()}{message[1:]}"


def _section(path: list[Any]) -> str:
    names = [str(piece) for piece in path if not isinstance(piece, int)]
    if not names:
        return "the file"
    return f"[[{names[0]}]]" if names[0] == "waivers" else f"[{'.'.join(names)}]"


def _keys(path: list[Any]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {
        "moved": MovedSpec,
        "floor": FloorSpec,
        "nightly": NightlySpec,
        "audit": AuditSpec,
        "waivers": Waiver,
    }
    model = sections.get(str(path[0])) if path else GateSpec
    return [field.alias or name for name, field in (model or GateSpec).model_fields.items()]


def _nearest(word: str, known: "tuple[str, ...] | list[str]") -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; the nearest is {close[0]!r}" if close else f"; there are {', '.join(known[:20])}"
