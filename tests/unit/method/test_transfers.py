"""Copies to and from a device; without a GPU they are plain ones."""

import torch

from gfi.method.transfers import Uploads, to_host


def test_tensors_arrive_as_they_were() -> None:
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    images = torch.arange(24.0, dtype=torch.float64).view(2, 3, 2, 2)
    there = Uploads(device)(images)
    assert there.device == device
    back, flags = to_host([there * 2, there.flatten(1).sum(1) > 100])
    assert torch.equal(back, images * 2)
    assert flags.tolist() == [False, True]
