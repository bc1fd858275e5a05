"""Write weights as fp16 and int8, split into files (shards) that are small enough for any repository."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rawkd.errors import ModelError
from rawkd.inference.weights import SHARD_PREFIX, STEP_SUFFIX

SHARD_BYTES = 15 << 20
"""Largest size of the tensors in a file, bytes; with its header a file stays under 16 MiB."""

LARGE_KERNEL, STEPS = 80_000, 64
"""A kernel wider than a pixel that has more weights is rounded to so many steps, on either side of zero, of the next
power of two above the largest weight of an output channel, and stored as int8. `best` takes 8.1 MB instead of 14.6 and
loses 0.002 dB; kernels of one pixel would lose 0.03 to 0.06 dB (docs/training-log.md)."""


def halve(network: nn.Module) -> None:
    """Round the weights to what `shards` stores, in place, so that later measurements apply to the exported weights.

    Raises
    ------
    ModelError: if a weight is outside the range of fp16.
    """
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if not torch.isfinite(tensor.half()).all():
                raise ModelError(f"the weights {name} do not fit into 16-bit floats. Export without --half.")
            if _is_large(tensor):
                step = _step(tensor)
                tensor.copy_(torch.round(tensor / step) * step)
            else:
                tensor.copy_(tensor.half())


def _is_large(tensor: Tensor) -> bool:
    return tensor.dim() == 4 and tensor.shape[-1] > 1 and tensor.numel() > LARGE_KERNEL


def _step(kernel: Tensor) -> Tensor:
    """Return the rounding step of each output channel, (out, 1, 1, 1): a power of two.

    A kernel that is rounded already keeps its values: its step stays the same or becomes smaller.
    """
    largest = kernel.abs().amax((1, 2, 3), keepdim=True).clamp(min=torch.finfo(torch.float16).tiny)
    mantissa, exponent = torch.frexp(largest)  # of a power of two: 0.5, and one more than its logarithm
    return torch.ldexp(torch.ones_like(largest), exponent - (mantissa == 0.5).int()) / STEPS


def _stored(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """Return a tensor as a file holds it: fp16, or int8 and the steps of its output channels in fp16."""
    if not _is_large(tensor):
        return {name: tensor.half()}
    step = _step(tensor)
    return {name: torch.round(tensor / step).to(torch.int8), name + STEP_SUFFIX: step.half()}


def shards(network: nn.Module) -> dict[str, bytes]:
    """Return the weights as safetensors files by name, such as `weights-1-of-2.safetensors`.

    Raises
    ------
    ModelError: if a single tensor is larger than `SHARD_BYTES`.
    """
    from safetensors.torch import save

    parts: list[dict[str, Tensor]] = [{}]
    filled = 0
    for name, tensor in network.state_dict().items():
        stored = {part: value.contiguous().clone() for part, value in _stored(name, tensor.detach()).items()}
        size = sum(value.numel() * value.element_size() for value in stored.values())
        if size > SHARD_BYTES:
            raise ModelError(
                f"the weights {name} have {size >> 20} MiB, more than a shard can hold. Use a narrower network."
            )
        if filled + size > SHARD_BYTES:
            parts.append({})
            filled = 0
        parts[-1] |= stored
        filled += size
    return {
        f"{SHARD_PREFIX}{number}-of-{len(parts)}.safetensors": bytes(save(part)) for number, part in enumerate(parts, 1)
    }
