"""Find the shipped models and read the files of a model; every file is checked against its sha256 before use.

Weights are safetensors and ONNX files. Neither format is unpickled or can run code.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import ModelError

if TYPE_CHECKING:
    from rawkd.inference.card import ModelCard

NETWORK = "network.onnx"
WEIGHTS = "weights.safetensors"
SHARD_PREFIX = "weights-"
"""Prefix of weights that are split into several files (`weights-1-of-2.safetensors`). `network.onnx` then contains
the graph without weights."""
STEP_SUFFIX = ".step"
"""Suffix of the steps of a kernel that is stored as int8: int8 times the step of an output channel are its weights."""


def models_directory() -> Path:
    """Return the folder of the shipped models: `rawkd/_models` of an installed wheel, or `models/` of a checkout.

    Raises
    ------
    ModelError: if neither exists.
    """
    packaged = Path(str(files("rawkd") / "_models"))
    checkout = Path(str(files("rawkd"))).parent / "models"
    for directory in (packaged, checkout):
        if directory.is_dir():
            return directory
    raise ModelError(
        f"there are no models in {packaged} or {checkout}. Install rawkd again, or give a folder with --model."
    )


def sha256_of(data: bytes) -> str:
    """Return the sha256 as lower-case hexadecimal digits, as in a card."""
    return hashlib.sha256(data).hexdigest()


def verified_bytes(card: ModelCard, name: str) -> bytes:
    """Return the bytes of a model's file after checking their sha256 against the card.

    Raises
    ------
    ModelError: if the card does not list the file, the file cannot be read, or its sha256 differs.
    """
    path = card.directory / name
    if name not in card.files:
        raise ModelError(
            f"{card.directory / 'card.json'}: lists no {name}, so the model cannot run on this device. Choose another "
            "device or model."
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}). Install the model again.") from error
    if sha256_of(data) != card.files[name]:
        raise ModelError(f"{path}: its sha256 differs from the one in the model card. Install the model again.")
    return data


def shard_names(card: ModelCard) -> list[str]:
    """Return the names of the weight files of a model with split weights, in order; empty for a single file."""
    return sorted(name for name in card.files if name.startswith(SHARD_PREFIX))


def load_weights(card: ModelCard) -> dict[str, NDArray[np.generic]]:
    """Return the tensors of `weights.safetensors` or of its shards by name; fp16 and int8 become float32.

    Raises
    ------
    ModelError: as `verified_bytes`; if a file is not a safetensors file, or two shards contain the same tensor;
        if a kernel in int8 has no steps.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    tensors: dict[str, NDArray[np.generic]] = {}
    for file in shard_names(card) or [WEIGHTS]:
        try:
            part: dict[str, NDArray[np.generic]] = load(verified_bytes(card, file))
        except SafetensorError as error:
            raise ModelError(
                f"{card.directory / file}: not a valid safetensors file ({error}). Export the model again."
            ) from error
        if doubled := tensors.keys() & part.keys():
            raise ModelError(
                f"{card.directory / file}: the tensor {min(doubled)} is also in another file. Export the model again."
            )
        tensors |= part
    kernels = [name for name, value in tensors.items() if value.dtype == np.int8]
    steps = {name: tensors.pop(name + STEP_SUFFIX, None) for name in kernels}
    if lost := [name for name, step in steps.items() if step is None]:
        raise ModelError(f"{card.directory}: the kernel {lost[0]} has no steps. Export the model again.")
    floats = {
        name: value.astype(np.float32) if value.dtype in (np.float16, np.int8) else value
        for name, value in tensors.items()
    }
    return floats | {name: floats[name] * step.astype(np.float32) for name, step in steps.items() if step is not None}
