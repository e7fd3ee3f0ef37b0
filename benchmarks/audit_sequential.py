"""The sequential audit on simulated streams: `make bench-audit-sequential`.

Ten classes of 2,000 images. A first sample of 40 images of each class fixes one candidate a class; then 20 images a
class and instalment test it, until every class is settled or the dataset is done. Of each image it is drawn whether the
candidate is seen in it, and then its two effects beyond the controls:

    nothing     mean 0, spread .08: filling or pasting anything changes a little
    skewed      mean 0: .95 in one image of twenty, else −.05
    boundary    1 in one image of ten, else 0: both means are exactly `least_effect`, the hardest case of "no finding"
    margin      1 in one image of five, else 0: both means are exactly `margin`, the hardest case of "nothing there"
    weak        means .30, spread .30
    strong      as the planted marks of `benchmarks.audit`: removal .84, pasting .75 in nine images of ten
    half        removal .84, and pasting as `boundary`: the harder "no finding" of the two, since one effect is certain

Audits that go on, one from the other (`CHAINS`): each begins with new candidates, one a class, which share what
candidates settled as "nothing there" left; what was open goes on with its evidence. Each ends when its candidates are
settled or its images are used up. Their effects are far from the worst that evidence may do, so fair gamblers are
simulated, too (`gamblers`): each plays until its account confirms it or half of its wealth is lost, and is settled
then; each audit has nine times as many new ones as all before it. `counted alike` is the rule that is not used: one
e-BH over the e-values of all candidates of all audits. `begun anew` forgets, and tests the planted candidate on each
audit's images alone.

Writes benchmarks/results/audit_sequential.json, a row a scenario: how many streams have a false confirmation, how many
candidates with an effect were confirmed or called "nothing there", and the share of images that were not explained. The
bounds are exact one-sided 95 % bounds (Clopper and Pearson).

    python -m benchmarks.audit_sequential [--streams 400] [--chains 1000] [--part scenarios|chains]

With --part the rows of the other part stay as they are.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from gfi.audit.sequential import Evidence, SequentialSettings, Settled, e_bh, next_images, shares_with_new

RESULTS = Path(__file__).parent / "results" / "audit_sequential.json"
CLASSES, IMAGES, SAMPLE = 10, 2000, 40
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]


def _normal(mean: float, spread: float) -> Draw:
    return lambda draw, n: np.clip(draw.normal(mean, spread, n), -1, 1)


def _coin(share: float, high: float, low: float) -> Draw:
    return lambda draw, n: np.where(draw.random(n) < share, high, low)


def _pasted(draw: np.random.Generator, n: int) -> NDArray[np.float64]:
    return np.where(draw.random(n) < 0.9, np.clip(draw.normal(0.75, 0.15, n), -1, 1), 0.0)


EFFECTS: dict[str, tuple[Draw, Draw]] = {
    "nothing": (_normal(0.0, 0.08), _normal(0.0, 0.08)),
    "skewed": (_coin(0.05, 0.95, -0.05), _coin(0.05, 0.95, -0.05)),
    "boundary": (_coin(0.10, 1.0, 0.0), _coin(0.10, 1.0, 0.0)),
    "margin": (_coin(0.20, 1.0, 0.0), _coin(0.20, 1.0, 0.0)),
    "weak": (_normal(0.30, 0.30), _normal(0.30, 0.30)),
    "strong": (_normal(0.84, 0.15), _pasted),
    "half": (_normal(0.84, 0.15), _coin(0.10, 1.0, 0.0)),
}
# scenario: (effects of the first candidates, how many, share of images they are seen in); the others are `nothing`.
SCENARIOS: dict[str, tuple[str, int, float]] = {
    "clean": ("nothing", 10, 0.3),
    "clean, skewed effects": ("skewed", 10, 0.3),
    "all at the boundary": ("boundary", 10, 0.3),
    "all at the margin": ("margin", 10, 0.3),
    "mark in 50 % of one class": ("strong", 1, 0.5),
    "mark in 30 % of one class": ("strong", 1, 0.3),
    "marks in 30 % of three classes": ("strong", 3, 0.3),
    "weak mark in 30 % of one class": ("weak", 1, 0.3),
}


@dataclass(frozen=True)
class Chain:
    """Audits that go on from each other. classes: each proposes one candidate an audit. images: of a class and audit.

    again: whether the first audit's candidates stay the only ones; else each audit proposes new ones.
    """

    effect: str
    classes: int
    audits: int
    images: int
    share: float = 1.0
    again: bool = False


@dataclass
class Tested:
    """A candidate of a chain: its share, and its effects so far."""

    class_index: int
    share: float = 0.0
    values: list[NDArray[np.float64]] = field(default_factory=lambda: [np.zeros(0), np.zeros(0)])


CHAINS = {
    "five audits of one class, half an effect": Chain("half", 1, 5, 2000),
    "three audits of ten classes, half an effect": Chain("half", 10, 3, 2000),
    "weak mark in 30 % of one class, 60 images an audit": Chain("weak", 1, 5, 60, 0.3, again=True),
}


RULES = ("shares", "counted alike", "begun anew")


def chain(
    kind: Chain, draw: np.random.Generator, settings: SequentialSettings, rule: str = RULES[0]
) -> list[int]:
    """The audits of a chain: how many candidates each says are confirmed."""
    effects = EFFECTS[kind.effect]
    known: list[Tested] = []
    left, ever, out = 1.0, 0, []
    for number in range(kind.audits):
        if rule == "begun anew":
            known, left = [], 1.0
        new = kind.classes if not number or not kind.again or not known else 0
        ever += new
        shares = shares_with_new([one.share for one in known], left, new)
        known = known + [Tested(k) for k in range(new)]
        if rule == "counted alike":
            shares = np.full(len(known), 1 / ever)
        evidence = Evidence(np.array([one.class_index for one in known], np.int64), settings, shares)
        for n, one in enumerate(known):
            one.share = float(shares[n])
            evidence.add(n, *one.values)
        for start in range(0, kind.images, settings.instalment):
            is_open = [n for n, state in enumerate(evidence.settled()) if state is Settled.OPEN]
            drawn = min(settings.instalment, kind.images - start)
            for n in is_open:
                seen = int(draw.binomial(drawn, kind.share))
                more = [effect(draw, seen) for effect in effects]
                evidence.add(n, *more)
                known[n].values = [np.concatenate(both) for both in zip(known[n].values, more, strict=True)]
            if not is_open:
                break
        states = evidence.settled()
        left = (0.0 if new else left) + evidence.left_over()
        known = [one for one, state in zip(known, states, strict=True) if state is not Settled.NOTHING]
        out.append(states.count(Settled.CONFIRMED))
    return out


GAMBLERS = (1, 9, 90, 900)
"""New candidates of each audit."""


def gamblers(draw: np.random.Generator, settings: SequentialSettings, rule: str = RULES[0]) -> list[int]:
    """A chain of audits whose candidates are fair gamblers: how many each says are confirmed."""
    left, ever, shares, wealth = 1.0, 0, np.zeros(0), np.zeros(0)
    out = []
    for new in GAMBLERS:
        ever += new
        shares = shares_with_new(shares.tolist(), left, new)
        if rule == "counted alike":
            shares = np.full(len(shares), 1 / ever)
        # A fair game between a half and `wanted` ends above with this probability, however it is played.
        wanted = 1 / (settings.level * np.maximum(shares[-new:], 1e-300))  # no share: never
        wins = draw.random(new) < 0.5 / (wanted - 0.5)
        wealth = np.concatenate([wealth, np.where(wins, wanted * (1 + 1e-9), 0.5)])
        out.append(int(e_bh(shares * wealth, settings.level).sum()))
        lost = wealth == 0.5
        left = float((shares * wealth)[lost].sum())
        shares, wealth = shares[~lost], wealth[~lost]
    return out


def gamblers_row(rule: str, chains: int, settings: SequentialSettings) -> dict[str, Any]:
    """All chains of fair gamblers, as a row: every confirmation is false."""
    draw = np.random.default_rng(18)
    runs = [gamblers(draw, settings, rule) for _ in range(chains)]
    said = sum(any(run) for run in runs)
    return {
        "chain": f"fair gamblers, {', '.join(map(str, GAMBLERS))} new ones an audit",
        "rule": rule,
        "chains": chains,
        "audits": len(GAMBLERS),
        "confirmed": None,
        "false_confirmed": said,
        "false_confirmed_share": round(said / chains, 4),
        "by_audit": [sum(run[n] > 0 for run in runs) for n in range(len(GAMBLERS))],
    }


def chain_row(name: str, rule: str, chains: int, settings: SequentialSettings) -> dict[str, Any]:
    """All chains of a kind, as a row: how many said at any of their ends that something is confirmed."""
    kind, number = CHAINS[name], list(CHAINS).index(name)
    runs = [chain(kind, np.random.default_rng([17, number, i]), settings, rule) for i in range(chains)]
    said = sum(any(run) for run in runs)
    true = kind.effect == "weak"
    return {
        "chain": name,
        "rule": rule,
        "chains": chains,
        "audits": kind.audits,
        "confirmed": said if true else None,
        "false_confirmed": None if true else said,
        "false_confirmed_share": None if true else round(said / chains, 4),
        "by_audit": [sum(run[n] > 0 for run in runs) for n in range(kind.audits)],
    }


def stream(scenario: str, draw: np.random.Generator, settings: SequentialSettings) -> dict[str, Any]:
    """One audit: what became of the planted and of the other candidates, and the share of images explained."""
    effect, planted, share = SCENARIOS[scenario]
    classes = np.repeat(np.arange(CLASSES), IMAGES)
    order = draw.permutation(len(classes))
    used = np.zeros(len(classes), bool)
    used[next_images(classes, order, used, range(CLASSES), SAMPLE)] = True
    evidence = Evidence(np.arange(CLASSES), settings)
    while len(wanted := evidence.open_classes()):
        chosen = next_images(classes, order, used, wanted, settings.instalment)
        if not len(chosen):
            break
        used[chosen] = True
        for k in wanted.tolist():
            drawn = int((classes[chosen] == k).sum())
            seen = int(draw.binomial(drawn, share if k < planted else 0.3))
            removal, pasting = EFFECTS[effect if k < planted else "nothing"]
            evidence.add(k, removal(draw, seen), pasting(draw, seen))
    states = evidence.settled()
    return {
        "planted": [str(state) for state in states[:planted]],
        "others": [str(state) for state in states[planted:]],
        "explained": float(used.mean()),
    }


def row_of(scenario: str, streams: int, settings: SequentialSettings) -> dict[str, Any]:
    """All streams of a scenario, as a row."""
    effect, _, share = SCENARIOS[scenario]
    true = effect in ("strong", "weak")
    number = list(SCENARIOS).index(scenario)
    runs = [stream(scenario, np.random.default_rng([16, number, i]), settings) for i in range(streams)]
    nothings = [run["others"] + ([] if true else run["planted"]) for run in runs]
    false = sum(Settled.CONFIRMED in states for states in nothings)
    real = [state for run in runs for state in run["planted"]] if true or effect == "margin" else []
    missed = sum(state == Settled.NOTHING for state in real)
    explained = np.array([run["explained"] for run in runs])
    return {
        "scenario": scenario,
        "streams": streams,
        "share": share,
        "false_confirmed": None if effect == "margin" else false,
        "false_confirmed_bound": None if effect == "margin" else round(_bound(false, streams), 4),
        "candidates_with_effect": len(real),
        "confirmed": sum(state == Settled.CONFIRMED for state in real),
        "false_nothing": missed,
        "false_nothing_bound": round(_bound(missed, len(real)), 4) if real else None,
        "open": sum(state == Settled.OPEN for run in runs for state in run["planted"] + run["others"]),
        "images_saved_mean": round(float(1 - explained.mean()), 4),
        "images_saved_worst": round(float(1 - explained.max()), 4),
    }


def _bound(count: int, of: int) -> float:
    return 1.0 if count == of else float(beta.ppf(0.95, count + 1, of - count))


def main() -> None:
    """Simulate and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=400)
    parser.add_argument("--chains", type=int, default=1000)
    parser.add_argument("--part", choices=("scenarios", "chains"))
    options = parser.parse_args()
    settings = SequentialSettings()
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    rows, chains = [], []
    for scenario in SCENARIOS if options.part != "chains" else ():
        rows.append(row_of(scenario, options.streams, settings))
        print(rows[-1], flush=True)
    for rule in RULES[:2] if options.part != "scenarios" else ():
        chains.append(gamblers_row(rule, 20 * options.chains, settings))
        print(chains[-1], flush=True)
    for name, kind in CHAINS.items() if options.part != "scenarios" else ():
        for rule in RULES:
            if (rule == "begun anew") == kind.again or rule == "shares":
                chains.append(chain_row(name, rule, options.chains, settings))
                print(chains[-1], flush=True)
    written = {
        "settings": vars(settings),
        "rows": rows or known.get("rows", []),
        "chains": chains or known.get("chains", []),
    }
    RESULTS.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
