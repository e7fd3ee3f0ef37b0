"""Everything that a first hour with a GPU should tell, in six minutes: `make bench-gpu`, or

    python -m benchmarks.gpu --out DIR [--device cuda:0] [--seconds 345]

Needs torch, torchvision, numpy and Pillow, and of `gfi` the method, metrics and peers. Writes DIR/gpu.json after every
row, most important first, so that a run that is cut short still counts. A row that fails holds its error, and the next
one goes on; rows that the time does not reach are named at the end.

    rates         the card's matrix products in operations a second, by precision
    speed         `paper`, images a second at the batch that fits: the engine, its floor (the passes that the method
                  cannot avoid) and the naive program (as in benchmarks/engine.py); share of the card's matrix rate;
                  peak memory
    bits          whether a mask has the same bits in every slot, with other neighbours and in three runs
    cpu           difference of masks to those of the CPU in float32
    graphs        `speed` of the engine with a CUDA graph for each stage
    tuned         images a second of `tuned` on photographs
    grad-cam, rise   images a second of the two (RISE with 500 masks)
    trace         the kernels of one step that take longest
"""

import argparse
import json
import platform
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.engine import kinds_of_step, medians, noise, photographs
from gfi.domain.costs import passes
from gfi.domain.errors import MethodError
from gfi.domain.presets import PAPER, TUNED, recipe
from gfi.domain.recipes import Recipe
from gfi.method.classifiers import Classifier, from_module, load
from gfi.method.cuda_graphs import StepGraphs
from gfi.method.engine import Engine
from gfi.method.inversion import Inversion
from gfi.method.item import Item
from gfi.method.preprocess import Prepared
from gfi.method.throughput import measure, peak_bytes, reset_peak, synchronise
from gfi.peers.rise import rise

NETWORKS = {
    "vgg19": "torchvision:vgg19@seed:0",
    "resnet18": "torchvision:resnet18@seed:0",
    "resnet50": "torchvision:resnet50@seed:0",
    "efficientnet-lite0": "efficientnet-lite0",
    "alexnet": "torchvision:alexnet@seed:0",
    "vit-b-16": "torchvision:vit_b_16@seed:0",
}
PRECISIONS = ("float32", "bfloat16", "tf32")
SECONDS = 345.0
"""Of the whole run: six minutes with the start of Python."""
FOR_TRACE = 15.0
"""Seconds that are kept for the trace, which comes last."""
RISE_MASKS = 500


class Bench:
    """One run: its networks, its rows and its clock.

    tiny: one small network and short measurements, to try the program on a CPU.
    """

    def __init__(self, out: Path, device: str, seconds: float, tiny: bool) -> None:
        self.out, self.device, self.tiny = out, torch.device(device), tiny
        self.end = time.monotonic() + seconds
        self.rows: list[dict[str, Any]] = []
        self.left_out: list[str] = []
        self.rates: dict[str, float] = {}
        self.size = 256 if tiny else 8192
        """Of the matrices whose product is timed."""
        self.rounds, self.round_s = (1, 0.0) if tiny else (7, 1.5)
        self.paper = recipe("paper", steps_inversion=2, steps_class=3) if tiny else PAPER
        self.tuned = recipe("tuned", steps_class=8) if tiny else TUNED
        self._classifiers: dict[str, Classifier] = {}
        self._engines: dict[tuple[str, str, str, int | None], Engine] = {}

    # What is measured, in the order of its importance

    def plan(self) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
        """(name, what makes the row)."""
        networks = ["tiny"] if self.tiny else list(NETWORKS)

        def each(
            what: str, make: Callable[[str, str], dict[str, Any]], *precisions: str
        ) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
            for precision in precisions:
                for network in networks:
                    yield f"{what} {network} {precision}", lambda n=network, p=precision: make(n, p)  # type: ignore[misc]

        for precision in PRECISIONS:
            yield f"rates {precision}", lambda p=precision: self.matrix_rate(p)  # type: ignore[misc]
        yield from each("speed", self.speed, "float32", "bfloat16")
        yield from each("bits", self.bits, "float32")
        yield from each("graphs", self.graphs, "float32", "bfloat16")
        yield from each("tuned", self.tuned_speed, "float32", "bfloat16")
        yield from each("cpu", self.difference_to_cpu, "float32")
        yield from each("speed", self.speed, "tf32")
        yield from each("grad-cam", self.grad_cam_speed, "float32")
        yield from each("rise", self.rise_speed, "float32")
        yield from each("bits", self.bits, "bfloat16", "tf32")
        yield from each("graphs", self.graphs, "tf32")
        yield from each("tuned", self.tuned_speed, "tf32")

    def run(self) -> None:
        """Make the rows while there is time, then the trace."""
        for name, make in self.plan():
            if time.monotonic() > self.end - FOR_TRACE:
                self.left_out.append(name)
            else:
                self.row(name, make)
        self.row(f"trace {'tiny' if self.tiny else 'resnet18'} float32", self.trace)

    def row(self, name: str, make: Callable[[], dict[str, Any]]) -> None:
        """Make one row and write all of them."""
        what, *about = name.split()
        row: dict[str, Any] = {"what": what}
        row |= (
            {"precision": about[0]}
            if len(about) == 1
            else dict(zip(("network", "precision"), about, strict=True))
        )
        began = time.monotonic()
        try:
            row |= make()
        except Exception as error:
            expected = isinstance(error, MethodError)
            row["error"] = str(error) if expected else traceback.format_exc(limit=-3)
        row["took_s"] = round(time.monotonic() - began, 1)
        self.rows.append(row)
        print(json.dumps(row), flush=True)
        self.write()

    def write(self) -> None:
        """Replace gpu.json."""
        cuda = self.device.type == "cuda"
        about = {
            "device": torch.cuda.get_device_name(self.device) if cuda else platform.processor() or "cpu",
            "capability": list(torch.cuda.get_device_capability(self.device)) if cuda else None,
            "memory_mib": torch.cuda.get_device_properties(self.device).total_memory >> 20 if cuda else None,
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version() if cuda else None,
            "python": platform.python_version(),
            "tiny": self.tiny,
        }
        self.out.mkdir(parents=True, exist_ok=True)
        fresh = self.out / "gpu.json.new"
        fresh.write_text(json.dumps(about | {"rows": self.rows, "left_out": self.left_out}, indent=1) + "\n")
        fresh.replace(self.out / "gpu.json")

    # Networks and images

    def classifier(self, network: str) -> Classifier:
        """The network with fixed weights; speed does not depend on them."""
        if network not in self._classifiers:
            self._classifiers[network] = _tiny() if network == "tiny" else load(NETWORKS[network])
        return self._classifiers[network]

    def engine(self, network: str, precision: str, chosen: Recipe, batch: int | None = None) -> Engine:
        """An engine on the device, at the batch that fits by default."""
        key = (network, precision, chosen.digest(), batch)
        if key not in self._engines:
            self._engines.clear()  # one at a time, so that peaks are its own
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            self._engines[key] = Engine(
                self.classifier(network), chosen, device=self.device, batch=batch, dtype=precision
            )
        return self._engines[key]

    # The rows

    def matrix_rate(self, precision: str) -> dict[str, Any]:
        """Operations a second of a square matrix product, the median of several."""
        if precision == "tf32" and self.device.type != "cuda":
            raise MethodError("TF32 exists on CUDA devices only")
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        left = torch.randn(self.size, self.size, device=self.device).to(dtype)
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        try:
            times, _ = medians({"product": lambda: left @ left}, self.device, 10, 0.0)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before
        self.rates[precision] = 2 * self.size**3 / times["product"]
        return {"size": self.size, "flops_per_s": self.rates[precision]}

    def _share(self, engine: Engine, images_per_s: float, precision: str) -> float | None:
        """Of the card's matrix rate in this precision."""
        flops = engine.classifier.pass_cost().get("flops")
        if flops is None or precision not in self.rates:
            return None
        return round(images_per_s * flops * passes(engine.recipe) / self.rates[precision], 4)

    def speed(self, network: str, precision: str) -> dict[str, Any]:
        """Engine, floor and naive."""
        engine = self.engine(network, precision, self.paper)
        reset_peak(self.device)
        with engine.memory_errors(), engine.exact():
            kinds = kinds_of_step(engine, engine.batch)
            if precision == "bfloat16":  # the naive program has no mixed precision
                kinds = {name: run for name, run in kinds.items() if not name.startswith("naive")}
            times, rounds = medians(kinds, self.device, self.rounds, self.round_s)
        one, two = engine.recipe.steps_inversion, engine.recipe.steps_class
        start, finish = times["engine start"], 0.5 * times["bound 2"]
        rate = engine.batch / (start + one * times["engine 1"] + two * times["engine 2"] + finish)
        floor = engine.batch / (times["bound start"] + one * times["bound 1"] + two * times["bound 2"])
        naive = 1 / (one * times["naive 1"] + two * times["naive 2"]) if "naive 1" in times else None
        return {
            "batch": engine.batch,
            "engine_images_per_s": _digits(rate),
            "floor_images_per_s": _digits(floor),
            "naive_images_per_s": _digits(naive),
            "engine_over_floor": round(rate / floor, 3),
            "engine_over_naive": None if naive is None else round(rate / naive, 2),
            "share_of_matrix_rate": self._share(engine, rate, precision),
            "step_1_ms": _digits(1000 * times["engine 1"]),
            "step_2_ms": _digits(1000 * times["engine 2"]),
            "rounds": rounds,
            "peak_mib": round(peak_bytes(self.device) / 2**20),
        }

    def graphs(self, network: str, precision: str) -> dict[str, Any]:
        """The engine with a graph for each stage."""
        engine = self.engine(network, precision, self.paper)
        chosen = engine.recipe
        images, fills = self._noise(engine)
        reset_peak(self.device)
        with engine.memory_errors(), engine.exact():
            targets: list[int | None] = [0] * engine.batch
            plain, inversion = (Inversion(engine.network, chosen, engine.batch) for _ in range(2))
            plain.start(images, fills, targets)
            plain.step()
            graphs = StepGraphs(self.device, None if self.device.type == "cuda" else lambda step: step)
            inversion.start(images, fills, targets)
            first = graphs.hold(inversion)
            graphs.step(first)
            same = torch.equal(plain.omega, first.omega)
            inversion.skip_to(chosen.steps_inversion)
            second = graphs.hold(inversion)

            def step(rows: Inversion, done: int) -> None:
                rows.steps_taken = [done] * engine.batch
                graphs.step(rows)

            kinds: dict[str, Callable[[], object]] = {
                "start": lambda: plain.start(images, fills, targets),
                "1": lambda: step(first, 0),
                "2": lambda: step(second, chosen.steps_inversion),
            }
            times, _ = medians(kinds, self.device, self.rounds, self.round_s)
        steps = chosen.steps_inversion * times["1"] + (chosen.steps_class + 0.5) * times["2"]
        rate = engine.batch / (times["start"] + steps)
        return {
            "captured": self.device.type == "cuda" and graphs.failure is None,
            "failure": graphs.failure,
            "batch": engine.batch,
            "engine_images_per_s": _digits(rate),
            "share_of_matrix_rate": self._share(engine, rate, precision),
            "step_1_ms": _digits(1000 * times["1"]),
            "step_2_ms": _digits(1000 * times["2"]),
            "same_bits_as_without": same,
            "peak_mib": round(peak_bytes(self.device) / 2**20),
        }

    def bits(self, network: str, precision: str) -> dict[str, Any]:
        """Masks of one image in every slot, with other neighbours, in three runs, for both presets."""
        found: dict[str, Any] = {}
        batch = 4 if self.tiny else 8
        for name, chosen in (
            ("paper", recipe("paper", steps_inversion=3, steps_class=10)),
            ("tuned", recipe("tuned", steps_class=8)),
        ):
            engine = self.engine(network, precision, chosen, batch)
            images = photographs(self.classifier(network), chosen)

            def grids(
                order: list[int], engine: Engine = engine, images: list[Prepared] = images
            ) -> list[bytes]:
                """The masks of images in this order, by slot."""
                items = [Item(slot, images[which % len(images)]) for slot, which in enumerate(order)]
                return [e.grid.tobytes() for e in sorted(engine.explain_many(items), key=lambda e: e.key)]

            others = list(range(batch))
            base = grids(others)
            found[f"{name}_runs"] = all(grids(others) == base for _ in range(2))
            found[f"{name}_neighbours"] = grids([0, *reversed(others[1:])])[0] == base[0]
            found[f"{name}_alone"] = grids([0])[0] == base[0]
            slots = [
                grids([*others[1 : slot + 1], 0, *others[slot + 1 :]])[slot] == base[0] for slot in others[1:]
            ]
            found[f"{name}_slots"] = f"{sum(slots)} of {len(slots)}"
        return found

    def difference_to_cpu(self, network: str, precision: str) -> dict[str, Any]:
        """Mean and largest difference of masks to the CPU's, of two photographs, for both presets."""
        found: dict[str, Any] = {}
        for name, chosen in (("tuned", self.tuned), ("paper", self.paper)):
            images = photographs(self.classifier(network), chosen)[:2]
            grids = []
            for device in (torch.device("cpu"), self.device):
                engine = Engine(self.classifier(network), chosen, device=device, batch=2, dtype=precision)
                items = [Item(number, image) for number, image in enumerate(images)]
                done = sorted(engine.explain_many(items), key=lambda e: e.key)
                grids.append(np.stack([explanation.grid for explanation in done]))
            apart = np.abs(grids[0] - grids[1])
            found |= {
                f"{name}_mean": _digits(float(apart.mean())),
                f"{name}_largest": _digits(float(apart.max())),
            }
        return found

    def tuned_speed(self, network: str, precision: str) -> dict[str, Any]:
        """Images a second of a stream of photographs."""
        engine = self.engine(network, precision, self.tuned)
        speed = measure(engine, photographs(engine.classifier, engine.recipe), 0.1 if self.tiny else 4.0)
        return {
            "batch": speed.batch,
            "images_per_s": _digits(speed.images_per_s),
            "images": speed.images,
            "peak_mib": round(speed.peak_bytes / 2**20),
        }

    def grad_cam_speed(self, network: str, precision: str) -> dict[str, Any]:
        """Images a second of the engine's own Grad-CAM, at the engine's batch."""
        engine = self.engine(network, precision, self.paper)
        images, _ = self._noise(engine)
        targets = torch.zeros(engine.batch, dtype=torch.long, device=self.device)
        with engine.memory_errors(), engine.exact():
            kinds: dict[str, Callable[[], object]] = {"map": lambda: engine.network.grad_cam(images, targets)}
            times, _ = medians(kinds, self.device, self.rounds, 0.0)
        return {"batch": engine.batch, "images_per_s": _digits(engine.batch / times["map"])}

    def rise_speed(self, network: str, precision: str) -> dict[str, Any]:
        """Images a second of RISE."""
        engine = self.engine(network, precision, self.paper)
        images, _ = self._noise(engine)
        masks, few = (8, 1) if self.tiny else (RISE_MASKS, min(2, engine.batch))
        targets = torch.zeros(few, dtype=torch.long, device=self.device)

        def maps() -> Tensor:
            module = engine.network.module
            return rise(
                module,
                images[:few],
                targets,
                masks=masks,
                batch=100,
                probabilities=engine.network.probabilities,
            )

        with engine.memory_errors(), engine.exact():
            times, _ = medians({"maps": maps}, self.device, 2, 0.0)
        return {"masks": masks, "images_per_s": _digits(few / times["maps"])}

    def trace(self) -> dict[str, Any]:
        """The kernels of one step of stage 2 that take longest."""
        from torch.profiler import ProfilerActivity, profile

        engine = self.engine("tiny" if self.tiny else "resnet18", "float32", self.paper)
        images, fills = self._noise(engine)
        cuda = self.device.type == "cuda"
        with engine.memory_errors(), engine.exact():
            inversion = Inversion(engine.network, engine.recipe, engine.batch)
            inversion.start(images, fills, [0] * engine.batch)
            inversion.skip_to(engine.recipe.steps_inversion + 1)
            inversion.step()
            synchronise(self.device)
            with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as profiled:
                inversion.step()
                synchronise(self.device)
        times = {
            event.key: (event.self_device_time_total if cuda else event.self_cpu_time_total, event.count)
            for event in profiled.key_averages()
        }
        total = sum(time for time, _ in times.values()) or 1.0
        longest = sorted(times.items(), key=lambda entry: -entry[1][0])[:15]
        return {
            "batch": engine.batch,
            "total_ms": _digits(total / 1000),
            "kernels": [
                {
                    "kernel": name[:120],
                    "ms": _digits(us / 1000),
                    "calls": calls,
                    "share": round(us / total, 3),
                }
                for name, (us, calls) in longest
            ],
        }

    def _noise(self, engine: Engine) -> tuple[Tensor, Tensor]:
        """Images and fills of a whole batch on the device."""
        images = noise(engine, engine.batch)
        return images, torch.zeros_like(images)


def _tiny() -> Classifier:
    """A network that takes no time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            *(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)),
        )
    return from_module(net, (32, 32))


def _digits(number: float | None) -> float | None:
    """Four digits that count."""
    return None if number is None else float(f"{number:.4g}")


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write gpu.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of gpu.json")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of the whole run")
    parser.add_argument("--tiny", action="store_true", help="a small network and short measurements")
    options = parser.parse_args(arguments)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("torch sees no GPU; --device cpu --tiny tries the program")
    Bench(options.out, options.device, options.seconds, options.tiny).run()


if __name__ == "__main__":
    main()
