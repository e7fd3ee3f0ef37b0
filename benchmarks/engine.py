"""How close the engine comes to the passes that the method cannot avoid: `make bench`.

    floor    one forward; stage 1: forward and backward to l0; stage 2: forward and backward of kept and removed
             image in one batch; gradients to the input only. Network, precision, memory format and batch are the
             engine's.
    naive    the shape of the authors' program: one image at a time, the photograph's own features recomputed every
             step, kept and removed image apart, the head run in stage 1 too, gradients for the network's weights.

Single steps are timed, the three kinds interleaved, and the medians of at least fifteen rounds scaled to the recipe's
10 + 70. Every network runs in a process of its own, so that the peak of its memory is its own. Weights are seeded:
speed does not depend on them (EfficientNet-Lite0 has its own).

    python -m benchmarks.engine [--device cuda:0] [--batch N] [--output FILE] [NETWORK…]
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from gfi.domain.presets import PAPER
from gfi.method import masks
from gfi.method.classifiers import load
from gfi.method.engine import Engine
from gfi.method.inversion import Inversion
from gfi.method.parts.normalisations import GridMinMax

NETWORKS = {
    "alexnet": "torchvision:alexnet@seed:0",
    "vgg19": "torchvision:vgg19@seed:0",
    "resnet18": "torchvision:resnet18@seed:0",
    "resnet50": "torchvision:resnet50@seed:0",
    "efficientnet-lite0": "efficientnet-lite0",
}
ROUNDS = 15
"""At least; small networks are timed for SECONDS. Of five rounds of VGG-19 the medians still moved by a tenth."""
SECONDS = 60.0
HERE = Path(__file__).parent


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, the device's queue drained before and after."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def measure(network: str, device_name: str, batch: int) -> dict[str, object]:
    """One row of engine.json."""
    # A seeded network may be so sure that gradients are denormal numbers, a hundred times slower than others (the floor
    # of ResNet-50 was). Before the first thread starts: threads inherit it.
    torch.set_flush_denormal(True)
    classifier = load(NETWORKS[network])
    engine = Engine(classifier, PAPER, device=device_name, batch=batch)
    device, net = engine.device, engine.network
    generator = torch.Generator().manual_seed(0)
    shape = (batch, classifier.preprocess.channels, *classifier.preprocess.size)
    images = torch.randn(shape, generator=generator).to(device).contiguous(memory_format=net.memory_format)
    fills = torch.zeros_like(images)
    inversion = Inversion(net, PAPER, batch)

    def engine_start() -> None:
        inversion.start(images, fills, [0] * batch)

    def engine_step(steps_done: int) -> Callable[[], None]:
        def run() -> None:
            inversion.skip_to(steps_done)
            inversion.step()

        return run

    def floor_pass(
        images: torch.Tensor, forward: Callable[[torch.Tensor], torch.Tensor]
    ) -> Callable[[], object]:
        def run() -> object:
            leaf = images.detach().requires_grad_()
            return torch.autograd.grad(forward(leaf).sum(), leaf)

        return run

    @torch.no_grad()
    def floor_start() -> None:
        net.probabilities(images)

    pairs = torch.cat([images, images])
    naive = Naive(engine, images[:1].contiguous(), fills[:1].contiguous())
    kinds: dict[str, Callable[[], object]] = {
        "engine start": engine_start,
        "floor start": floor_start,
        "engine 1": engine_step(1),
        "floor 1": floor_pass(images, net.inverted),
        "engine 2": engine_step(PAPER.steps_inversion + 1),
        "floor 2": floor_pass(pairs, lambda both: net.probabilities(both)[:, 0]),
        "naive 1": naive.stage1,
        "naive 2": naive.stage2,
    }
    for run in kinds.values():  # warm up, and `start` before the steps
        run()
    found: dict[str, list[float]] = {name: [] for name in kinds}
    began, rounds = time.monotonic(), 0
    while rounds < ROUNDS or time.monotonic() - began < SECONDS:
        for name, run in kinds.items():
            found[name].append(timed(run, device))
        rounds += 1
    median = {name: statistics.median(seconds) for name, seconds in found.items()}
    one, two = PAPER.steps_inversion, PAPER.steps_class
    finish = (
        0.5 * median["floor 2"]
    )  # one forward of both halves for the probabilities; counted to the engine alone
    seconds = {
        "engine": median["engine start"] + one * median["engine 1"] + two * median["engine 2"] + finish,
        "floor": median["floor start"] + one * median["floor 1"] + two * median["floor 2"],
    }
    rates = {name: batch / each for name, each in seconds.items()}
    rates["naive"] = 1 / (one * median["naive 1"] + two * median["naive 2"])
    peak = (
        torch.cuda.max_memory_allocated(device) / 2**20
        if device.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    )
    return {
        "network": network,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name(),
        "dtype": engine.profile.dtype,
        "batch": batch,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "naive_images_per_s": round(rates["naive"], 5),
        "engine_images_per_s": round(rates["engine"], 5),
        "floor_images_per_s": round(rates["floor"], 5),
        "engine_over_naive": round(rates["engine"] / rates["naive"], 3),
        "engine_over_floor": round(rates["engine"] / rates["floor"], 3),
        "rounds": rounds,
        "peak_mib": round(peak),
    }


class Naive:
    """One step of each stage as the authors' program takes it, for one image."""

    def __init__(self, engine: Engine, image: torch.Tensor, fill: torch.Tensor) -> None:
        self.classifier = load(engine.classifier.reference)
        self.module = self.classifier.module.to(engine.device).requires_grad_(True)
        self.layers = engine.layers
        self.image, self.fill = image.contiguous(), fill.contiguous()
        self.omega: torch.Tensor | None = None

    def _pass(self, image: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        found: dict[str, torch.Tensor] = {}
        handles = []
        for layer in self.layers.names:
            name, _, relu = layer.partition(":")

            def hook(
                module: object, inputs: object, output: torch.Tensor, layer: str = layer, relu: str = relu
            ) -> None:
                found[layer] = output.clone().relu() if relu else output.clone()

            handles.append(self.module.get_submodule(name).register_forward_hook(hook))
        output = self.module(image)
        for handle in handles:
            handle.remove()
        return output, found

    def _mask(self, features: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        upsample = masks.Upsampling.between(features, self.image, False)
        return GridMinMax()(masks.combine(omega, features), upsample).image

    def _start(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        _, found = self._pass(self.image)
        features = found[self.layers.mask_layers[0]]
        omega = torch.full((1, features.shape[1]), 0.1, device=self.image.device, requires_grad=True)
        return omega, self._mask(features, omega), found[self.layers.inverted]

    def _descend(self, loss: torch.Tensor) -> None:
        self.module.zero_grad()
        loss.backward()

    def stage1(self) -> None:
        omega, mask, wanted = self._start()
        _, found = self._pass(masks.blend(self.image, self.fill, mask))
        self._descend((found[self.layers.inverted] - wanted).square().sum() + 10 * omega.abs().sum())

    def stage2(self) -> None:
        omega, mask, _ = self._start()
        kept, _ = self._pass(masks.blend(self.image, self.fill, mask))
        removed, _ = self._pass(masks.blend_background(self.image, self.fill, mask))
        f = self.classifier.as_probabilities
        self._descend(-f(kept)[0, 0] + f(removed)[0, 0] + omega.abs().sum())


def cpu_name() -> str:
    """The processor as the kernel names it, and how many of its cores are ours."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()} ({torch.get_num_threads()} threads)"


def main() -> None:
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
    if arguments.output.exists():  # those of networks that are not measured now
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
