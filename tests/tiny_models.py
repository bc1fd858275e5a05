"""Tiny networks as ONNX files with complete cards, for tests of inference that must not wait for a trained student."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rawkd.inference.card import ModelCard, NoiseSubrange
from rawkd.inference.card_file import read_card
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.selftest import make_golden
from rawkd.inference.weights import sha256_of
from rawkd.sensor.ksigma import Anchor

ANCHOR = {"gain": 1e-3, "read_variance": 3.24e-6}
NO_GOLDEN = {"seed": 1, "size": 64, "patch": 1, **ANCHOR, "residual": base64.b64encode(bytes(16)).decode()}


@dataclass
class Graph:
    """Builds one network; every method returns the name of a tensor."""

    seed: int = 0
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.generator = np.random.default_rng(self.seed)

    def constant(self, values: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def conv(self, x: str, weight: np.ndarray, groups: int = 1) -> str:
        pad = weight.shape[-1] // 2
        return self.node("Conv", x, self.constant(weight.astype(np.float32)), pads=[pad] * 4, group=groups)

    def random_conv(self, x: str, inputs: int, outputs: int, gain: float = 1.0) -> str:
        weight = self.generator.standard_normal((outputs, inputs, 3, 3)) * gain * np.sqrt(2 / (9 * inputs))
        return self.conv(x, weight)

    def save(self, path: Path, result: str, *, fixed: str | int = 1) -> None:
        self.nodes.append(helper.make_node("Identity", [result], ["restored"]))
        shape = [fixed, 4, "h", "w"]
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("planes", "restored")]
        graph = helper.make_graph(self.nodes, "tiny", ends[:1], ends[1:], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, path)


def identity(path: Path) -> None:
    Graph().save(path, "planes", fixed="n")


BLUR = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16


def blur(path: Path) -> None:
    """Two binomial 3x3 blurs per plane: a halo of exactly 2."""
    graph = Graph()
    weight = np.broadcast_to(BLUR, (4, 1, 3, 3))
    graph.save(path, graph.conv(graph.conv("planes", weight, 4), weight, 4))


def even_blur(path: Path) -> None:
    """The same blurs without dark borders: the edge is repeated, so that local means are kept."""
    graph = Graph()
    weight = np.broadcast_to(BLUR, (4, 1, 3, 3)).astype(np.float32)
    result = graph.node("Pad", "planes", graph.constant(np.array([0, 0, 2, 2, 0, 0, 2, 2])), mode="edge")
    for _ in range(2):
        result = graph.node("Conv", result, graph.constant(weight), pads=[0] * 4, group=4)
    graph.save(path, result)


def unet(path: Path, *, pooled: bool = False) -> None:
    """Two levels, stride 2, residual; with `pooled`, channel attention by global pooling on top."""
    graph = Graph()
    top = graph.node("Relu", graph.random_conv("planes", 4, 8))
    low = graph.node("MaxPool", top, kernel_shape=[2, 2], strides=[2, 2])
    low = graph.node("Relu", graph.random_conv(low, 8, 8))
    scales = graph.constant(np.array([1, 1, 2, 2], np.float32))
    up = graph.node("Resize", low, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")
    mixed = graph.node("Add", up, top)
    if pooled:
        mean = graph.node("GlobalAveragePool", mixed)
        mixed = graph.node("Mul", mixed, graph.node("Sigmoid", mean))
    graph.save(path, graph.node("Add", "planes", graph.random_conv(mixed, 8, 4, 0.1)))


def card_document(name: str = "tiny", **changes: Any) -> dict[str, Any]:
    """A complete card as JSON values."""
    document: dict[str, Any] = {
        "family": "tiny", "name": name, "role": "student", "tier": None, "network": "fanet", "config": {},
        "input": "planes", "subrange": [1e-5, 1e-2], "anchor": ANCHOR, "stride": 2, "halo": 2, "tile": 32, "params": 4,
        "macs_per_mp": {"1e6": 0.1, "2^20": 0.1}, "files": {}, "golden": NO_GOLDEN, "data": ["generated"],
        "licence": "Apache-2.0", "recipe": "none", "commit": "0" * 40, "seeds": [1],
        "metrics": {"0.001": {"psnr": 40.0, "psnr_noisy": 30.0, "ssim": 0.9}}, "bf16_cost_db": None,
        "limits": ["knows nothing"], "created": "2026-01-01",
    }  # fmt: skip
    assert set(changes) <= set(document)
    return document | changes


def make_card(name: str, low: float, high: float, **changes: Any) -> ModelCard:
    """A card without a file."""
    typed = {"subrange": NoiseSubrange(low, high), "anchor": Anchor(**ANCHOR), "directory": Path(name)}
    return ModelCard(**card_document(name) | typed | changes)


def write_card(directory: Path, document: dict[str, Any]) -> ModelCard:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "card.json").write_text(json.dumps(document))
    return read_card(directory)


def make_model(directory: Path, build: Any, **changes: Any) -> ModelCard:
    """A network with a card that names it, and a golden output computed in f32 by OpenVINO."""
    directory.mkdir(parents=True, exist_ok=True)
    build(directory / "network.onnx")
    files = {"network.onnx": sha256_of((directory / "network.onnx").read_bytes())}
    document = card_document(directory.name, files=files, **changes)
    card = write_card(directory, document)
    document["golden"] = make_golden(OpenVINOEngine(card, threads=1, precision="f32").run, card.stride, card.anchor)
    return write_card(directory, document)
