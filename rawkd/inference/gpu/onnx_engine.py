"""Runs networks on a GPU with ONNX Runtime: CUDA, DirectML (Windows) or Core ML (macOS). An optional extra."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import ModelError, UsageError
from rawkd.inference.card import ModelCard
from rawkd.inference.engine import ON_CPU
from rawkd.inference.gpu.compiled import CompiledEngine, Run
from rawkd.inference.gpu.ways import COREML, CUDA, DIRECTML
from rawkd.inference.weights import NETWORK, load_weights, shard_names, verified_bytes
from rawkd.photo import FloatArray

OPTIONS: dict[str, dict[str, str]] = {
    CUDA: {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"},
    DIRECTML: {"performance_preference": "high_performance", "device_filter": "gpu"},
    COREML: {"ModelFormat": "MLProgram", "MLComputeUnits": "CPUAndGPU", "RequireStaticInputShapes": "1"},
}
"""Options of each provider: full float32 (TF32 has 10 bits), no search for the fastest convolution (it takes seconds a
shape), the fastest GPU."""

DIMENSIONS = ("n", "h", "w")
"""Names of the free dimensions of `network.onnx`."""
RECORD_PLACES = "session.record_ep_graph_assignment_info"
"""Setting under which a session says which provider runs which nodes; old versions ignore it."""
FATAL = 4


def precision_of(precision: str | None = None) -> str:
    """The precision that ONNX Runtime computes in: f32.

    Raises
    ------
    UsageError: if another one is asked for.
    """
    if precision not in (None, "f32"):
        raise UsageError(f"ONNX Runtime computes in f32, not {precision}")
    return "f32"


def load_onnx_engine(card: ModelCard, provider: str, device: str) -> CompiledEngine:
    """The card's network in float32 on a provider of ONNX Runtime; each tile shape is compiled at its first tile.

    Parameters
    ----------
    provider : such as CUDAExecutionProvider. device : what reports say.

    Raises
    ------
    ModelError: if ONNX Runtime cannot be loaded or has no such provider, or the network is altered.
    """
    runtime = import_onnxruntime()
    short, version = provider.removesuffix("ExecutionProvider"), runtime.__version__
    if provider not in runtime.get_available_providers():
        raise ModelError(f"this ONNX Runtime ({version}) has no {short}", "pip install 'rawkd[onnx]'", ON_CPU)
    network = verified_bytes(card, NETWORK)
    if shard_names(card):
        network = with_weights(network, load_weights(card))
    identity = f"ONNX Runtime {version} with {short}"
    return CompiledEngine(device, "f32", identity, partial(_compile, runtime, network, provider))


def import_onnxruntime() -> ModuleType:
    """The module onnxruntime, with CUDA's libraries loaded if pip installed them; it reports nothing to its maker.

    Raises
    ------
    ModelError: if it cannot be loaded on this machine.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"ONNX Runtime cannot be loaded ({error}): install the extra rawkd[onnx] again") from error
    onnxruntime.disable_telemetry_events()
    if hasattr(onnxruntime, "preload_dlls"):
        # It prints what it misses to stdout, which belongs to --json. A session says so too, as an error.
        vars(onnxruntime)["print"] = lambda *_words, **_options: None
        onnxruntime.preload_dlls()
    return onnxruntime  # type: ignore[no-any-return]


def with_weights(network: bytes, weights: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Return a graph without weights (each an input of its name, after the planes) with those of the shards.

    They become constants, because providers fold and convert only constants.

    Raises
    ------
    ModelError: if the package onnx is not installed, or a weight is missing.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise ModelError(f"split weights need the package onnx ({error}): pip install 'rawkd[onnx]'") from error
    model = onnx.load_from_string(network)
    names = [entry.name for entry in model.graph.input[1:]]
    if missing := [name for name in names if name not in weights]:
        raise ModelError(f"{NETWORK} needs the tensor {missing[0]}, which the weights lack. Install the model again.")
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(weights[name]), name) for name in names)
    del model.graph.input[1:]
    return model.SerializeToString()  # type: ignore[no-any-return]


def _compile(runtime: ModuleType, network: bytes, provider: str, shape: tuple[int, ...]) -> Run:
    """Return the network for one shape. DirectML requires serial execution without memory patterns."""
    options = runtime.SessionOptions()
    options.log_severity_level = FATAL  # errors are raised as well
    options.enable_mem_pattern = False
    options.add_session_config_entry(RECORD_PLACES, "1")
    for name, size in zip(DIMENSIONS, (shape[0], *shape[2:]), strict=True):
        options.add_free_dimension_override_by_name(name, size)
    providers = [(provider, OPTIONS.get(provider, {})), "CPUExecutionProvider"]
    session = runtime.InferenceSession(network, options, providers=providers, enable_fallback=0)
    if not _uses(session, provider):  # ONNX Runtime would go on with the CPU
        raise ModelError(
            f"ONNX Runtime cannot run this network with {provider}",
            "install the libraries that it needs",
            ON_CPU,
        )
    (name,) = (entry.name for entry in session.get_inputs())
    return partial(_run, session, name)


def _uses(session: Any, provider: str) -> bool:
    """Return whether a session has started a provider and runs at least a part of the network there."""
    if provider not in session.get_providers():
        return False
    places: list[Any] = getattr(session, "get_provider_graph_assignment_info", list)()
    return not places or any(place.ep_name == provider for place in places)


def _run(session: Any, name: str, planes: FloatArray) -> FloatArray:
    """Return the first output of a session."""
    restored: FloatArray = session.run(None, {name: planes})[0]
    return restored
