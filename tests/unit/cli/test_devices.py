"""`gfi worker`: which devices get a worker, with which variables and cores."""

import pytest

from gfi.cli.devices import Device, device_settings, parse_devices, visible_gpus
from gfi.cli.errors import CommandError


@pytest.mark.parametrize(
    ("device", "settings"),
    [
        ("cpu", {"GFI_DEVICE": "cpu"}),
        ("mps", {"GFI_DEVICE": "mps"}),
        ("cuda", {"GFI_DEVICE": "cuda:0", "CUDA_VISIBLE_DEVICES": "0"}),
        ("cuda:3", {"GFI_DEVICE": "cuda:0", "CUDA_VISIBLE_DEVICES": "3"}),
    ],
)
def test_a_gpu_worker_sees_its_gpu_alone(device: str, settings: dict[str, str]) -> None:
    assert device_settings(device) == settings


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:-1", "cpu:0"])
def test_another_device_is_refused(device: str) -> None:
    with pytest.raises(CommandError, match="use cpu, cuda:N or mps"):
        device_settings(device)


def test_all_gpus_or_some_by_number() -> None:
    everything = parse_devices("all", lambda: ["0", "1", "2"])
    assert [device.name for device in everything] == ["cuda:0", "cuda:1", "cuda:2"]
    assert everything[2].environment == {"GFI_DEVICE": "cuda:0", "CUDA_VISIBLE_DEVICES": "2"}
    assert [device.name for device in parse_devices("0, 2", lambda: ["0", "1", "2"])] == ["cuda:0", "cuda:2"]


def test_the_gpus_that_the_operator_made_visible_are_all_there_are() -> None:
    there = visible_gpus({"CUDA_VISIBLE_DEVICES": "5,GPU-8a"})
    assert list(there) == ["5", "GPU-8a"]
    second = parse_devices("1", lambda: there)[0]
    assert second == Device("cuda:1", {"GFI_DEVICE": "cuda:0", "CUDA_VISIBLE_DEVICES": "GPU-8a"})
    assert not visible_gpus({"CUDA_VISIBLE_DEVICES": ""})


def test_workers_on_the_cpu_share_its_cores() -> None:
    shares = parse_devices("cpu:3", cores=[0, 1, 4, 5, 6, 7, 8])
    assert [share.cores for share in shares] == [(0, 1), (4, 5), (6, 7)]
    assert all(share.environment == {"GFI_DEVICE": "cpu", "GFI_THREADS": "2"} for share in shares)
    assert [share.name for share in parse_devices("cpu", cores=[3])] == ["cpu:0"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("all", "no NVIDIA GPU was found"),
        ("1", "there is no GPU 1; 0 found"),
        ("cpu:9", "may use 2 cores"),
        ("cpu:0", "use cpu:N"),
        ("cpu:x", "use cpu:N"),
        ("gpu", "use all, numbers of GPUs"),
        ("", "use all, numbers of GPUs"),
        ("0,0", "named twice"),
        ("-1", "use all, numbers of GPUs"),
    ],
)
def test_devices_that_are_not_there_are_refused(text: str, says: str) -> None:
    with pytest.raises(CommandError, match=says):
        parse_devices(text, lambda: [], cores=[0, 1])
