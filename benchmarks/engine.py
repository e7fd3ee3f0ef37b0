"""Engine throughput against its theoretical lower bound and a naive implementation: `make bench`.

    bound    the time of the passes that the method cannot avoid: one forward pass; in stage 1 forward and backward to
             l0; in stage 2 forward and backward of kept and removed image in one batch; gradients of the input only.
             Network, precision, memory format and batch are the engine's. (`floor_…` in the results.)
    naive    the structure of the authors' program: one image at a time, the photograph's own features computed again in
             every step, kept and removed image in separate passes, the classifier head run in stage 1 too, gradients
             for the network's weights.

Single steps are timed, alternating between the kinds, and the medians of at least fifteen rounds are scaled to the
recipe's 10 + 70 steps. Every network runs in a separate process, so that its peak memory is measured separately.

The same row holds, in images a second, `tuned` on the bundled photographs and Grad-CAM; and the seconds in which
deletion and insertion of one image are computed, beside those of their forward passes alone (`scores_over_floor`).
Weights are random from a fixed seed, because speed does not depend on them (EfficientNet-Lite0 has its trained ones).

    python -m benchmarks.engine [--device cuda:0] [--batch N] [--output FILE] [NETWORK…]
"""

import argparse
import copy
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.machine import cpu_name
from gfi import samples
from gfi.domain.presets import PAPER, TUNED
from gfi.domain.recipes import Recipe
from gfi.method import masks, throughput
from gfi.method.classifiers import Classifier, load
from gfi.method.engine import Engine
from gfi.method.inversion import Inversion
from gfi.method.parts.normalisations import GridMinMax
from gfi.method.preprocess import Prepared
from gfi.metrics.batched_probabilities import BATCH
from gfi.metrics.deletion import deletion
from gfi.metrics.insertion import insertion

NETWORKS = {
    "alexnet": "torchvision:alexnet@seed:0",
    "vgg19": "torchvision:vgg19@seed:0",
    "resnet18": "torchvision:resnet18@seed:0",
    "resnet50": "torchvision:resnet50@seed:0",
    "efficientnet-lite0": "efficientnet-lite0",
}
ROUNDS = 15
"""At least this many rounds: with five, the medians of VGG-19 still changed by a tenth."""
SECONDS = 60.0
"""At least this long: small networks get more rounds."""
HERE = Path(__file__).parent


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call; the device is idle before and after it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def measure(network: str, device_name: str, batch: int) -> dict[str, object]:
    """One row of engine.json."""
    # A network with random weights may give gradients that are denormal numbers, a hundred times slower than others
    # (ResNet-50 did). Set before the first thread starts, because threads inherit it.
    torch.set_flush_denormal(True)
    engine = Engine(load(NETWORKS[network]), PAPER, device=device_name, batch=batch)
    device = engine.device
    median, rounds = medians(kinds_of_step(engine, batch), device)
    one, two = PAPER.steps_inversion, PAPER.steps_class
    # The engine's last forward pass of both halves, for the probabilities; the bound has none.
    finish = 0.5 * median["bound 2"]
    seconds = {
        "engine": median["engine start"] + one * median["engine 1"] + two * median["engine 2"] + finish,
        "bound": median["bound start"] + one * median["bound 1"] + two * median["bound 2"],
    }
    rates = {name: batch / taken for name, taken in seconds.items()}
    rates["naive"] = 1 / (one * median["naive 1"] + two * median["naive 2"])
    cuda = device.type == "cuda"
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scores, passes_alone, grad_cam = other_kinds(engine, batch)
    tuned = Engine(engine.classifier, TUNED, device=device_name, batch=batch)
    speed = throughput.measure(tuned, photographs(tuned.classifier, TUNED), SECONDS)
    return {
        "network": network,
        "device": torch.cuda.get_device_name(device) if cuda else cpu_name(),
        "dtype": engine.profile.dtype,
        "batch": batch,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "naive_images_per_s": round(rates["naive"], 5),
        "engine_images_per_s": round(rates["engine"], 5),
        "floor_images_per_s": round(rates["bound"], 5),
        "engine_over_naive": round(rates["engine"] / rates["naive"], 3),
        "engine_over_floor": round(rates["engine"] / rates["bound"], 3),
        "tuned_images_per_s": round(speed.images_per_s, 5),
        "tuned_images": speed.images,
        "grad_cam_images_per_s": round(1 / grad_cam, 5),
        "scores_s": round(scores, 5),
        "scores_over_floor": round(passes_alone / scores, 3),
        "rounds": rounds,
        "peak_mib": round(torch.cuda.max_memory_allocated(device) / 2**20 if cuda else peak_kib / 1024),
    }


def kinds_of_step(engine: Engine, batch: int) -> dict[str, Callable[[], object]]:
    """The timed functions: the start and one step of each stage, of the engine, the bound and the naive
    implementation."""
    net = engine.network
    images = noise(engine, batch)
    fills, pairs = torch.zeros_like(images), torch.cat([images, images])
    inversion = Inversion(net, PAPER, batch)
    naive = Naive(engine, images[:1].contiguous(), fills[:1].contiguous())

    def engine_step(steps_done: int) -> Callable[[], None]:
        def run() -> None:
            inversion.skip_to(steps_done)
            inversion.step()

        return run

    def bound_pass(
        images: torch.Tensor, forward: Callable[[torch.Tensor], torch.Tensor]
    ) -> Callable[[], object]:
        def run() -> object:
            leaf = images.detach().requires_grad_()
            return torch.autograd.grad(forward(leaf).sum(), leaf)

        return run

    @torch.no_grad()
    def bound_start() -> None:
        net.probabilities(images)

    return {
        "engine start": lambda: inversion.start(images, fills, [0] * batch),
        "bound start": bound_start,
        "engine 1": engine_step(1),
        "bound 1": bound_pass(images, net.representation),
        "engine 2": engine_step(PAPER.steps_inversion + 1),
        "bound 2": bound_pass(pairs, lambda both: net.probabilities(both)[:, 0]),
        "naive 1": naive.stage1,
        "naive 2": naive.stage2,
    }


def other_kinds(engine: Engine, batch: int) -> tuple[float, float, float]:
    """Seconds of an image: deletion and insertion, their forward passes alone, and Grad-CAM."""
    device, net = engine.device, engine.network
    images = noise(engine, batch)
    generator = torch.Generator().manual_seed(1)
    ordered = torch.rand(1, 1, *images.shape[2:], generator=generator).to(device)
    first, targets = images[:1], torch.zeros(batch, dtype=torch.long, device=device)
    points = noise(engine, BATCH)

    def scores() -> None:
        deletion(net.probabilities, first, ordered, targets[:1])
        insertion(net.probabilities, first, ordered, targets[:1])

    @torch.no_grad()
    def passes_alone() -> None:
        for _ in range(2):
            net.probabilities(points)

    with engine.memory_errors(), engine.exact():
        taken, _ = medians({"scores": scores, "passes": passes_alone}, device, min(5, ROUNDS))
        maps, _ = medians(
            {"maps": lambda: net.grad_cam(images, targets)}, device, seconds_long=min(5.0, SECONDS)
        )
    return taken["scores"], taken["passes"], maps["maps"] / batch


def noise(engine: Engine, batch: int) -> torch.Tensor:
    """Images (batch, C, H, W) on the engine's device, in its memory format."""
    preprocess = engine.classifier.preprocess
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, preprocess.channels, *preprocess.size, generator=generator)
    return images.to(engine.device).contiguous(memory_format=engine.network.memory_format)


def photographs(classifier: Classifier, recipe: Recipe) -> list[Prepared]:
    """Bundled photographs, as the network takes them."""
    prepared = []
    for path in sorted(samples.path().iterdir())[:8]:
        with Image.open(path) as image:
            prepared.append(classifier.prepare(np.asarray(image.convert("RGB")), recipe))
    return prepared


def medians(
    kinds: dict[str, Callable[[], object]],
    device: torch.device,
    at_least: int | None = None,
    seconds_long: float | None = None,
) -> tuple[dict[str, float], int]:
    """The median seconds of each kind, timed alternately, and the number of rounds: at least so many and so long."""
    at_least = ROUNDS if at_least is None else at_least
    seconds_long = SECONDS if seconds_long is None else seconds_long
    for run in kinds.values():  # warms up, and starts the inversion before its steps
        run()
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    began, rounds = time.monotonic(), 0
    while rounds < at_least or time.monotonic() - began < seconds_long:
        for name, run in kinds.items():
            seconds[name].append(timed(run, device))
        rounds += 1
    return {name: statistics.median(times) for name, times in seconds.items()}, rounds


class Naive:
    """One step of each stage, for one image, in the structure of the authors' program."""

    def __init__(self, engine: Engine, image: torch.Tensor, fill: torch.Tensor) -> None:
        self.classifier = engine.classifier
        module = copy.deepcopy(self.classifier.module)
        self.module = module.to(engine.device).requires_grad_(True)
        self.layers = engine.layers
        self.image, self.fill = image.contiguous(), fill.contiguous()
        self.omega: torch.Tensor | None = None

    def _pass(self, image: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        outputs: dict[str, torch.Tensor] = {}
        handles = []
        for layer in self.layers.names:
            name, _, relu = layer.partition(":")

            def hook(
                module: object, inputs: object, output: torch.Tensor, layer: str = layer, relu: str = relu
            ) -> None:
                outputs[layer] = output.clone().relu() if relu else output.clone()

            handles.append(self.module.get_submodule(name).register_forward_hook(hook))
        output = self.module(image)
        for handle in handles:
            handle.remove()
        return output, outputs

    def _mask(self, features: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        upsample = masks.Upsampling.between(features, self.image, False)
        return GridMinMax()(masks.combine(omega, features), upsample).image

    def _start(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        _, outputs = self._pass(self.image)
        features = outputs[self.layers.mask_layers[0]]
        omega = torch.full((1, features.shape[1]), 0.1, device=self.image.device, requires_grad=True)
        return omega, self._mask(features, omega), outputs[self.layers.inverted]

    def _descend(self, loss: torch.Tensor) -> None:
        self.module.zero_grad()
        loss.backward()

    def stage1(self) -> None:
        """A step of stage 1: invert the representation."""
        omega, mask, wanted = self._start()
        _, outputs = self._pass(masks.blend(self.image, self.fill, mask))
        self._descend((outputs[self.layers.inverted] - wanted).square().sum() + 10 * omega.abs().sum())

    def stage2(self) -> None:
        """A step of stage 2: raise the kept half's probability, lower the removed half's."""
        omega, mask, _ = self._start()
        kept, _ = self._pass(masks.blend(self.image, self.fill, mask))
        removed, _ = self._pass(masks.blend_background(self.image, self.fill, mask))
        f = self.classifier.as_probabilities
        self._descend(-f(kept)[0, 0] + f(removed)[0, 0] + omega.abs().sum())


def main() -> None:
    """Measure every network in a separate process and write engine.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), metavar="NETWORK")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--output", type=Path, default=HERE / "results" / "engine.json")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.device, arguments.batch)))
        return
    rows = []
    if arguments.output.exists():  # keeps the rows of other networks
        rows = [r for r in json.loads(arguments.output.read_text()) if r["network"] not in arguments.networks]
    for network in arguments.networks:
        command = [sys.executable, "-m", "benchmarks.engine", "--one", network, "--device", arguments.device,
                   "--batch", str(arguments.batch)]  # fmt: skip
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(json.dumps(rows[-1]), flush=True)
    arguments.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
