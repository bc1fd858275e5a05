"""Runs networks on the CPU with OpenVINO."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from rawkd import __version__, disk_cache
from rawkd.cores import available_cores
from rawkd.errors import ModelError, UsageError
from rawkd.inference.card import Int8, ModelCard
from rawkd.inference.cpu.precisions import bf16_is_faster, has_bf16, int8_is_faster
from rawkd.inference.cpu.shapes import CompiledShapes
from rawkd.inference.engine import reason_of
from rawkd.inference.graph.int8 import decode, kernel_bits, quantise_inputs, quantise_kernels
from rawkd.inference.graph.openvino_graph import fill, simplify, split_before_convolutions
from rawkd.inference.openvino_library import import_openvino, openvino_core, through
from rawkd.inference.weights import NETWORK, load_weights, shard_names, verified_bytes
from rawkd.photo import FloatArray

STREAMS = 4
"""Most tiles at a time; each needs 0.3 to 0.4 GB for activations with the shipped tiles (`shapes.SHAPES`)."""


PRECISIONS = ("f32", "bf16", "int8", "int8+bf16", "int7")
"""bf16 is used from the first convolution on (`graph.openvino_graph`), int8 for some convolutions (`graph.int8`): the
rest then is in float32, or in bf16. int7 is int8 with kernels of 7 bits, for processors without VNNI."""


def precision_of(card: ModelCard, precision: str | None = None, gain: float | None = None) -> str:
    """The precision that an engine computes in, one of `PRECISIONS`.

    Parameters
    ----------
    precision : asked for; None takes bf16, int8 or int7 where the card allows them, for photos of `gain` or for all,
        and they are faster on this CPU (`precisions`). If it allows bf16 and int8 alone but not both, bf16 is taken.

    Raises
    ------
    UsageError: for another precision. ModelError: if the CPU has no bf16, or the model no int8 or int7, and it is
        asked for.
    """
    if precision is None:
        if card.allows("bf16", gain=gain) and bf16_is_faster():
            return "int8+bf16" if card.allows("int8", "bf16", gain=gain) and int8_is_faster("bf16") else "bf16"
        if card.allows("int8", gain=gain) and int8_is_faster("f32"):
            return "int8"
        return "int7" if card.allows("int7", gain=gain) and int8_is_faster("f32", bits=7) else "f32"
    if precision not in PRECISIONS:
        raise UsageError(f"the CPU computes in {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}, not {precision}")
    if "bf16" in precision and not has_bf16():
        raise ModelError("this CPU has no bf16: choose f32")
    if "int" in precision and rounding_of(card, precision) is None:
        raise ModelError(f"the model {card.name} has no {precision.partition('+')[0]}: choose f32")
    return precision


def rounding_of(card: ModelCard, precision: str) -> Int8 | None:
    """Return what the network rounds in a precision; None for nothing, or if the card does not allow it."""
    return card.roundings.get(precision.partition("+")[0])


def simpler_precisions(precision: str) -> tuple[str, ...]:
    """Return what to compute in instead of a precision that fails on this CPU, the fastest first."""
    return ("bf16", "f32") if precision == "int8+bf16" else () if precision == "f32" else ("f32",)


class OpenVINOEngine:
    """A network on the CPU, compiled for each tile shape (about 0.1 s each; dynamic shapes run slower).

    Tiles run in parallel, one stream each: on two cores as fast as one tile on both (0.046 s a megapixel), and one tile
    is packed while the network runs on the other. `run` may be called from `streams` threads.
    """

    device = "cpu"

    def __init__(
        self,
        card: ModelCard,
        *,
        threads: int | None = None,
        precision: str | None = None,
        shapes: CompiledShapes | None = None,
    ) -> None:
        """Read the network; `compile` or the first call of `run` compiles it.

        Parameters
        ----------
        threads : CPU threads in total; None leaves it to OpenVINO.
        precision : as in `precision_of`, for all gains.
        shapes : where its compiled shapes are kept, with those of the other networks of a run; None keeps them apart.

        Raises
        ------
        UsageError: for fewer than one thread or another precision.
        ModelError: if the file is altered or cannot be read, or OpenVINO cannot be loaded.
        """
        if threads is not None and threads < 1:
            raise UsageError(f"{threads} threads: give 1 or more")
        self.precision = precision_of(card, precision)
        openvino = import_openvino()
        self._core = openvino_core()
        self.streams = min(STREAMS, threads or available_cores())
        name = self._core.get_property("CPU", "FULL_DEVICE_NAME")
        self.identity = f"OpenVINO {openvino.get_version()} on {name}, {self.precision}"
        self._options: dict[str, Any] = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": self.streams,
            "ENABLE_CPU_PINNING": False,
        }
        if threads:
            self._options["INFERENCE_NUM_THREADS"] = threads
        capabilities = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        rounding = rounding_of(card, self.precision)
        self._ranges = decode(rounding.ranges) if rounding else {}
        used = rounding.ranges if rounding else None
        self._key = [_version(), self.identity, sorted(capabilities), self._options, card.files, used]
        self._network = verified_bytes(card, NETWORK)
        self._path = card.directory / NETWORK
        self._weights = load_weights(card) if shard_names(card) else {}
        self._shapes = CompiledShapes() if shapes is None else shapes
        self._mark = object()

    def run(self, planes: FloatArray) -> FloatArray:
        """(n, c, h, w) anchored values -> the same shape, float32; c and the multiple of h and w are those of the card.

        Raises
        ------
        ModelError: if the network does not compile for the shape, or returns another.
        """
        requests = self._compiled(planes.shape)
        request = requests.get()
        try:
            restored = through(request, planes)
        except RuntimeError as error:
            raise ModelError(f"{self._path} fails on the CPU: {reason_of(error)}") from error
        finally:
            requests.put(request)
        if restored.shape != planes.shape:
            raise ModelError(
                f"{self._path} returned shape {restored.shape}, expected {planes.shape}. The model does not match its "
                "card: export it again."
            )
        return restored

    def compile(self, shape: tuple[int, ...]) -> None:
        """Compile the network for a shape, (n, c, h, w), so that the first call of `run` need not.

        Raises
        ------
        ModelError: if the network does not compile for the shape.
        """
        self._compiled(shape)

    def _compiled(self, shape: tuple[int, ...]) -> SimpleQueue[Any]:
        """Idle infer requests for a shape, one for each stream."""
        return self._shapes.requests((self._mark, shape), self.streams, lambda: self._compile(shape))

    def _compile(self, shape: tuple[int, ...]) -> SimpleQueue[Any]:
        try:
            key = json.dumps([*self._key, shape])
            compiled = self._loaded(key) or self._newly_compiled(key, shape)
        except RuntimeError as error:
            raise ModelError(f"{self._path} does not compile for {shape}: {reason_of(error)}") from error
        idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.streams):
            idle.put([part.create_infer_request() for part in compiled])
        return idle

    def _loaded(self, key: str) -> list[Any] | None:
        """The parts of the graph that an earlier run compiled, or None."""
        parts = disk_cache.load(key)
        if parts is None or len(parts) != len(self._precisions):
            return None
        with suppress(RuntimeError):
            return [
                self._core.import_model(part, "CPU", self._options_for(precision))
                for part, precision in zip(parts, self._precisions, strict=True)
            ]
        return None

    def _newly_compiled(self, key: str, shape: tuple[int, ...]) -> list[Any]:
        """The parts of the graph, compiled for a shape and kept for later runs."""
        openvino = import_openvino()
        model = self._core.read_model(self._network)
        fill(openvino, model, self._weights, self._path)
        model.reshape(list(shape))
        quantise_inputs(openvino, model, self._ranges)
        simplify(openvino, model)
        quantise_kernels(openvino, model, kernel_bits(self.precision))
        parts = split_before_convolutions(openvino, model) if len(self._precisions) > 1 else [model]
        compiled = [
            self._core.compile_model(part, "CPU", self._options_for(precision))
            for part, precision in zip(parts, self._precisions, strict=True)
        ]
        with suppress(RuntimeError):
            disk_cache.keep(key, [part.export_model().getvalue() for part in compiled])
        return compiled

    @property
    def _precisions(self) -> tuple[str, ...]:
        return ("f32", "bf16") if "bf16" in self.precision else ("f32",)

    def _options_for(self, precision: str) -> dict[str, Any]:
        return {**self._options, "INFERENCE_PRECISION_HINT": precision}


@cache
def _version() -> str:
    """What changes with rawkd's version, and with the code that rewrites graphs before they are compiled."""
    sources = sorted(Path(__file__).parents[1].rglob("*.py"))  # none in the frozen app
    return f"{__version__} {sha256(b''.join(source.read_bytes() for source in sources)).hexdigest()}"
