"""Tiny networks of grey and colour pictures with white Gaussian noise, and pictures for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tiny_models import card_document, write_card

from rawkd.inference.card import ModelCard, channels_of
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.pictures import anchor_of_sigma
from rawkd.inference.selftest import make_golden
from rawkd.inference.weights import sha256_of


def picture_model(
    directory: Path,
    kind: str = "grey",
    low: float = 50.0,
    high: float | None = None,
    *,
    weight: Any = None,
    **changes: Any,
) -> ModelCard:
    """A network that returns what it is given, or every channel convolved with a 3x3 `weight`, with a complete card."""
    channels, high = channels_of(kind), low if high is None else high
    shape: list[Any] = ["n", channels, "h", "w"]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("planes", "restored")]
    constants = []
    node = helper.make_node("Identity", ["planes"], ["restored"])
    if weight is not None:
        kernel = np.broadcast_to(np.asarray(weight, np.float32), (channels, 1, 3, 3)).copy()
        constants = [numpy_helper.from_array(kernel, "kernel")]
        node = helper.make_node("Conv", ["planes", "kernel"], ["restored"], pads=[1] * 4, group=channels)
    graph = helper.make_graph([node], "tiny", ends[:1], ends[1:], constants)
    directory.mkdir(parents=True, exist_ok=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), directory / "network.onnx"
    )
    anchor = anchor_of_sigma(low)
    stated: dict[str, Any] = {
        "network": "mdrn", "input": kind, "subrange": [low, high],
        "anchor": {"gain": anchor.gain, "read_variance": anchor.read_variance},
        "files": {"network.onnx": sha256_of((directory / "network.onnx").read_bytes())},
    } | changes  # fmt: skip
    card = write_card(directory, card_document(directory.name, **stated | {"golden": golden_of(None)}))
    run = OpenVINOEngine(card, threads=1, precision="f32").run
    golden = make_golden(run, card.stride, anchor, channels=channels)
    return write_card(directory, card_document(directory.name, **stated | {"golden": golden}))


def golden_of(_: None) -> dict[str, Any]:
    """Of a card whose network was not asked yet."""
    return {"seed": 1, "size": 64, "patch": 1, "gain": 1e-3, "read_variance": 0.0, "residual": "AAAA"}


def picture_folder(
    folder: Path, sizes: tuple[tuple[int, int], ...], *, colour: bool = False, middle: bool = False
) -> Path:
    """PNGs of random patches, or of levels about the middle; grey files have one channel."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (height, width) in enumerate(sizes):
        rng = np.random.default_rng(number)
        low, high = (120, 136) if middle else (0, 256)
        shape = (height // 8 + 1, width // 8 + 1, *((3,) if colour else ()))
        picture = rng.integers(low, high, shape, np.uint8).repeat(8, 0).repeat(8, 1)[:height, :width]
        iio.imwrite(folder / f"{number:02d}.png", picture)
    return folder
