"""Where models lie, and their bytes, read once and used only when the hash agrees.

Weights are safetensors and ONNX: nothing that is unpickled, nothing that runs code of the file.
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
"""Weights in several files, `weights-1-of-2.safetensors`: the graph `network.onnx` then has none of its own."""


def models_directory() -> Path:
    """The folder of the shipped models: `rawkd/_models` of an installed wheel, or `models/` of a checkout.

    Raises
    ------
    ModelError: if neither exists.
    """
    packaged = Path(str(files("rawkd") / "_models"))
    checkout = Path(str(files("rawkd"))).parent / "models"
    for directory in (packaged, checkout):
        if directory.is_dir():
            return directory
    raise ModelError(f"no models at {packaged} or {checkout}: install rawkd again, or name a folder with --model")


def sha256_of(data: bytes) -> str:
    """Hexadecimal sha256, as a card states it."""
    return hashlib.sha256(data).hexdigest()


def verified_bytes(card: ModelCard, name: str) -> bytes:
    """The bytes of a model's file, checked against the card before anything reads them.

    Raises
    ------
    ModelError: if the card does not name the file, the file is missing, or its sha256 is another.
    """
    path = card.directory / name
    if name not in card.files:
        raise ModelError(f"{card.directory / 'card.json'} names no {name}: the model cannot run on this device")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): install the model again") from error
    if sha256_of(data) != card.files[name]:
        raise ModelError(f"{path} is not the file that its card names (its sha256 differs): install the model again")
    return data


def shard_names(card: ModelCard) -> list[str]:
    """The files among which a model's weights are shared out, in order; none where they are one file."""
    return sorted(name for name in card.files if name.startswith(SHARD_PREFIX))


def load_weights(card: ModelCard) -> dict[str, NDArray[np.generic]]:
    """The tensors of `weights.safetensors` or of its shards by name; 16-bit floats widened to float32.

    Raises
    ------
    ModelError: as `verified_bytes`, if a file is no safetensors, or two shards hold one tensor.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    tensors: dict[str, NDArray[np.generic]] = {}
    for file in shard_names(card) or [WEIGHTS]:
        try:
            part: dict[str, NDArray[np.generic]] = load(verified_bytes(card, file))
        except SafetensorError as error:
            raise ModelError(f"{card.directory / file} is no safetensors file ({error}): export it again") from error
        if doubled := tensors.keys() & part.keys():
            raise ModelError(f"{card.directory / file} holds {min(doubled)} a second time: export the model again")
        tensors |= {
            name: value.astype(np.float32) if value.dtype == np.float16 else value for name, value in part.items()
        }
    return tensors
