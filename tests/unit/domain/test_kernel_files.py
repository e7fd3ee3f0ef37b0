"""What the kernel says of memory."""

from pathlib import Path

import pytest

from gfi.domain import kernel_files


def test_a_container_has_its_own_limit_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_files, "CGROUP", tmp_path)
    monkeypatch.setattr(kernel_files, "MEMINFO", tmp_path / "meminfo")
    assert kernel_files.container_memory("max") is None
    assert kernel_files.available_memory() is None
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1024\n")
    (tmp_path / "meminfo").write_text("MemTotal:  9 kB\nMemAvailable:  7 kB\n")
    assert kernel_files.container_memory("max") is None
    assert kernel_files.container_memory("current") == 1024
    assert kernel_files.available_memory() == 7 * 1024
