"""Choose the number format of a training step's matrix products: bf16 where the device computes it faster.

Which one is faster is measured, so two starts on one machine may differ. A run keeps the one that it began with, as its
checkpoint says; otherwise a resumed run would not be the uninterrupted one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F

from rawkd.inference.cpu.precisions import FASTER_BELOW
from rawkd.training.run.distributed import Processes

CROPS, CHANNELS, SIDE_PX = 4, 64, 48
"""The timed convolution: 0.34 GMAC, some milliseconds on one thread."""
ROUNDS = 5


AUTO = "auto"
PRECISIONS = {"bf16": torch.bfloat16, "f32": torch.float32}
"""Number formats by the names of `--precision` and of checkpoints."""


def chosen_dtype(
    asked: str,
    stored: str | None,
    processes: Processes,
    tell: Callable[[str], None],
    warn: Callable[[str], None],
) -> torch.dtype:
    """Return the number format of all processes of a run: float32 if one of them needs it.

    Parameters
    ----------
    asked : bf16 | f32, or auto: the stored one, or for a new run the faster one. stored : that of the run's checkpoint.
    tell : called with the format and the reason. warn : called if the asked one is not the stored one.
    """
    if asked != AUTO:
        wanted, reason = PRECISIONS[asked], "as asked"
    elif stored is not None:
        wanted, reason = PRECISIONS[stored], "as this run has so far"
    else:
        wanted, reason = faster_dtype(processes.device.type), "the faster one here"
    dtype = torch.float32 if processes.any(wanted == torch.float32) else torch.bfloat16
    tell(f"steps compute in {name_of(dtype)}, {reason if dtype == wanted else 'as another process needs'}")
    if stored is not None and PRECISIONS[stored] != dtype:
        warn(f"this run computed in {stored} so far, so its result is no longer that of an uninterrupted run")
    return dtype


def name_of(dtype: torch.dtype) -> str:
    """Return the name of a number format: bf16 or f32."""
    return next(name for name, own in PRECISIONS.items() if own == dtype)


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
