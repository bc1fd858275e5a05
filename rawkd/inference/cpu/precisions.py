"""Which precision this CPU computes fastest in: float32, bf16 or int8.

Having a precision is not enough. AMX runs a convolution in bf16 several times as fast as in float32, an AMD EPYC twice
as fast, but an Intel Xeon whose AMX is switched off, as in some virtual machines, takes nearly twice the time. OpenVINO
does not tell whether there is AMX. So one convolution is timed in each, once on each machine. The times are kept in the
disk cache, unless the machine was too busy to measure them.
"""

from __future__ import annotations

import json
import platform
import time
from contextlib import suppress
from functools import cache
from threading import Lock
from typing import Any

import numpy as np

from rawkd import __version__, disk_cache
from rawkd.inference.graph.int8 import quantise_inputs, quantise_kernels
from rawkd.inference.openvino_library import import_openvino, openvino_core
from rawkd.photo import FloatArray

CHANNELS = 128
PLANES, KERNEL = (1, CHANNELS, 32, 32), (CHANNELS, CHANNELS, 3, 3)
"""The timed convolution: 0.15 GMAC, 1 to 5 ms on one thread."""
ROUNDS, MOST_ROUNDS = 7, 40
EQUAL, AGREEING = 1.1, 3
"""Times are trusted, and kept for later runs, once the three shortest of each precision are within 10 % of each other.
On a busy machine they scatter more (our choice)."""
FASTER_BELOW = {"bf16": 0.9, "int8": 0.75}
"""Largest ratio of the times at which a precision is used. Where bf16 is faster, a large convolution takes 0.54 of the
time in float32, else 1.9. In int8 it takes 0.33 of the time in float32, 0.55 with AVX2 alone, and 0.57 of that in bf16
(docs/performance.md). The gain in a whole network is smaller."""
LARGEST_ERROR = 0.05
"""Largest relative rms error of the convolution in int8, whose inputs and weights are all -1 or 1. With VNNI it is
0.006; other CPUs add pairs of products in 16 bits, which overflow: 0.50 (AVX2 and AVX-512). With kernels of 7 bits they
do not: 0.006."""
TIMING = Lock()


@cache
def has_bf16() -> bool:
    """Return whether OpenVINO computes in bf16 on this CPU without emulating it."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def bf16_is_faster() -> bool:
    """Return whether the CPU has bf16 and a convolution in it is faster than in float32.

    Without a readable disk cache each process measures, which takes 0.2 s.
    """
    return has_bf16() and _faster("bf16", "f32")


def int8_is_faster(other: str, bits: int = 8) -> bool:
    """Return whether a convolution in int8 is right on this CPU, and faster than in `other`, f32 or bf16.

    Parameters
    ----------
    bits : of the kernel, 8 or 7. They make no difference to the time.
    """
    return _faster("int8", other) and int8_is_right(bits)


@cache
def int8_is_right(bits: int = 8) -> bool:
    """Return whether this CPU adds products of int8 without overflow; with kernels of 7 bits, 16 bits hold a pair.

    Each process that would use int8 looks (0.05 s), because a virtual machine can move to another processor, and wrong
    sums alter pictures.
    """
    try:
        exact, rounded = (_convolution(name, bits).infer([_values(PLANES)])[0] for name in ("f32", "int8"))
    except RuntimeError:
        return False
    return bool(np.mean((rounded - exact) ** 2) < LARGEST_ERROR**2 * np.mean(exact**2))


def _faster(precision: str, other: str) -> bool:
    """Return whether a convolution in `precision` is clearly faster; a precision without a time is slower."""
    with TIMING:  # threads that time at once disturb each other and may disagree
        times = _times()
    return times.get(precision, np.inf) < FASTER_BELOW[precision] * times.get(other, np.inf)


@cache
def _times() -> dict[str, float]:
    """Return the time of the convolution by precision, seconds, from the disk cache or measured."""
    openvino = import_openvino()
    name = openvino_core().get_property("CPU", "FULL_DEVICE_NAME")
    timed = (PLANES, KERNEL, ROUNDS, MOST_ROUNDS, __version__)
    key = json.dumps(["times of a convolution", timed, openvino.get_version(), platform.node(), name])
    for kept in disk_cache.load(key) or ():
        with suppress(ValueError, TypeError, AttributeError):
            return {str(precision): float(seconds) for precision, seconds in json.loads(kept).items()}
    times, is_sure = _measured_times()
    if is_sure:
        disk_cache.keep(key, [json.dumps(times).encode()])
    return times


def _measured_times() -> tuple[dict[str, float], bool]:
    """Return the shortest times, and whether they can be trusted (`EQUAL`); rounds alternate.

    A precision that does not compile or run is missing.
    """
    planes, requests = _values(PLANES), {}
    for precision in ("f32", "bf16", "int8") if has_bf16() else ("f32", "int8"):
        with suppress(RuntimeError):
            request = _convolution(precision)
            request.infer([planes])
            requests[precision] = request
    seconds: dict[str, list[float]] = {precision: [] for precision in requests}
    is_sure = False
    for number in range(MOST_ROUNDS):
        for precision, request in requests.items():
            begin = time.perf_counter()
            request.infer([planes], share_inputs=True, share_outputs=True)
            seconds[precision].append(time.perf_counter() - begin)
        if number + 1 >= ROUNDS:
            shortest = [sorted(found)[:AGREEING] for found in seconds.values()]
            is_sure = all(few[-1] <= EQUAL * few[0] for few in shortest)
        if is_sure:
            break
    return {precision: min(found) for precision, found in seconds.items()}, is_sure


def _values(shape: tuple[int, ...]) -> FloatArray:
    """Return -1 and 1 at random: the largest sums that int8 can give."""
    return np.random.default_rng(0).choice(np.array([-1, 1], np.float32), shape)


def _convolution(precision: str, bits: int = 8) -> Any:
    """Return an infer request for the timed convolution on one thread; `bits` are those of the kernel in int8."""
    openvino = import_openvino()
    from openvino import opset13 as operations

    planes, kernel = operations.parameter(PLANES, np.float32), operations.constant(_values(KERNEL))
    kernel.set_friendly_name("timed.weight")
    result = operations.convolution(planes, kernel, [1, 1], [1, 1], [1, 1], [1, 1])
    model = openvino.Model([result], [planes])
    if precision == "int8":
        quantise_inputs(openvino, model, {"timed": np.ones(CHANNELS, np.float32)})
        quantise_kernels(openvino, model, bits)
    hint = "f32" if precision == "int8" else precision
    options = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1}
    return openvino_core().compile_model(model, "CPU", options).create_infer_request()
