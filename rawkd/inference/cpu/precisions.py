"""Which precision this CPU computes fastest in: float32, bf16 or int8.

Having a precision is not enough. AMX runs a convolution in bf16 several times as fast as in float32, an AMD EPYC twice
as fast, but an Intel Xeon whose AMX is switched off, as in some virtual machines, takes nearly twice the time. OpenVINO
does not tell whether there is AMX. So one convolution is timed in each, once on each machine. The times are kept in the
disk cache.
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

from rawkd import disk_cache
from rawkd.inference.graph.int8 import quantise_inputs, quantise_kernels
from rawkd.inference.openvino_library import import_openvino, openvino_core

CHANNELS = 128
PLANES, KERNEL = (1, CHANNELS, 32, 32), (CHANNELS, CHANNELS, 3, 3)
"""The timed convolution: 0.15 GMAC, 1 to 5 ms on one thread."""
ROUNDS = 7
FASTER_BELOW = 0.9
"""Largest ratio of the times at which the shorter precision is used. A large convolution in bf16 takes 0.54 of the time
in float32 where it is faster, 1.9 where it is not (docs/performance.md)."""
LARGEST_ERROR = 0.05
"""Largest relative rms error of the timed convolution in int8, whose inputs and kernel have the largest size only. With
VNNI it has 0.005; without, CPUs add pairs of products in 16 bits, which overflow: 0.49 (AVX2 and AVX-512)."""
TIMING = Lock()


@cache
def has_bf16() -> bool:
    """Return whether OpenVINO computes in bf16 on this CPU without emulating it."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def bf16_is_faster() -> bool:
    """Return whether the CPU has bf16 and a convolution in it is faster than in float32.

    Without a readable disk cache each process measures, which takes 0.1 s.
    """
    return has_bf16() and _faster("bf16", "f32")


def int8_is_faster(other: str) -> bool:
    """Return whether a convolution in int8 is right on this CPU, and faster than in `other`, f32 or bf16."""
    return _faster("int8", other)


def _faster(precision: str, other: str) -> bool:
    """Return whether a convolution in `precision` is clearly faster; a precision without a time is slower."""
    with TIMING:  # threads that time at once disturb each other and may disagree
        times = _times()
    return times.get(precision, np.inf) < FASTER_BELOW * times.get(other, np.inf)


@cache
def _times() -> dict[str, float]:
    """Return the time of the convolution by precision, seconds, from the disk cache or measured."""
    openvino = import_openvino()
    name = openvino_core().get_property("CPU", "FULL_DEVICE_NAME")
    timed = (PLANES, KERNEL, ROUNDS)
    key = json.dumps(["times of a convolution", timed, openvino.get_version(), platform.node(), name])
    for kept in disk_cache.load(key) or ():
        with suppress(ValueError, TypeError, AttributeError):
            return {str(precision): float(seconds) for precision, seconds in json.loads(kept).items()}
    times = _measured_times()
    disk_cache.keep(key, [json.dumps(times).encode()])
    return times


def _measured_times() -> dict[str, float]:
    """Return the shortest times; rounds alternate. int8 is missing where its sums are wrong."""
    rng = np.random.default_rng(0)
    planes, kernel = (rng.choice(np.array([-1, 1], np.float32), shape) for shape in (PLANES, KERNEL))
    asked = ("f32", "bf16", "int8") if has_bf16() else ("f32", "int8")
    requests = {}
    for precision in asked:
        with suppress(RuntimeError):  # what does not compile has no time
            requests[precision] = _convolution(precision, kernel)
    answers = {precision: request.infer([planes])[0] for precision, request in requests.items()}
    exact, rounded = answers["f32"], answers.get("int8")
    if rounded is not None and not np.mean((rounded - exact) ** 2) < LARGEST_ERROR**2 * np.mean(exact**2):
        del requests["int8"]
    times = dict.fromkeys(requests, np.inf)
    for _ in range(ROUNDS):
        for precision, request in requests.items():
            begin = time.perf_counter()
            request.infer([planes], share_inputs=True, share_outputs=True)
            times[precision] = min(times[precision], time.perf_counter() - begin)
    return times


def _convolution(precision: str, values: Any) -> Any:
    """Return an infer request for the timed convolution on one thread."""
    openvino = import_openvino()
    from openvino import opset13 as operations

    planes, kernel = operations.parameter(PLANES, np.float32), operations.constant(values)
    kernel.set_friendly_name("timed.weight")
    result = operations.convolution(planes, kernel, [1, 1], [1, 1], [1, 1], [1, 1])
    model = openvino.Model([result], [planes])
    if precision == "int8":
        quantise_inputs(openvino, model, {"timed": np.ones(CHANNELS, np.float32)})
        quantise_kernels(openvino, model)
    hint = "f32" if precision == "int8" else precision
    options = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1}
    return openvino_core().compile_model(model, "CPU", options).create_infer_request()
