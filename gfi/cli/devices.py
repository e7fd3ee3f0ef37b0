"""Which devices of a machine get a worker: `gfi worker --devices all | 0,2 | cpu:4`."""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gfi.cli.errors import CommandError
from gfi.cli.reading import words

NVIDIA_SMI_S = 30.0


@dataclass(frozen=True)
class Device:
    """A device and what the worker on it is started with. cores: the CPU cores that it may use; empty: any."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    cores: tuple[int, ...] = ()


def device_settings(device: str) -> dict[str, str]:
    """The environment of a worker on `device`: "cpu", "mps", "cuda" or "cuda:N". CommandError for any other text."""
    if device in ("cpu", "mps"):
        return {"GFI_DEVICE": device}
    kind, _, number = device.partition(":")
    if kind != "cuda" or not (number or "0").isdigit():
        raise CommandError(f"--device {device}: use cpu, cuda:N or mps")
    # CUDA reads this once, when Python starts. The process then sees only this GPU, as cuda:0.
    return {"GFI_DEVICE": "cuda:0", "CUDA_VISIBLE_DEVICES": number or "0"}


def visible_gpus(environ: Mapping[str, str] = os.environ) -> Sequence[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them: those of that variable, else all.

    Without torch: importing it in the supervisor would take seconds, and memory on the first card.
    """
    if "CUDA_VISIBLE_DEVICES" in environ:
        return words(environ["CUDA_VISIBLE_DEVICES"])
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False, timeout=NVIDIA_SMI_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(number) for number in range(len(lines))] if listed.returncode == 0 else []


def gpu_memory_mib(visible: str) -> int:
    """Memory of a GPU as CUDA_VISIBLE_DEVICES names it, from nvidia-smi; 0 if that does not say."""
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits", "--id", visible]
    try:
        told = subprocess.run(query, capture_output=True, text=True, check=False, timeout=NVIDIA_SMI_S).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return int(told) if told.strip().isdigit() else 0


def parse_devices(
    text: str, gpus: Callable[[], Sequence[str]] = visible_gpus, cores: Sequence[int] | None = None
) -> list[Device]:
    """The devices that `--devices` names. cores: of this machine, by default those that this process may use.

    Raises CommandError for a text that is not one of the three forms, a device twice, or more than there are.
    """
    if text.partition(":")[0] == "cpu":
        return _cpu_shares(text, cores if cores is not None else _own_cores())
    there = gpus()
    if text == "all":
        if not there:
            raise CommandError(
                "--devices all: no NVIDIA GPU was found; for workers on the CPU: --devices cpu:2"
            )
        return [_gpu(number, visible) for number, visible in enumerate(there)]
    numbers = words(text)
    if not numbers or not all(number.isdigit() for number in numbers):
        raise CommandError(f"--devices {text}: use all, numbers of GPUs as in 0,2, or cpu:N")
    if len(set(numbers)) < len(numbers):
        raise CommandError(f"--devices {text}: a device is named twice")
    for number in numbers:
        if int(number) >= len(there):
            raise CommandError(f"--devices {text}: there is no GPU {number}; {len(there)} found")
    return [_gpu(int(number), there[int(number)]) for number in numbers]


def _gpu(number: int, visible: str) -> Device:
    return Device(f"cuda:{number}", {"GFI_DEVICE": "cuda:0", "CUDA_VISIBLE_DEVICES": visible})


def _own_cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _cpu_shares(text: str, cores: Sequence[int]) -> list[Device]:
    """Workers on the CPU, each with its own cores and as many threads."""
    count = text.partition(":")[2] or "1"
    if not count.isdigit() or int(count) < 1:
        raise CommandError(f"--devices {text}: use cpu:N with the number of workers")
    if int(count) > len(cores):
        raise CommandError(
            f"--devices {text}: this process may use {len(cores)} cores; use at most cpu:{len(cores)}"
        )
    each = len(cores) // int(count)
    return [
        Device(
            f"cpu:{number}",
            {"GFI_DEVICE": "cpu", "GFI_THREADS": str(each)},
            tuple(cores[number * each : (number + 1) * each]),
        )
        for number in range(int(count))
    ]
