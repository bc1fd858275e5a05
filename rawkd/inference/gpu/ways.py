"""The devices, and the ways to a GPU: which library serves which, and what `auto` takes; no heavy import."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

DEVICES = ("auto", "cpu", "gpu", "cuda", "mps")
"""`auto`: cuda or mps if the machine has one and a library for it, else the CPU. `gpu`: the first GPU that works, of
any maker. `cuda`: NVIDIA. `mps`: Apple."""
CUDA, COREML, DIRECTML = "CUDAExecutionProvider", "CoreMLExecutionProvider", "DmlExecutionProvider"
"""Names of execution providers in ONNX Runtime."""


@dataclass(frozen=True)
class Way:
    """One way to run networks on a GPU.

    Attributes
    ----------
    name : in messages. device : cuda | mps | gpu, what reports say.
    library : Python package that is imported. provider : of ONNX Runtime, else empty.
    systems : values of `sys.platform` where it can exist.
    """

    name: str
    device: str
    library: str
    provider: str = ""
    systems: tuple[str, ...] = ("linux", "win32")

    @property
    def is_installed(self) -> bool:
        """Whether its library is installed, whatever devices it finds; imports nothing."""
        return find_spec(self.library) is not None


WAYS = (
    Way("CUDA with torch", "cuda", "torch"),
    Way("CUDA with ONNX Runtime", "cuda", "onnxruntime", CUDA),
    Way("Apple GPU with torch", "mps", "torch", systems=("darwin",)),
    Way("Core ML with ONNX Runtime", "gpu", "onnxruntime", COREML, ("darwin",)),
    Way("DirectML with ONNX Runtime", "gpu", "onnxruntime", DIRECTML, ("win32",)),
    Way("Intel GPU with OpenVINO", "gpu", "openvino"),
)
"""In the order in which `gpu` tries them (our choice): libraries for one maker's GPUs first, then those for any GPU.
OpenVINO is last, because it is always installed and most Intel GPUs are parts of a processor."""


def ways_to(device: str) -> tuple[Way, ...]:
    """Return the ways that serve cuda, mps, or gpu (all that this system can have), in the order to try them."""
    if device == "gpu":
        return tuple(way for way in WAYS if sys.platform in way.systems)
    return tuple(way for way in WAYS if way.device == device)


def gpu_in_sight() -> str | None:
    """Return the GPU device that `auto` takes, or None; imports nothing and takes microseconds.

    That is cuda or mps, if a library for it is installed and the machine shows such a GPU. Other GPUs must be asked
    for: we have not measured that they are faster than the CPU.
    """
    has_torch = find_spec("torch") is not None
    if sys.platform == "darwin":
        return "mps" if has_torch and platform.machine() == "arm64" else None
    if not (has_torch or _onnxruntime_has_cuda()):
        return None
    drivers = ["/dev/nvidiactl", "/dev/dxg"]
    if sys.platform == "win32":
        drivers = [str(Path(os.environ.get("SYSTEMROOT", "C:/Windows")) / "System32" / "nvcuda.dll")]
    return "cuda" if any(Path(driver).exists() for driver in drivers) else None


def _onnxruntime_has_cuda() -> bool:
    """Return whether the installed ONNX Runtime is one for CUDA: only then it has this library."""
    package = find_spec("onnxruntime")
    folders = (package.submodule_search_locations if package else None) or ()
    names = ("libonnxruntime_providers_cuda.so", "onnxruntime_providers_cuda.dll")
    return any((Path(folder) / "capi" / name).exists() for folder in folders for name in names)
