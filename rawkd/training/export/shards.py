"""Split weights in fp16 into several files (shards), each small enough for any repository."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rawkd.errors import ModelError
from rawkd.inference.weights import SHARD_PREFIX

SHARD_BYTES = 15 << 20
"""Largest size of the tensors in a file, bytes; with its header a file stays under 16 MiB."""


def halve(network: nn.Module) -> None:
    """Round the weights to fp16 values, in place, so that later measurements apply to the exported weights.

    Raises
    ------
    ModelError: if a weight is outside the range of fp16.
    """
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            rounded = tensor.half()
            if not torch.isfinite(rounded).all():
                raise ModelError(f"the weights {name} do not fit into 16-bit floats. Export without --half.")
            tensor.copy_(rounded)


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
