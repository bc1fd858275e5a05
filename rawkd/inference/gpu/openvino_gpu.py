"""Runs networks on an Intel GPU with OpenVINO, which the plain install contains."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import ModelError, UsageError
from rawkd.inference.card import ModelCard
from rawkd.inference.engine import ON_CPU
from rawkd.inference.gpu.compiled import CompiledEngine, Run
from rawkd.inference.graph.openvino_graph import fill, split_before_convolutions
from rawkd.inference.openvino_library import import_openvino, openvino_core, through
from rawkd.inference.weights import NETWORK, load_weights, shard_names, verified_bytes

HINTS = {"f32": "f32", "fp16": "f16"}
"""OpenVINO's names of the precisions."""


def precision_of(card: ModelCard, precision: str | None = None, gain: float | None = None) -> str:
    """The precision that an Intel GPU computes in: f32, or fp16 from the first convolution on.

    Parameters
    ----------
    precision : asked for; None takes fp16 where the card allows bf16, for photos of `gain` or for all: fp16 has finer
        steps, and enough range for values near 1.

    Raises
    ------
    UsageError: for another precision.
    """
    if precision not in (None, *HINTS):
        raise UsageError(f"OpenVINO computes in f32 or fp16 on a GPU, not {precision}")
    return precision or ("fp16" if card.allows("bf16", gain=gain) else "f32")


def load_openvino_gpu_engine(card: ModelCard, precision: str, target: str | None = None) -> CompiledEngine:
    """The card's network on the Intel GPU of this machine, a separate card before one in the processor.

    Parameters
    ----------
    precision : f32 | fp16. target : OpenVINO's name of the device; None looks for a GPU.

    Raises
    ------
    ModelError: if OpenVINO finds no GPU, or the network is altered.
    """
    openvino = import_openvino()
    core = openvino_core()
    target = target or _gpu_of(core)
    identity = f"OpenVINO {openvino.get_version()} on {core.get_property(target, 'FULL_DEVICE_NAME')}, {precision}"
    weights = load_weights(card) if shard_names(card) else {}
    network = verified_bytes(card, NETWORK)
    compile_for = partial(_compile, core, card.directory / NETWORK, network, weights, target, precision)
    return CompiledEngine("gpu", precision, identity, compile_for)


def _gpu_of(core: Any) -> str:
    """Return OpenVINO's name of a GPU.

    Raises
    ------
    ModelError: if it finds none.
    """
    found: list[str] = [name for name in core.available_devices if name.split(".")[0] == "GPU"]
    if not found:
        raise ModelError(
            "OpenVINO finds no Intel GPU here",
            "install the GPU's driver (on Linux with OpenCL)",
            ON_CPU,
        )
    return min(found, key=lambda name: "DISCRETE" not in str(core.get_property(name, "DEVICE_TYPE")))


def _compile(
    core: Any,
    path: Path,
    network: bytes,
    weights: Mapping[str, NDArray[np.generic]],
    target: str,
    precision: str,
    shape: tuple[int, ...],
) -> Run:
    """Return the network for one shape; in fp16, what comes before the convolutions stays in float32."""
    openvino = import_openvino()
    model = core.read_model(network)
    fill(openvino, model, weights, path)
    model.reshape(list(shape))
    parts = [(model, "f32")]
    if precision != "f32":
        front, rest = split_before_convolutions(openvino, model)
        parts = [(front, "f32"), (rest, precision)]
    requests = [
        core.compile_model(part, target, {"INFERENCE_PRECISION_HINT": HINTS[kind]}).create_infer_request()
        for part, kind in parts
    ]
    return partial(through, requests)
