"""Runs networks on a GPU with torch. The only module of inference that imports torch; loaded only when needed."""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import nn

from rawkd.errors import MemoryLimitError, ModelError, UsageError
from rawkd.inference.card import ModelCard
from rawkd.inference.engine import ON_CPU
from rawkd.inference.gpu.compiled import checked
from rawkd.inference.weights import load_weights
from rawkd.photo import FloatArray

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
SETTINGS = Lock()
"""Held while a network runs: torch's settings of cuDNN are those of the process, and each run restores them."""


class TorchEngine:
    """A module on cuda, mps or cpu, channels last.

    f32 is full float32: TF32 is off. bf16 and fp16 use autocast, with the input added to the residual in float32. Two
    threads may call `run`, so that one tile is packed while the network runs on the other.
    """

    streams = 2

    def __init__(self, module: nn.Module, device: str, precision: str = "f32") -> None:
        """Move the module to the device.

        Raises
        ------
        UsageError: for a precision that is none of f32, bf16, fp16.
        """
        if precision not in ("f32", *DTYPES):
            raise UsageError(f"torch computes in f32, bf16 or fp16, not {precision}")
        self.device, self.precision = device, precision
        self.identity = f"torch {torch.__version__} on {_device_name(device)}, {precision}"
        self._module = module.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def run(self, planes: FloatArray) -> FloatArray:
        """(n, c, h, w) anchored values -> the same shape, float32; c and the multiple of h and w are those of the card.

        Raises
        ------
        MemoryLimitError: if the device's memory does not hold a tile.
        ModelError: if the device fails otherwise, or returns values that are not finite.
        """
        reduced = DTYPES.get(self.precision)
        try:
            with (
                SETTINGS,
                torch.inference_mode(),
                torch.backends.cudnn.flags(enabled=True, allow_tf32=False),  # off is its default here
                torch.autocast(self.device, dtype=reduced, enabled=reduced is not None),
            ):
                x = torch.from_numpy(np.ascontiguousarray(planes)).to(self.device)
                y: FloatArray = self._module(x.contiguous(memory_format=torch.channels_last)).float().cpu().numpy()
        except torch.OutOfMemoryError as error:
            raise MemoryLimitError(f"a tile does not fit into the memory of {self.device}", ON_CPU) from error
        except RuntimeError as error:
            raise ModelError(f"the network fails on {self.identity} ({error})", ON_CPU) from error
        return checked(np.ascontiguousarray(y), planes.shape, self.identity)


def precision_of(card: ModelCard, device: str, precision: str | None = None, gain: float | None = None) -> str:
    """The precision that an engine computes in: f32 | bf16 | fp16.

    Parameters
    ----------
    precision : asked for; None takes bf16 (cuda) or fp16 (mps, which has finer steps and enough range for values near
        1) where the card allows bf16, for photos of `gain` or for all, else f32.

    Raises
    ------
    ModelError: if the device is not there.
    """
    if not _is_available(device):
        raise ModelError(f"torch {torch.__version__} finds no {device} device here", ON_CPU)
    if precision is not None:
        return precision
    reduced = {"cuda": "bf16", "mps": "fp16"}.get(device)
    if (
        reduced is None
        or not card.allows("bf16", gain=gain)
        or (device == "cuda" and not torch.cuda.is_bf16_supported())
    ):
        return "f32"
    return reduced


def load_torch_engine(card: ModelCard, device: str, precision: str | None = None) -> TorchEngine:
    """The card's network with its weights on `device`; precision as in `precision_of`, for all gains.

    Raises
    ------
    UsageError: for a precision that is none of f32, bf16, fp16.
    ModelError: if the device is not there, or as `load_module`.
    """
    return TorchEngine(load_module(card), device, precision_of(card, device, precision))


def load_module(card: ModelCard) -> nn.Module:
    """The card's network with its weights.

    Raises
    ------
    ModelError: if the network is unknown, or the weights are altered or do not fit it.
    """
    from rawkd.networks import build_network

    tensors: dict[str, Any] = load_weights(card)
    try:
        module = build_network(card.network, card.config)
        module.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in tensors.items()})
    except (RuntimeError, TypeError) as error:
        first = [line.strip() for line in str(error).splitlines()][:2][-1]  # the second line names the first layer
        raise ModelError(f"{card.directory}: its weights do not fit the network {card.network}: {first}") from error
    return module


def _is_available(device: str) -> bool:
    """Whether torch can use the device."""
    if device == "cuda":
        return torch.cuda.is_available()
    return device == "cpu" or (device == "mps" and torch.backends.mps.is_available())


def _device_name(device: str) -> str:
    """The device with its driver and capability."""
    if device != "cuda":
        return device
    return (
        f"{torch.cuda.get_device_name()} (CUDA {torch.version.cuda}, capability {torch.cuda.get_device_capability()})"
    )
