"""`gfi worker`: which device a worker gets."""

import pytest

from gfi.cli.errors import CommandError
from gfi.cli.worker import device_settings


@pytest.mark.parametrize(
    ("device", "settings"),
    [
        ("cpu", {"GFI_DEVICE": "cpu"}),
        ("cuda", {"GFI_DEVICE": "cuda:0", "CUDA_VISIBLE_DEVICES": "0"}),
        ("cuda:3", {"GFI_DEVICE": "cuda:0", "CUDA_VISIBLE_DEVICES": "3"}),
    ],
)
def test_a_gpu_worker_sees_its_gpu_alone(device: str, settings: dict[str, str]) -> None:
    assert device_settings(device) == settings


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:-1", "cpu:0"])
def test_another_device_is_refused(device: str) -> None:
    with pytest.raises(CommandError, match="use cpu or cuda:N"):
        device_settings(device)
