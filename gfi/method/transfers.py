"""Copies between the host and a GPU that neither waits for: from and into pinned memory, images on a stream of their
own. On other devices these are plain copies."""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor


class Uploads:
    """Copies images to one device while it computes."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    @cached_property
    def _stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self._device)

    def __call__(self, images: Tensor) -> Tensor:
        """`images` of the host on the device. What is queued on the current stream from now on waits for them."""
        if self._device.type != "cuda":
            return images.to(self._device)
        # The allocators of pinned and of device memory know the stream of a copy, and reuse memory only after it.
        pinned = images.pin_memory()
        with torch.cuda.stream(self._stream):
            copied = pinned.to(self._device, non_blocking=True)
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._stream)
        copied.record_stream(current)
        return copied


def to_host(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors on the host, with one wait for all of them."""
    if all(tensor.device.type != "cuda" for tensor in tensors):
        return [tensor.cpu() for tensor in tensors]
    copies = [
        torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
        for tensor in tensors
    ]
    torch.cuda.current_stream(tensors[0].device).synchronize()
    return copies
