"""Choose the device that runs a network, load the network, and keep it for the next photo.

`cpu` is OpenVINO; `cuda` and `mps` are torch, an optional extra. `auto` never imports torch (two seconds) unless torch
is installed and the machine shows a GPU: an NVIDIA device file or driver library, or an Apple processor.
"""

from __future__ import annotations

import os
import platform
import sys
from importlib.util import find_spec
from pathlib import Path
from threading import Lock

from rawkd.errors import ModelError, RawkdError, UsageError
from rawkd.inference.card import ModelCard
from rawkd.inference.devices import DEVICES
from rawkd.inference.engine import Engine
from rawkd.inference.selftest import self_test

__all__ = ["DEVICES", "Engines", "gpu_in_sight", "load_engine"]


def gpu_in_sight() -> str | None:
    """The GPU device that this machine seems to have, or None; imports nothing and takes microseconds."""
    if find_spec("torch") is None:
        return None
    if sys.platform == "darwin":
        return "mps" if platform.machine() == "arm64" else None
    drivers = ["/dev/nvidiactl", "/dev/dxg"]
    if sys.platform == "win32":
        drivers = [str(Path(os.environ.get("SYSTEMROOT", "C:/Windows")) / "System32" / "nvcuda.dll")]
    return "cuda" if any(Path(driver).exists() for driver in drivers) else None


def load_engine(
    card: ModelCard,
    *,
    device: str = "auto",
    threads: int | None = None,
    precision: str | None = None,
    gain: float | None = None,
) -> tuple[Engine, tuple[str, ...]]:
    """The model on a device, after its self-test there, and warnings. `Engines.load` describes the parameters."""
    return Engines().load(card, device=device, threads=threads, precision=precision, gain=gain)


class Engines:
    """Engines that were loaded, kept for the next photo of a run; `load` may be called from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._loaded: dict[tuple[object, ...], Engine] = {}
        self._unusable: dict[tuple[object, ...], str] = {}

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

        With `auto`, a GPU that fails for any reason is a warning and the CPU does the work.

        Parameters
        ----------
        device : auto | cpu | cuda | mps. threads : CPU threads; None leaves it to OpenVINO.
        precision : f32 | bf16 | fp16, to measure what one costs; None takes what the card allows.
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
        with self._lock:
            if gpu is None:
                return self._on_cpu(card, threads, precision, gain), ()
            if device != "auto":
                return self._on_named_gpu(card, gpu, precision, gain), ()
            asked = (*_identity(card), gpu, precision)
            if asked not in self._unusable:
                try:
                    return self._on_gpu(card, gpu, precision, gain), ()
                except Exception as error:
                    self._unusable[asked] = str(error)
            return self._on_cpu(card, threads, precision, gain), (f"the GPU is not used: {self._unusable[asked]}",)

    def _on_cpu(self, card: ModelCard, threads: int | None, precision: str | None, gain: float | None) -> Engine:
        from rawkd.inference.openvino_engine import OpenVINOEngine, precision_of

        precision = precision_of(card, precision, gain)
        key = (*_identity(card), "cpu", threads, precision)
        if key not in self._loaded:
            engine = OpenVINOEngine(card, threads=threads, precision=precision)
            self_test(card, engine)
            self._loaded[key] = engine
        return self._loaded[key]

    def _on_named_gpu(self, card: ModelCard, device: str, precision: str | None, gain: float | None) -> Engine:
        try:
            return self._on_gpu(card, device, precision, gain)
        except RawkdError:
            raise
        except Exception as error:
            raise ModelError(f"{device} cannot be used ({error}): use --device cpu, or update its driver") from error

    def _on_gpu(self, card: ModelCard, device: str, precision: str | None, gain: float | None) -> Engine:
        if find_spec("torch") is None:
            raise ModelError(f"{device} needs torch: pip install 'rawkd[torch]', or use --device cpu")
        from rawkd.inference.torch_engine import load_torch_engine, precision_of

        precision = precision_of(card, device, precision, gain)
        key = (*_identity(card), device, precision)
        if key not in self._loaded:
            engine = load_torch_engine(card, device, precision)
            self_test(card, engine)
            self._loaded[key] = engine
        return self._loaded[key]


def _identity(card: ModelCard) -> tuple[object, ...]:
    """Key of a model: its folder, name and the hashes of its files."""
    return (card.directory, card.name, tuple(sorted(card.files.items())))
