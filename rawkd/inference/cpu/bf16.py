"""Whether this CPU computes faster in bf16 than in float32.

Having bf16 is not enough. AMX runs a convolution in bf16 several times as fast as in float32, an AMD EPYC twice as
fast, but an Intel Xeon whose AMX is switched off, as in some virtual machines, takes nearly twice the time. OpenVINO
does not tell whether there is AMX. So one convolution is timed in both, once on each machine; the ratio is kept in the
disk cache.
"""

from __future__ import annotations

import json
import platform
import time
from functools import cache
from threading import Lock
from typing import Any

import numpy as np

from rawkd import disk_cache
from rawkd.inference.openvino_library import import_openvino, openvino_core

CHANNELS, SIDE_PX, KERNEL_PX = 64, 64, 3
"""The timed convolution: 0.15 GMAC, 1 to 5 ms on one thread."""
ROUNDS = 7
FASTER_BELOW = 0.9
"""Largest ratio of the times at which bf16 is used; a large convolution has 0.54 where bf16 is faster, 1.9 where it
is not (docs/performance.md)."""
TIMING = Lock()


@cache
def has_bf16() -> bool:
    """Return whether OpenVINO computes in bf16 on this CPU without emulating it."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def bf16_is_faster() -> bool:
    """Return whether the CPU has bf16 and a convolution in it is faster than in float32.

    Without a readable disk cache each process measures, which takes 0.1 s.
    """
    with TIMING:  # threads that time at once disturb each other and may disagree
        return has_bf16() and _ratio() < FASTER_BELOW


@cache
def _ratio() -> float:
    """Return the time of the convolution in bf16 over that in float32, from the disk cache or measured."""
    openvino = import_openvino()
    name = openvino_core().get_property("CPU", "FULL_DEVICE_NAME")
    timed = (CHANNELS, SIDE_PX, KERNEL_PX, ROUNDS)
    key = json.dumps(["bf16 over f32", timed, openvino.get_version(), platform.node(), name])
    kept = disk_cache.load(key)
    if kept is not None and len(kept) == 1:
        return float(kept[0])
    ratio = _measured_ratio()
    disk_cache.keep(key, [str(ratio).encode()])
    return ratio


def _measured_ratio() -> float:
    """Return the ratio of the shortest times; rounds alternate."""
    requests = {precision: _convolution(precision) for precision in ("f32", "bf16")}
    planes = np.full((1, CHANNELS, SIDE_PX, SIDE_PX), 0.5, np.float32)
    seconds: dict[str, list[float]] = {precision: [] for precision in requests}
    for _ in range(ROUNDS):
        for precision, request in requests.items():
            begin = time.perf_counter()
            request.infer([planes], share_inputs=True, share_outputs=True)
            seconds[precision].append(time.perf_counter() - begin)
    return min(seconds["bf16"]) / min(seconds["f32"])


def _convolution(precision: str) -> Any:
    """Return an infer request for the timed convolution on one thread."""
    openvino = import_openvino()
    from openvino import opset13 as operations

    planes = operations.parameter([1, CHANNELS, SIDE_PX, SIDE_PX], np.float32)
    kernel = operations.constant(np.full((CHANNELS, CHANNELS, KERNEL_PX, KERNEL_PX), 0.01, np.float32))
    result = operations.convolution(planes, kernel, [1, 1], [1, 1], [1, 1], [1, 1])
    options = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1}
    return openvino_core().compile_model(openvino.Model([result], [planes]), "CPU", options).create_infer_request()
