"""The self-test: compares a network's output on this device with the output at export.

Drivers and graph compilers sometimes compute networks wrongly. On a CPU the self-test runs once for each machine,
version of OpenVINO, version of rawkd and model; on a GPU each time a network is loaded, because libraries do not tell
the version of the driver.
The input comes from the raw bits of a generator, which numpy keeps stable, so it is the same on every machine.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import platform
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from rawkd.errors import ModelError
from rawkd.inference.card import Golden, ModelCard
from rawkd.inference.cpu import openvino_engine
from rawkd.inference.engine import OTHER_DEVICE, Engine
from rawkd.inference.weights import sha256_of
from rawkd.photo import DoubleArray, FloatArray
from rawkd.sensor.ksigma import Anchor
from rawkd.user_folders import cache_folder

Run = Callable[[FloatArray], FloatArray]
"""A network: (1, channels, h, w) anchored values -> the same shape, float32."""

ANCHOR = Anchor(gain=1e-3, read_variance=3.24e-6)
"""The default noise: that of a phone sensor at ISO 1600 (specs of PMRID)."""

TINTS = (0.5, 1.0, 1.0, 0.7)
"""Brightness of the first four channels of the test picture; further ones repeat them."""

RECORD = Lock()
"""Held while a thread adds to the record of passed tests."""

PATCH = 12
TOLERANCE = {"f32": 0.01, "bf16": 0.05, "fp16": 0.05, "int8": 0.07, "int8+bf16": 0.07, "int7": 0.07}
"""Largest rms error by precision, in standard deviations of the input's noise.

A student leaves about 0.15 of the noise, so an error of 0.01 costs 0.02 dB. In f32 only the order of sums differs,
which is less. A reduced precision may differ five times as much, int8 seven times. A wrong operation differs by 0.1 or
more.
"""


def golden_input(seed: int, size: int, anchor: Anchor, channels: int = 4) -> tuple[FloatArray, DoubleArray]:
    """A noisy test picture, (1, channels, size, size) float32, and its noise standard deviation per pixel.

    It shows a ramp, a disc and a fine grating, 0.02 to 0.7 of white, with the tints `TINTS` of four channels in turn.
    """
    y, x = np.mgrid[0:size, 0:size] / size
    disc = np.hypot(y - 0.5, x - 0.4) < 0.25
    grating = 0.1 * np.sin(2 * np.pi * size / 5 * (x + y) / 2)
    clean = (0.05 + 0.4 * x + 0.2 * disc + grating * (y > 0.5)).clip(0.02)
    planes = clean * np.resize(TINTS, max(channels, len(TINTS)))[:, None, None]
    deviation = np.sqrt(anchor.gain * planes + anchor.read_variance)
    bits = np.random.PCG64(seed).random_raw(12 * planes.size) >> np.uint64(11)
    normal = (bits * 2.0**-53).reshape(12, *planes.shape).sum(axis=0) - 6.0
    noisy = (planes + deviation * normal).astype(np.float32)
    return np.ascontiguousarray(noisy[:channels])[None], deviation[:channels]


def make_golden(run: Run, stride: int, anchor: Anchor = ANCHOR, seed: int = 1, *, channels: int = 4) -> dict[str, Any]:
    """The `golden` field of a card, from the exported network in float32.

    Parameters
    ----------
    run : (1, channels, h, w) -> the same shape, float32. stride : h and w are multiples of it, packed pixels.
    anchor, channels : the card's.
    """
    size = max(4, -(-64 // stride)) * stride
    planes, _ = golden_input(seed, size, anchor, channels)
    residual = np.ascontiguousarray(_centre(run(planes) - planes, PATCH), "<f4")
    text = base64.b64encode(residual.tobytes()).decode("ascii")
    return asdict(Golden(seed, size, PATCH, anchor.gain, anchor.read_variance, text))


def check_golden(card: ModelCard, engine: Engine) -> float:
    """The rms error of a device on the card's golden input, in standard deviations of the noise.

    Raises
    ------
    ModelError: if it exceeds the tolerance of the engine's precision or is not finite, or the card's output is damaged.
    """
    golden = card.golden
    anchor = Anchor(golden.gain, golden.read_variance)
    planes, deviation = golden_input(golden.seed, golden.size, anchor, card.channels)
    try:
        expected = np.frombuffer(base64.b64decode(golden.residual, validate=True), "<f4")
        expected = expected.reshape(card.channels, golden.patch, golden.patch)
    except (binascii.Error, ValueError) as error:
        raise ModelError(
            f"{card.directory}: the golden output is damaged ({error}): install the model again"
        ) from error
    difference = _centre(engine.run(planes) - planes, golden.patch) - expected
    error_rms = float(np.sqrt(np.square(difference / _centre(deviation, golden.patch), dtype=np.float64).mean()))
    if not error_rms <= TOLERANCE[engine.precision]:
        raise ModelError(
            f"{card.name} computes wrongly on {engine.identity} (off by {error_rms:.3g} of the noise)",
            OTHER_DEVICE,
            "update the driver",
        )
    return error_rms


def self_test(card: ModelCard, engine: Engine) -> None:
    """Run `check_golden`, unless this machine, engine, precision and model passed it before with this version of rawkd.

    The version counts because rawkd rewrites a network before the engine compiles it (`inference.graph`).

    If the cache cannot be read or written, the test is repeated each time.

    Raises
    ------
    ModelError: as `check_golden`.
    """
    ranges = {name: rounding.ranges for name, rounding in card.roundings.items()}
    model = json.dumps([card.files, asdict(card.golden), ranges], sort_keys=True)
    facts = [openvino_engine._version(), platform.node(), engine.identity, engine.precision, model]
    key = sha256_of("\n".join(facts).encode())
    folder = cache_folder()
    if folder is None:
        check_golden(card, engine)
        return
    record = folder / "selftest.json"
    if key in _passed(record):
        return
    check_golden(card, engine)
    with RECORD, suppress(OSError):
        record.parent.mkdir(parents=True, exist_ok=True)
        temporary = record.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps([*_passed(record)[-999:], key]), encoding="ascii")
        temporary.replace(record)


def _passed(record: Path) -> list[str]:
    """Keys of the tests that were passed; none where the record is missing or damaged."""
    with suppress(OSError, ValueError):
        keys = json.loads(record.read_text(encoding="ascii"))
        if isinstance(keys, list):
            return [key for key in keys if isinstance(key, str)]
    return []


def _centre(planes: Any, patch: int) -> Any:
    """The central (patch, patch) of the last two axes of (c, h, w) or (1, c, h, w), as (c, patch, patch)."""
    top, left = (planes.shape[-2] - patch) // 2, (planes.shape[-1] - patch) // 2
    return planes.reshape(planes.shape[-3:])[:, top : top + patch, left : left + patch]
