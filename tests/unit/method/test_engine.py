"""The engine's stream: order, laziness, progress, stopping, memory and refusals."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from gfi.domain.errors import MethodError, OutOfMemory, Stopped
from gfi.domain.explanation import StepProgress
from gfi.domain.layer_names import Layers
from gfi.domain.presets import PAPER, RELEASED, recipe
from gfi.method import classifiers
from gfi.method.engine import Engine
from gfi.method.inversion import Inversion
from gfi.method.item import Item
from gfi.method.preprocess import Prepared
from tests.unit.method.networks import Small, smooth_images

QUICK = recipe("paper", steps_inversion=2, steps_class=3)


def items(count: int, size: int = 32, **fields: object) -> list[Item]:
    images = smooth_images(count, size).float()
    box = (0.0, 0.0, float(size), float(size))
    return [Item(i, Prepared(image, None, (size, size), box), **fields) for i, image in enumerate(images)]  # type: ignore[arg-type]


def engine(net: torch.nn.Module | None = None, batch: int = 4, **options: object) -> Engine:
    return Engine(classifiers.from_module(net or Small(), (32, 32)), QUICK, batch=batch, **options)  # type: ignore[arg-type]


def test_explanations_come_in_order_and_the_stream_is_pulled_a_batch_at_a_time() -> None:
    pulled = []

    def stream() -> Iterator[Item]:
        for item in items(7):
            pulled.append(item.key)
            yield item

    explanations = engine().explain_many(stream())
    assert next(explanations).index == 0
    assert pulled == [0, 1, 2, 3]
    assert [e.index for e in explanations] == [1, 2, 3, 4, 5, 6]


def test_the_engine_hands_back_the_keys_it_was_given_whatever_they_are() -> None:
    keys = ["a", ("b", 2), None]
    given = [Item(key, item.prepared) for key, item in zip(keys, items(3), strict=True)]
    seen: list[StepProgress] = []
    assert [e.key for e in engine().explain_many(given, progress=seen.append)] == keys
    assert list(seen[0].in_flight) == keys
    with pytest.raises(MethodError, match="image a: target 9 is not a class"):
        list(engine().explain_many([Item("a", given[0].prepared, target=9)]))


def test_an_empty_stream_gives_nothing() -> None:
    assert list(engine().explain_many([])) == []


def test_progress_grows_with_every_step_and_names_the_images_in_flight() -> None:
    seen: list[StepProgress] = []
    list(engine().explain_many(items(5), progress=seen.append))
    assert [p.step for p in seen] == list(range(1, 11))
    assert seen[0].in_flight == (0, 1, 2, 3)
    assert seen[-1].in_flight == (4,)


def test_a_set_stop_event_is_obeyed_within_one_step() -> None:
    stop, steps = threading.Event(), []

    def progress(p: StepProgress) -> None:
        steps.append(p.step)
        if p.step == 7:
            stop.set()

    finished = []
    with pytest.raises(Stopped):
        finished.extend(engine().explain_many(items(6), progress, stop))
    assert steps[-1] == 7

    stop, done = threading.Event(), []
    explanations = engine().explain_many(items(6), lambda p: stop.set() if p.step > 5 else None, stop)
    with pytest.raises(Stopped):
        done.extend(explanation.index for explanation in explanations)
    assert done == [0, 1, 2, 3]  # the previous batch is not lost


def test_out_of_memory_says_which_batch_to_try_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Inversion) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Inversion, "step", full)
    with pytest.raises(
        OutOfMemory, match="out of memory with 4 images per batch; run it again with --batch 2"
    ) as e:
        list(engine().explain_many(items(3)))
    assert e.value.suggested == 2
    with pytest.raises(OutOfMemory) as e:
        list(engine(batch=1).explain_many(items(1)))
    assert e.value.suggested is None


def test_a_smaller_batch_is_another_execution_profile() -> None:
    one, four = engine(batch=1).profile, engine(batch=4).profile
    assert one != four
    assert one.to_json() == {**four.to_json(), "batch": 1}


def test_a_batch_is_a_whole_one_and_never_larger_than_was_asked() -> None:
    asked = (1, 2, 3, 4, 5, 7, 8, 11, 12, 64, 70)
    assert [engine(batch=b).batch for b in asked] == [1, 2, 2, 4, 4, 4, 8, 8, 12, 64, 68]
    assert engine(batch=7).profile.batch == 4


def test_an_image_or_target_that_does_not_fit_is_named() -> None:
    with pytest.raises(MethodError, match=r"image 0 is \(3, 40, 40\), the network's input \(3, 32, 32\)"):
        list(engine().explain_many(items(1, size=40)))
    with pytest.raises(MethodError, match="image 0: target 5 is not a class; classes are 0 to 4"):
        list(engine().explain_many(items(1, target=5)))


def test_a_network_without_evidence_ends_empty_at_the_last_step_that_had_a_mask() -> None:
    blind = Small()
    blind.body.weight.data *= 1e-3
    for unmoved in (blind.body.bias, blind.head.weight):
        unmoved.data.zero_()
    explanations = list(
        Engine(classifiers.from_module(blind, (32, 32)), PAPER, batch=2).explain_many(items(2))
    )
    assert [e.status for e in explanations] == ["empty", "empty"]
    assert all(0 < e.iterations < 80 for e in explanations)
    assert all(np.isfinite(e.grid).all() and e.grid.max() == 1 for e in explanations)

    flat = Small()
    flat.body.weight.data.zero_()
    (explanation,) = Engine(classifiers.from_module(flat, (32, 32)), PAPER, batch=2).explain_many(items(1))
    assert explanation.status == "constant"
    assert explanation.iterations == 0
    assert not explanation.grid.any()


def test_a_broken_image_is_reported_and_does_not_touch_its_neighbours() -> None:
    whole = items(3)
    broken = items(3)
    broken[1].prepared.image.fill_(float("nan"))
    before, after = (list(engine().explain_many(stream)) for stream in (whole, broken))
    assert [e.status for e in after][1] == "nonfinite"
    for i in (0, 2):
        assert before[i].grid.tobytes() == after[i].grid.tobytes()
        assert before[i].status == after[i].status


def test_released_refuses_a_signed_layer_and_says_what_to_write() -> None:
    classifier = classifiers.from_module(Small(), (32, 32))
    with pytest.raises(MethodError, match="use `body:relu`"):
        Engine(classifier, RELEASED, Layers("pool", ("body",)))
    Engine(classifier, RELEASED, Layers("pool", ("body:relu",)))


def test_channels_of_two_layers_are_weighed_together_on_the_finer_grid() -> None:
    (explanation,) = engine(layers=Layers.parse("pool,pool+act")).explain_many(items(1))
    assert explanation.grid.shape == (16, 16)


@pytest.mark.parametrize(
    ("device", "line"),
    [
        ("abacus", "is not a device"),
        ("cuda:7", "no device"),
        ("meta", "not supported"),
        ("mps", "torch sees no Apple GPU"),
    ],
)
def test_a_wrong_device_is_one_line(device: str, line: str) -> None:
    with pytest.raises(MethodError, match=line):
        engine(device=device)
    with pytest.raises(MethodError, match="at least one image"):
        engine(batch=0)


@pytest.mark.parametrize("preset", ["paper", "tuned"])
def test_in_bfloat16_the_network_alone_computes_so(preset: str) -> None:
    quick = recipe(preset, steps_inversion=2, steps_class=2, levels=[0.25])
    half = Engine(classifiers.from_module(Small(), (32, 32)), quick, batch=4, dtype=torch.bfloat16)
    full = Engine(classifiers.from_module(Small(), (32, 32)), quick, batch=4)
    assert half.profile.dtype == "bfloat16"
    assert next(half.network.module.parameters()).dtype == torch.bfloat16
    actual, wanted = (list(e.explain_many(items(3))) for e in (half, full))
    for one, other in zip(actual, wanted, strict=True):
        assert one.grid.dtype == np.float32
        assert 0 < np.abs(one.grid - other.grid).mean() < 0.1
        assert one.probability == pytest.approx(other.probability, abs=0.02)


def test_a_precision_that_the_optimiser_has_not_is_refused() -> None:
    with pytest.raises(
        MethodError, match=r"torch.float16 is not a supported precision; use float32, float64, bfloat16"
    ):
        Engine(classifiers.from_module(Small(), (32, 32)), PAPER, dtype=torch.float16)
