"""The stream: order, laziness, progress, stopping, memory, statuses; and a function of tensors on top."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from gfi import GuidedFeatureInversion, explain_many
from gfi.domain.errors import MethodError, OutOfMemory, Stopped
from gfi.domain.explanation import StepProgress
from gfi.domain.layer_names import Layers
from gfi.domain.presets import PAPER, RELEASED, recipe
from gfi.method import classifiers
from gfi.method.engine import Engine
from gfi.method.inversion import Inversion, StopReason
from gfi.method.item import Item
from gfi.method.preprocess import Prepared
from gfi.method.statuses import decide_status
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
            pulled.append(item.index)
            yield item

    found = engine().explain_many(stream())
    assert next(found).index == 0
    assert pulled == [0, 1, 2, 3]
    assert [e.index for e in found] == [1, 2, 3, 4, 5, 6]


def test_an_empty_stream_gives_nothing() -> None:
    assert list(engine().explain_many([])) == []


def test_progress_grows_with_every_step_and_names_the_images_in_flight() -> None:
    seen: list[StepProgress] = []
    list(engine().explain_many(items(5), progress=seen.append))
    assert [p.step for p in seen] == list(range(1, 11))
    assert seen[0].indices_in_flight == (0, 1, 2, 3)
    assert seen[-1].indices_in_flight == (4,)


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
    found = engine().explain_many(items(6), lambda p: stop.set() if p.step > 5 else None, stop)
    with pytest.raises(Stopped):
        done.extend(explanation.index for explanation in found)
    assert done == [0, 1, 2, 3]  # the batch before is not lost


def test_out_of_memory_says_which_batch_to_try_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Inversion) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Inversion, "step", full)
    with pytest.raises(
        OutOfMemory, match="out of memory with 4 images a batch; run it again with --batch 2"
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
    with pytest.raises(MethodError, match="image 0: target 5 is no class; classes are 0 to 4"):
        list(engine().explain_many(items(1, target=5)))


def test_a_network_without_evidence_ends_empty_at_the_last_step_that_had_a_mask() -> None:
    blind = Small()
    blind.body.weight.data *= 1e-3
    for unmoved in (blind.body.bias, blind.head.weight):
        unmoved.data.zero_()
    found = list(Engine(classifiers.from_module(blind, (32, 32)), PAPER, batch=2).explain_many(items(2)))
    assert [e.status for e in found] == ["empty", "empty"]
    assert all(0 < e.iterations < 80 for e in found)
    assert all(np.isfinite(e.grid).all() and e.grid.max() == 1 for e in found)

    flat = Small()
    flat.body.weight.data.zero_()
    (found,) = Engine(classifiers.from_module(flat, (32, 32)), PAPER, batch=2).explain_many(items(1))
    assert found.status == "constant"
    assert found.iterations == 0
    assert not found.grid.any()


def test_a_broken_image_is_reported_and_does_not_touch_its_neighbours() -> None:
    whole = items(3)
    broken = items(3)
    broken[1].prepared.image.fill_(float("nan"))
    before, after = (list(engine().explain_many(stream)) for stream in (whole, broken))
    assert [e.status for e in after][1] == "nonfinite"
    for i in (0, 2):
        assert before[i].grid.tobytes() == after[i].grid.tobytes()
        assert before[i].status == after[i].status


@pytest.mark.parametrize(
    ("reason", "area", "predicted", "kept", "wanted"),
    [
        (StopReason.FINISHED, 0.3, True, 0.5, "ok"),
        (StopReason.FINISHED, 0.0005, True, 0.5, "empty"),
        (StopReason.FINISHED, 0.97, True, 0.5, "full"),
        (StopReason.FINISHED, 0.3, True, 0.04, "target_lost"),
        (StopReason.FINISHED, 0.3, False, 0.04, "ok"),
        (StopReason.EMPTY, 0.3, True, 0.5, "empty"),
        (StopReason.CONSTANT, 0.3, True, 0.5, "constant"),
        (StopReason.NONFINITE, 0.3, True, 0.5, "nonfinite"),
    ],
)
def test_statuses(reason: StopReason, area: float, predicted: bool, kept: float, wanted: str) -> None:
    assert decide_status(reason, area, predicted=predicted, probability=0.5, kept=kept) == wanted


def test_released_refuses_a_signed_layer_and_says_what_to_write() -> None:
    classifier = classifiers.from_module(Small(), (32, 32))
    with pytest.raises(MethodError, match="use `body:relu`"):
        Engine(classifier, RELEASED, Layers("pool", ("body",)))
    Engine(classifier, RELEASED, Layers("pool", ("body:relu",)))


def test_channels_of_two_layers_are_weighed_together_on_the_finer_grid() -> None:
    (found,) = engine(layers=Layers.parse("pool,pool+act")).explain_many(items(1))
    assert found.grid.shape == (16, 16)


@pytest.mark.parametrize(
    ("device", "line"), [("abacus", "is no device"), ("cuda:7", "no device"), ("meta", "not supported")]
)
def test_a_wrong_device_is_one_line(device: str, line: str) -> None:
    with pytest.raises(MethodError, match=line):
        engine(device=device)
    with pytest.raises(MethodError, match="at least one image"):
        engine(batch=0)


def test_attribute_follows_dtype_targets_and_baselines_and_leaves_the_network_alone() -> None:
    net = Small().train().requires_grad_(True)
    explainer = GuidedFeatureInversion(net, preset=QUICK)
    images = smooth_images(2, 32)
    masks = explainer.attribute(images, target=1)
    assert masks.dtype == torch.float64
    assert masks.shape == (2, 1, 32, 32)
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert net.training
    assert all(p.requires_grad for p in net.parameters())

    given = explainer.explain(images, 1, baselines=torch.zeros(1, 3, 1, 1))
    assert [e.fill for e in given] == ["given", "given"]
    blurred = GuidedFeatureInversion(net, preset="released").explain(images[:1], [1])
    assert blurred[0].fill == "input blurred"  # its own blur needs the photograph

    with pytest.raises(MethodError, match="3 targets for 2 images"):
        explainer.attribute(images, [1, 2, 3])
    with pytest.raises(MethodError, match=r"baselines .* do not fit inputs"):
        explainer.attribute(images, 1, baselines=torch.zeros(3, 3, 5, 5))
    with pytest.raises(MethodError, match="normalised images"):
        explainer.attribute(images[0], 1)


def test_photographs_stream_through_one_function() -> None:
    photographs = (np.random.default_rng(i).integers(0, 255, (40, 50, 3), np.uint8) for i in range(3))
    classifier = classifiers.from_module(Small(), (32, 32))
    found = list(explain_many(photographs, classifier, QUICK, target=2, batch=2))
    assert [(e.index, e.target) for e in found] == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize("preset", ["paper", "tuned"])
def test_in_bfloat16_the_network_alone_computes_so(preset: str) -> None:
    quick = recipe(preset, steps_inversion=2, steps_class=2, levels=[0.25])
    half = Engine(classifiers.from_module(Small(), (32, 32)), quick, batch=4, dtype=torch.bfloat16)
    full = Engine(classifiers.from_module(Small(), (32, 32)), quick, batch=4)
    assert half.profile.dtype == "bfloat16"
    assert next(half.network.module.parameters()).dtype == torch.bfloat16
    found, wanted = (list(e.explain_many(items(3))) for e in (half, full))
    for one, other in zip(found, wanted, strict=True):
        assert one.grid.dtype == np.float32
        assert 0 < np.abs(one.grid - other.grid).mean() < 0.1
        assert one.probability == pytest.approx(other.probability, abs=0.02)


def test_a_precision_that_the_optimiser_has_not_is_refused() -> None:
    with pytest.raises(MethodError, match=r"torch.float16 is no precision .* float32, float64, bfloat16"):
        Engine(classifiers.from_module(Small(), (32, 32)), PAPER, dtype=torch.float16)
