"""Choose the number format of a training step's matrix products: bf16 where the device computes it faster."""

from __future__ import annotations

import time
from functools import cache

import torch
import torch.nn.functional as F

from rawkd.inference.cpu.precisions import FASTER_BELOW
from rawkd.training.run.distributed import Processes

CROPS, CHANNELS, SIDE_PX = 4, 64, 48
"""The timed convolution: 0.34 GMAC, some milliseconds on one thread."""
ROUNDS = 5


def common_dtype(processes: Processes) -> torch.dtype:
    """Return the number format of all processes of a run: float32 if bf16 is no faster in one of them."""
    in_float32 = processes.any(faster_dtype(processes.device.type) == torch.float32)
    return torch.float32 if in_float32 else torch.bfloat16


@cache
def faster_dtype(device_type: str) -> torch.dtype:
    """Return bfloat16, or float32 on a CPU whose convolutions are no faster in bf16.

    On an Intel Xeon without AMX a step in float32 takes 0.65 to 0.8 of its time in bf16 (docs/training.md).
    """
    if device_type != "cpu":
        return torch.bfloat16
    seconds: dict[torch.dtype, list[float]] = {torch.bfloat16: [], torch.float32: []}
    planes = torch.full((CROPS, CHANNELS, SIDE_PX, SIDE_PX), 0.5).contiguous(memory_format=torch.channels_last)
    kernel = torch.full((CHANNELS, CHANNELS, 3, 3), 0.01).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        for _ in range(ROUNDS):
            for dtype, taken in seconds.items():
                values, weights = planes.to(dtype), kernel.to(dtype)
                begin = time.perf_counter()
                F.conv2d(values, weights, padding=1)
                taken.append(time.perf_counter() - begin)
    faster = min(seconds[torch.bfloat16]) < FASTER_BELOW["bf16"] * min(seconds[torch.float32])
    return torch.bfloat16 if faster else torch.float32
