"""The largest batch that fits, from the memory that one step needs per image and the free memory."""

import torch
from torch import Tensor

from gfi.domain.costs import CPU_BATCH
from gfi.domain.kernel_files import available_memory, container_memory
from gfi.domain.recipes import Recipe
from gfi.method.inversion import Inversion
from gfi.method.network import Network

CUDA_BATCH = 64
"""The largest batch on a GPU. Stage 2 then runs 128 images in one pass, and the last batch of a shard is padded, so a
larger batch has a price too. (Not yet measured on a GPU.)"""
USABLE_SHARE = 0.7
"""The usable share of the free memory: allocators round up, and other programs run on the machine."""
OVERHEAD = 1.5
"""Memory of a step relative to what autograd keeps: gradients and the kernels' scratch space come on top."""


def fitting_batch(network: Network, recipe: Recipe, shape: tuple[int, int, int], device: torch.device) -> int:
    """The largest power of two of images of `shape` (C, H, W) whose step fits the free memory now, at least 1.

    At most CPU_BATCH or CUDA_BATCH, beyond which nothing is gained.
    """
    fits = int(USABLE_SHARE * free_bytes(device) / bytes_per_image(network, recipe, shape, device))
    most = CPU_BATCH if device.type == "cpu" else CUDA_BATCH
    return 1 << (max(1, min(fits, most)).bit_length() - 1)


def bytes_per_image(
    network: Network, recipe: Recipe, shape: tuple[int, int, int], device: torch.device
) -> int:
    """The most bytes that an image (C, H, W) of a batch needs, counted over one step of stage 2 on noise."""
    inversion = Inversion(network, recipe, 1)
    noise = torch.randn((1, *shape), generator=torch.Generator().manual_seed(0)).to(device, network.dtype)
    fill = torch.zeros_like(noise)
    inversion.start(noise, fill, [None], fill if recipe.second_fill != "none" else None)
    state = sum(t.nbytes for t in vars(inversion).values() if isinstance(t, Tensor))
    own = (*network.module.parameters(), *network.module.buffers())
    weights = {tensor.untyped_storage().data_ptr() for tensor in own}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    inversion.skip_to(recipe.steps_inversion)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        inversion.step()
    # The state twice: of the images in stage 2, and of those that wait for a slot.
    return round(OVERHEAD * sum(kept.values())) + 2 * state


def free_bytes(device: torch.device) -> int:
    """Free memory of `device` in bytes, with torch's own reserve; for the CPU, of the machine or its container."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    available = available_memory()
    free = 8 << 30 if available is None else available
    limit, used = container_memory("max"), container_memory("current")
    return free if limit is None or used is None else min(free, limit - used)
