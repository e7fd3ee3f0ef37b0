"""Images end when their mask has settled and other images take their slots, without any change of masks."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from gfi.domain.errors import Stopped
from gfi.domain.explanation import Explanation, StepProgress
from gfi.domain.presets import recipe
from gfi.domain.recipes import Recipe
from gfi.domain.statuses import ImageStatus
from gfi.method import classifiers
from gfi.method.engine import Engine
from gfi.method.fills import make_fill
from gfi.method.inversion import Inversion
from gfi.method.item import Item
from gfi.method.preprocess import Prepared
from tests.unit.method.networks import Small, smooth_images

SIZE, BATCH, COUNT = 48, 4, 13


BOX = (0.0, 0.0, float(SIZE), float(SIZE))


RECIPES = {
    "tuned": recipe("tuned", levels=[0.15, 0.5], steps_class=24, halve_every=16, check_every=4, settled=0.03),
    "bank": recipe(
        "tuned",
        levels=[0.15, 0.5],
        second_fill="none",
        bank="leaves",
        steps_class=24,
        halve_every=16,
        check_every=4,
        settled=0.03,
    ),
    # Two stages, Adam's state and the penalty: the whole state of a row.
    "paper": recipe("paper", steps_inversion=3, steps_class=15, check_every=2, settled=0.017),
    "released": recipe("released", steps_inversion=3, steps_class=15, check_every=2, settled=0.01),
}


def engine(chosen: Recipe) -> Engine:
    return Engine(classifiers.from_module(Small(), (SIZE, SIZE)), chosen, batch=BATCH)


def items(count: int = COUNT) -> list[Item]:
    images = smooth_images(count, SIZE).float()
    return [Item(i, Prepared(image, None, (SIZE, SIZE), BOX)) for i, image in enumerate(images)]


def literally(e: Engine, item: Item) -> tuple[np.ndarray, int, bool]:
    """The rule of `Recipe.settled` for one image alone: its mask, its steps and whether the mask had settled."""
    chosen = e.recipe
    images = item.prepared.image.expand(BATCH, -1, -1, -1).contiguous()
    filled = make_fill(item.prepared.image, e.classifier.preprocess, chosen).expand_as(images)
    second = None
    if chosen.second_fill != "none":
        made = make_fill(item.prepared.image, e.classifier.preprocess, chosen, chosen.second_fill)
        second = made.expand_as(images)
    rows = Inversion(e.network, chosen, BATCH)
    rows.start(images, filled, [None] * BATCH, second)
    before, settled = None, True
    for step in range(1, chosen.steps + 1):
        rows.step()
        in_stage_2 = step - chosen.steps_inversion
        if in_stage_2 <= 0 or (in_stage_2 % chosen.check_every and step < chosen.steps):
            continue
        grid = rows.check_settled()[0][0]
        if before is not None:
            settled = bool((grid - before).abs().mean() <= chosen.settled)
            if settled:
                break
        before = grid
    return rows.outcome().grid[0].numpy(), step, settled


@pytest.mark.parametrize("preset", RECIPES)
def test_every_mask_is_the_one_that_the_rule_gives_alone_bit_for_bit(preset: str) -> None:
    e = engine(RECIPES[preset])
    explanations = list(e.explain_many(items()))
    assert sorted(x.index for x in explanations) == list(range(COUNT))
    iterations = set()
    for explanation, item in zip(sorted(explanations, key=lambda x: x.index), items(), strict=True):
        grid, steps, settled = literally(e, item)
        assert explanation.iterations == steps
        assert (explanation.status == ImageStatus.NOT_SETTLED) <= (not settled)
        if explanation.status == ImageStatus.OK:
            assert settled
        assert np.array_equal(explanation.grid, grid)
        iterations.add(steps)
    assert len(iterations) > 2, "all left together: nothing was refilled"


def test_an_image_that_settles_leaves_and_the_next_takes_its_slot() -> None:
    e = engine(RECIPES["tuned"])
    told: list[StepProgress] = []
    explanations = list(e.explain_many(items(), progress=told.append))
    assert [x.index for x in explanations] != sorted(x.index for x in explanations)
    steps = sum(x.iterations for x in explanations)
    assert told[-1].step < steps / BATCH * 1.5, "slots stood empty"
    assert all(len(p.indices_in_flight) <= 2 * BATCH for p in told)
    again = [x.index for x in e.explain_many(items())]
    assert again == [x.index for x in explanations], "the order follows from the images"


def test_the_stream_is_pulled_no_further_than_a_batch_ahead() -> None:
    pulled, left = 0, 0

    def stream():
        nonlocal pulled
        for item in items():
            pulled += 1
            assert pulled - left <= 2 * BATCH
            yield item

    for _ in engine(RECIPES["tuned"]).explain_many(stream()):
        left += 1
    assert left == COUNT


def test_without_the_rule_all_run_the_full_schedule_in_the_order_of_the_stream() -> None:
    full = replace(RECIPES["tuned"], check_every=0)
    explanations = list(engine(full).explain_many(items()))
    assert [x.index for x in explanations] == list(range(COUNT))
    assert {x.iterations for x in explanations} == {full.steps}


def test_a_stop_keeps_the_explanations_yielded_before() -> None:
    stop = threading.Event()
    done: list[Explanation] = []

    def take() -> None:
        for explanation in engine(RECIPES["tuned"]).explain_many(items(), stop=stop):
            done.append(explanation)
            if len(done) == 2:
                stop.set()

    with pytest.raises(Stopped):
        take()
    assert len(done) >= 2


def test_rows_move_only_between_batches_past_stage_one() -> None:
    e = engine(RECIPES["paper"])
    images = smooth_images(BATCH, SIZE).float()
    two = [Inversion(e.network, e.recipe, BATCH) for _ in range(2)]
    for rows in two:
        rows.start(images, torch.zeros_like(images), [None] * BATCH)
    with pytest.raises(ValueError, match="only in stage 2"):
        two[0].copy_row(0, two[1], 1)


def test_a_mask_that_still_moves_when_its_steps_end_is_not_settled() -> None:
    restless = replace(RECIPES["tuned"], settled=0.0)  # no mask stays exactly the same
    statuses = {x.status for x in engine(restless).explain_many(items())}
    assert ImageStatus.NOT_SETTLED in statuses
    assert ImageStatus.OK not in statuses


def test_without_two_checks_to_compare_no_mask_is_not_settled() -> None:
    once = replace(RECIPES["tuned"], settled=0.0, steps_class=RECIPES["tuned"].check_every)
    assert ImageStatus.NOT_SETTLED not in {x.status for x in engine(once).explain_many(items())}
