"""Split weights in fp16 into several files (shards), each small enough for any repository."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rawkd.errors import ModelError
from rawkd.inference.weights import SHARD_PREFIX

SHARD_BYTES = 15 << 20
"""Largest size of the tensors in a file, bytes; with its header a file stays under 16 MiB."""

LARGE_KERNEL, STEPS = 80_000, 128
"""A kernel wider than a pixel that has more weights is rounded to so many steps, on either side of zero, of the next
power of two above the largest weight of an output channel. Its fp16 values end in zeros, so that wheels and
repositories compress them: `best` to 8.6 MB instead of 13.5, at no cost (docs/training-log.md)."""


def halve(network: nn.Module) -> None:
    """Round the weights to fp16 values, in place, so that later measurements apply to the exported weights.

    Large kernels are rounded further (`LARGE_KERNEL`).

    Raises
    ------
    ModelError: if a weight is outside the range of fp16.
    """
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            is_large = tensor.dim() == 4 and tensor.shape[-1] > 1 and tensor.numel() > LARGE_KERNEL
            rounded = (_coarse(tensor) if is_large else tensor).half()
            if not torch.isfinite(rounded).all():
                raise ModelError(f"the weights {name} do not fit into 16-bit floats. Export without --half.")
            tensor.copy_(rounded)


def _coarse(kernel: Tensor) -> Tensor:
    """Return a kernel, (out, in, h, w), whose weights are whole multiples of a power of two for each output channel."""
    largest = kernel.abs().amax((1, 2, 3), keepdim=True).clamp(min=torch.finfo(torch.float16).tiny)
    step = 2 ** torch.ceil(torch.log2(largest)) / STEPS
    return torch.round(kernel / step) * step


def shards(network: nn.Module) -> dict[str, bytes]:
    """Return the weights as fp16 safetensors files by name, such as `weights-1-of-2.safetensors`.

    Raises
    ------
    ModelError: if a single tensor is larger than `SHARD_BYTES`.
    """
    from safetensors.torch import save

    parts: list[dict[str, Tensor]] = [{}]
    filled = 0
    for name, tensor in network.state_dict().items():
        half = tensor.detach().half().contiguous().clone()
        size = half.numel() * half.element_size()
        if size > SHARD_BYTES:
            raise ModelError(
                f"the weights {name} have {size >> 20} MiB, more than a shard can hold. Use a narrower network."
            )
        if filled + size > SHARD_BYTES:
            parts.append({})
            filled = 0
        parts[-1][name] = half
        filled += size
    return {
        f"{SHARD_PREFIX}{number}-of-{len(parts)}.safetensors": bytes(save(part)) for number, part in enumerate(parts, 1)
    }
