"""Choose the device that runs a network, load it there, and keep it for the next photo.

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
from rawkd.inference.engine import Engine
from rawkd.inference.selftest import self_test

DEVICES = ("auto", "cpu", "cuda", "mps")


def gpu_in_sight() -> str | None:
    """The GPU device that is worth importing torch for, or None; no import, a few microseconds."""
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
    """The model on a device, after its self-test there, and warnings.

    With `auto`, a GPU that fails for any reason is a warning and the CPU does the work.

    Parameters
    ----------
    device : auto | cpu | cuda | mps. threads : of the CPU; None leaves it to OpenVINO.
    precision : f32 | bf16 | fp16, to measure what one costs; None takes what the card allows.
    gain : of the photos that are to be denoised, of which it depends what the card allows; None for all.

    Raises
    ------
    UsageError: for an unknown device or precision.
    ModelError: if the model is altered, cannot run there, or fails its self-test.
    """
    if device not in DEVICES:
        raise UsageError(f"the device {device}: choose one of {', '.join(DEVICES)}")
    if not card.is_for_pictures:
        card.check_denoises()
    warnings: tuple[str, ...] = ()
    gpu = gpu_in_sight() if device == "auto" else (device if device != "cpu" else None)
    if gpu:
        try:
            return _torch_engine(card, gpu, precision, gain), ()
        except Exception as error:
            if device != "auto":
                if isinstance(error, RawkdError):
                    raise
                raise ModelError(f"{device} cannot be used ({error}): give --device cpu, or mend its driver") from error
            warnings = (f"the GPU is not used: {error}",)
    from rawkd.inference.openvino_engine import OpenVINOEngine

    engine = OpenVINOEngine(card, threads=threads, precision=precision, gain=gain)
    self_test(card, engine)
    return engine, warnings


class Engines:
    """Engines that were loaded, kept for the next photo of a run; `load` may be called from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._loaded: dict[tuple[object, ...], tuple[Engine, tuple[str, ...]]] = {}

    def load(
        self,
        card: ModelCard,
        *,
        device: str = "auto",
        threads: int | None = None,
        precision: str | None = None,
        gain: float | None = None,
    ) -> tuple[Engine, tuple[str, ...]]:
        """As `load_engine`, but once for the same model, device, threads and precision."""
        allowed = card.allows_bf16(gain)
        key = (card.directory, card.name, tuple(sorted(card.files.items())), device, threads, precision, allowed)
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = load_engine(card, device=device, threads=threads, precision=precision, gain=gain)
            return self._loaded[key]


def _torch_engine(card: ModelCard, device: str, precision: str | None, gain: float | None) -> Engine:
    """The model in torch, self-tested."""
    if find_spec("torch") is None:
        raise ModelError(f"{device} needs torch: pip install 'rawkd[torch]', or use --device cpu")
    from rawkd.inference.torch_engine import load_torch_engine

    engine = load_torch_engine(card, device, precision, gain)
    self_test(card, engine)
    return engine
