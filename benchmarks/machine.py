"""The machine that a figure was measured on."""

import platform
from pathlib import Path


def cpu_name() -> str:
    """The processor's name as reported by the kernel, and the number of threads that torch uses."""
    import torch  # 0.5 GiB that a figure of a program without torch must not contain

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()} ({torch.get_num_threads()} threads)"
