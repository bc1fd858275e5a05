"""Choose the device that runs a network, load the network, and keep it for the next photo.

`cpu` is OpenVINO. GPUs are reached by several libraries (`gpu.ways`). `auto` imports none of them (torch takes two
seconds) unless it is installed and the machine shows a GPU: an NVIDIA device file or driver library, or an Apple
processor.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from threading import Lock
from typing import TypeVar

from rawkd.errors import MemoryLimitError, ModelError, RawkdError, UsageError
from rawkd.inference.card import ModelCard
from rawkd.inference.cpu.shapes import CompiledShapes
from rawkd.inference.engine import ON_CPU, OTHER_DEVICE, Engine, reason_of
from rawkd.inference.gpu.ways import DEVICES, Way, gpu_in_sight, ways_to
from rawkd.inference.selftest import check_golden, self_test

__all__ = ["DEVICES", "Engines", "gpu_in_sight"]

Result = TypeVar("Result")


class Engines:
    """Engines that were loaded, kept for the next photo of a run; `load` may be called from several threads.

    A thread waits for another only if both load the same engine, or look for libraries of GPUs.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._locks: dict[Hashable, Lock] = {}
        self._loaded: dict[Hashable, Engine] = {}
        self._failed: dict[Hashable, Exception] = {}
        self._gpu_failure: str | None = None
        self._shapes = CompiledShapes()

    def load(
        self,
        card: ModelCard,
        *,
        device: str = "auto",
        threads: int | None = None,
        precision: str | None = None,
        gain: float | None = None,
    ) -> tuple[Engine, tuple[str, ...]]:
        """The model on a device, after its self-test there, and warnings; one engine for each device and precision.

        With `auto`, a GPU that fails for any reason is a warning and the CPU does the work; so is one of any name that
        failed in the middle of a photo (`run`).

        Parameters
        ----------
        device : auto | cpu | gpu | cuda | mps. threads : CPU threads; None leaves it to OpenVINO.
        precision : f32 | bf16 | fp16 | int8 | int8+bf16 | int7, to measure; None takes what the card allows.
        gain : of the photos to denoise; what the card allows depends on it. None for all gains.

        Raises
        ------
        UsageError: for an unknown device or precision.
        ModelError: if the model is altered, cannot run there, or fails its self-test.
        """
        if device not in DEVICES:
            raise UsageError(f"the device {device}: choose one of {', '.join(DEVICES)}")
        if not card.is_for_pictures:
            card.check_denoises()
        gpu = gpu_in_sight() if device == "auto" else (device if device != "cpu" else None)
        if gpu is None:
            return self._on_cpu(card, threads, precision, gain)
        if self._gpu_failure is not None:
            engine, failures = self._on_cpu(card, threads, _on_any_cpu(precision), gain)
            return engine, (f"the GPU is not used, since it failed before: {self._gpu_failure}", *failures)
        try:
            return self._on_gpu(card, gpu, precision, gain), ()
        except Exception as error:
            if device == "auto":
                warning = f"the GPU is not used: {_failure(error)}"
                engine, failures = self._on_cpu(card, threads, precision, gain)
                return engine, (warning, *failures)
            if isinstance(error, RawkdError):
                raise
            raise ModelError(f"{device} cannot be used ({error})", ON_CPU, "update its driver") from error

    def run(
        self,
        work: Callable[[Engine], Result],
        engine: Engine,
        card: ModelCard,
        *,
        threads: int | None = None,
        precision: str | None = None,
        gain: float | None = None,
    ) -> tuple[Result, Engine, tuple[str, ...]]:
        """The result of `work` with an engine that `load` returned, the engine that did it, and warnings.

        If a GPU fails in the middle, the CPU does the work again from the start, and all that is loaded later. So no
        result mixes two devices, and no photo of a batch is lost.

        Raises
        ------
        ModelError, MemoryLimitError: if the CPU fails. All else that `work` raises.
        """
        try:
            return work(engine), engine, ()
        except (ModelError, MemoryLimitError) as error:
            if engine.device == "cpu":
                raise
            failure = _failure(error)
        self._gpu_failure = failure
        for key, kept in list(self._loaded.items()):
            if kept.device != "cpu":
                self._loaded.pop(key, None)
        engine, failures = self._on_cpu(card, threads, _on_any_cpu(precision), gain)
        return work(engine), engine, (f"the GPU failed, so the CPU did the whole photo: {failure}", *failures)

    def _on_cpu(
        self, card: ModelCard, threads: int | None, precision: str | None, gain: float | None
    ) -> tuple[Engine, tuple[str, ...]]:
        """Return an engine, and a warning if this CPU fails the self-test in the precision that should be fastest."""
        from rawkd.inference.cpu.openvino_engine import OpenVINOEngine, precision_of, simpler_precisions

        chosen = precision_of(card, precision, gain)
        failures: list[str] = []
        for attempt in (chosen, *(simpler_precisions(chosen) if precision is None else ())):
            key = (*_identity(card), "cpu", threads, attempt)
            is_last = precision is not None or attempt == "f32"
            with self._alone(key):
                if key not in self._loaded and (key not in self._failed or is_last):
                    try:
                        engine = OpenVINOEngine(card, threads=threads, precision=attempt, shapes=self._shapes)
                        self_test(card, engine)
                        self._loaded[key] = engine
                    except ModelError as error:
                        if is_last:
                            raise
                        self._failed[key] = ModelError(error.reason)
                if key in self._loaded:
                    break
            failures.append(f"{attempt} is not used: {self._failed[key]}")
        return self._loaded[key], tuple(failures)

    def _on_gpu(self, card: ModelCard, device: str, precision: str | None, gain: float | None) -> Engine:
        """Return the engine of the first way to the device that works."""
        ways = ways_to(device)
        libraries = dict.fromkeys(way.library for way in ways)
        missing = dict.fromkeys(way.library for way in ways if not way.is_installed)
        if missing == libraries:
            others = " or rawkd[onnx]" if "onnxruntime" in libraries else ""
            raise ModelError(f"{device} needs torch", f"pip install 'rawkd[torch]'{others}", ON_CPU)
        failures: list[tuple[Way, Exception]] = []
        for way in ways:
            if way.library not in missing:
                found = self._by(way, card, precision, gain)
                if not isinstance(found, Exception):
                    return found
                failures.append((way, found))
        first = failures[0][1]
        if all(isinstance(error, UsageError) for _, error in failures) or (len(failures) == 1 and not missing):
            raise _bare(first)
        reasons = "; ".join([*map(_reason, failures), *(f"{library} is not installed" for library in missing)])
        raise ModelError(f"no GPU is found for --device {device} ({reasons})", "see docs/install.md", ON_CPU)

    def _by(self, way: Way, card: ModelCard, precision: str | None, gain: float | None) -> Engine | Exception:
        """Return the engine of one way, or why it fails.

        A way whose library fails is not asked again for a precision; one that fails with a model, not for this model
        and the precision that it gets at this gain. The self-test of a GPU runs at each start: no library tells the
        version of the driver.
        """
        asked = (way, precision)
        with self._lock:
            if asked in self._failed:
                return self._failed[asked]
            try:
                precision, start = _plan(way, card, precision, gain)
            except Exception as error:
                return self._failed.setdefault(asked, _bare(error))
        key = (*_identity(card), way, precision)
        with self._alone(key):
            known = self._loaded.get(key) or self._failed.get(key)
            if known is not None:
                return known
            try:
                engine = start()
                check_golden(card, engine)
            except Exception as error:
                return self._failed.setdefault(key, _bare(error))
            return self._loaded.setdefault(key, engine)

    @contextmanager
    def _alone(self, key: Hashable) -> Iterator[None]:
        """Hold the lock of a key."""
        with self._lock:
            lock = self._locks.setdefault(key, Lock())
        with lock:
            yield


def _plan(way: Way, card: ModelCard, precision: str | None, gain: float | None) -> tuple[str, Callable[[], Engine]]:
    """Return the precision that a way to a GPU computes in, and what starts an engine there."""
    if way.library == "torch":
        from rawkd.inference import torch_engine

        precision = torch_engine.precision_of(card, way.device, precision, gain)
        return precision, partial(torch_engine.load_torch_engine, card, way.device, precision)
    if way.library == "onnxruntime":
        from rawkd.inference.gpu import onnx_engine

        precision = onnx_engine.precision_of(precision)
        return precision, partial(onnx_engine.load_onnx_engine, card, way.provider, way.device)
    from rawkd.inference.gpu import openvino_gpu

    precision = openvino_gpu.precision_of(card, precision, gain)
    return precision, partial(openvino_gpu.load_openvino_gpu_engine, card, precision)


def _reason(failure: tuple[Way, Exception]) -> str:
    """Return why a way to a GPU failed; errors of libraries do not name the way."""
    way, error = failure
    return _failure(error) if isinstance(error, RawkdError) else f"{way.name}: {error}"


def _failure(error: Exception) -> str:
    """Return why a GPU failed, without the advice to use another device, for where the CPU does the work already."""
    return error.without(ON_CPU, OTHER_DEVICE) if isinstance(error, RawkdError) else str(error)


def _bare(error: Exception) -> Exception:
    """Return an error with the same message, without the frames of the first one, which hold memory of the GPU."""
    return copy(error) if isinstance(error, RawkdError) else RuntimeError(reason_of(error))


def _on_any_cpu(precision: str | None) -> str | None:
    """Return the precision for a CPU that stands in for a GPU: float32 if that was asked for, else what it allows."""
    return "f32" if precision == "f32" else None


def _identity(card: ModelCard) -> tuple[object, ...]:
    """Key of a model: its folder, name, the hashes of its files and the ranges of int8 and int7."""
    ranges = [(name, *sorted(rounding.ranges.items())) for name, rounding in card.roundings.items()]
    return (card.directory, card.name, tuple(sorted(card.files.items())), *ranges)
