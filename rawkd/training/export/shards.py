"""Weights as 16-bit floats in several files, each small enough for any repository."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rawkd.errors import ModelError
from rawkd.inference.weights import SHARD_PREFIX

SHARD_BYTES = 15 << 20
"""Bytes of tensors in a file; with its header it stays under 16 MiB."""


def halve(network: nn.Module) -> None:
    """Round the weights to what 16-bit floats hold, in place: what is measured afterwards is what ships.

    Raises
    ------
    ModelError: if a weight is beyond the range of 16 bits.
    """
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            rounded = tensor.half()
            if not torch.isfinite(rounded).all():
                raise ModelError(f"the weights {name} do not fit into 16-bit floats: export without --half")
            tensor.copy_(rounded)


def shards(network: nn.Module) -> dict[str, bytes]:
    """The weights as fp16 safetensors files by name, `weights-1-of-2.safetensors`, tensors in the network's order.

    Raises
    ------
    ModelError: if one tensor alone is larger than a file may be.
    """
    from safetensors.torch import save

    parts: list[dict[str, Tensor]] = [{}]
    filled = 0
    for name, tensor in network.state_dict().items():
        half = tensor.detach().half().contiguous().clone()
        size = half.numel() * half.element_size()
        if size > SHARD_BYTES:
            raise ModelError(f"the weights {name} are {size >> 20} MiB, more than a file may hold: make it narrower")
        if filled + size > SHARD_BYTES:
            parts.append({})
            filled = 0
        parts[-1][name] = half
        filled += size
    return {
        f"{SHARD_PREFIX}{number}-of-{len(parts)}.safetensors": bytes(save(part)) for number, part in enumerate(parts, 1)
    }
