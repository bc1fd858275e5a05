"""Measure seconds a megapixel of the shipped students beside PMRID's layer table, in one engine and one run.

    pytest benchmarks/test_inference_speed.py --benchmark-enable --benchmark-columns=min,median -s

Read `seconds_per_mp` (megapixels of mosaic, from the fastest round), printed for each test and kept in `extra_info`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import Graph, identity, make_model

from rawkd.errors import ModelError
from rawkd.inference.card import ModelCard
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.students import load_cards
from rawkd.inference.tiling import denoise_tiled
from rawkd.sensor.ksigma import KSigma

SIZE = 512
UNCHANGED = KSigma(np.ones(4), np.zeros(4))


def shipped_students() -> list[ModelCard]:
    try:
        return [card for card in load_cards(None) if card.role == "student"]
    except ModelError:
        return []


class PMRID:
    """PMRID (Wang et al., ECCV 2020; 1,031,908 parameters) by its layer table, with random weights.

    Its layers were read from the authors' published code; depthwise convolutions have no bias, the others do.
    """

    def __init__(self) -> None:
        self.graph = Graph()

    def weight(self, *shape: int) -> str:
        """Random weights with He's scale."""
        scale = np.sqrt(2 / np.prod(shape[1:]))
        return self.graph.constant((self.graph.generator.standard_normal(shape) * scale).astype(np.float32))

    def conv(self, x: str, inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> str:
        """A convolution of `size` x `size`."""
        bias = [self.graph.constant(np.zeros(outputs, np.float32))] if groups == 1 else []
        weight = self.weight(outputs, inputs // groups, size, size)
        pads = [size // 2] * 4
        return self.graph.node("Conv", x, weight, *bias, pads=pads, strides=[stride] * 2, group=groups)

    def relu(self, x: str) -> str:
        """A ReLU."""
        return self.graph.node("Relu", x)

    def separable(self, x: str, inputs: int, outputs: int, size: int, stride: int = 1) -> str:
        """A depthwise, then a pointwise convolution."""
        return self.conv(self.conv(x, inputs, inputs, size, stride, groups=inputs), inputs, outputs, 1)

    def encoder_block(self, x: str, inputs: int, outputs: int, stride: int) -> str:
        """Two separable 5x5 convolutions and a shortcut."""
        y = self.relu(self.separable(x, inputs, outputs // 4, 5, stride))
        y = self.separable(y, outputs // 4, outputs, 5)
        shortcut = x if (inputs, stride) == (outputs, 1) else self.separable(x, inputs, outputs, 3, stride)
        return self.relu(self.graph.node("Add", y, shortcut))

    def decoder_block(self, x: str, width: int) -> str:
        """Two separable 3x3 convolutions and the identity."""
        y = self.separable(self.relu(self.separable(x, width, width, 3)), width, width, 3)
        return self.graph.node("Add", y, x)

    def __call__(self, path: Path) -> None:
        """Write the network as an ONNX file."""
        x = self.relu(self.conv("planes", 4, 16, 3))
        skips, width = [x], 16
        for outputs, blocks in ((64, 2), (128, 2), (256, 4), (512, 4)):
            for block in range(blocks):
                x = self.encoder_block(x, width, outputs, 1 if block else 2)
                width = outputs
            skips.append(x)
        x = self.relu(self.separable(x, 512, 64, 3))
        stages = ((64, 256, 64), (64, 128, 32), (32, 64, 32), (32, 16, 16))
        for (inputs, narrow, outputs), skip in zip(stages, reversed(skips[:-1]), strict=True):
            x = self.decoder_block(x, inputs)
            bias = self.graph.constant(np.zeros(outputs, np.float32))
            x = self.graph.node("ConvTranspose", x, self.weight(inputs, outputs, 2, 2), bias, strides=[2, 2])
            projected = self.relu(self.separable(skip, narrow, outputs, 3))
            x = self.graph.node("Add", x, projected)
        x = self.conv(self.decoder_block(x, 16), 16, 4, 3)
        self.graph.save(path, self.graph.node("Add", "planes", x))


@pytest.fixture(scope="module")
def pmrid(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    network = PMRID()
    card = make_model(tmp_path_factory.mktemp("models") / "pmrid", network, stride=16, halo=64, tile=SIZE)
    assert sum(constant_size(item) for item in network.graph.constants) == 1_031_908
    return card


def constant_size(constant: Any) -> int:
    return int(np.prod(constant.dims))


def time_network(benchmark: Any, card: ModelCard, threads: int, precision: str | None) -> None:
    """Time the network alone, on one tile."""
    engine = OpenVINOEngine(card, threads=threads, precision=precision)
    planes = np.random.default_rng(0).random((1, 4, SIZE, SIZE), np.float32)
    engine.run(planes)
    benchmark.pedantic(engine.run, (planes,), rounds=5, iterations=1)
    record(benchmark, engine, planes.size / 1e6)


def record(benchmark: Any, engine: OpenVINOEngine, megapixels: float) -> None:
    benchmark.extra_info |= {"engine": engine.identity, "streams": engine.streams}
    if benchmark.stats:
        benchmark.extra_info["seconds_per_mp"] = round(benchmark.stats.stats.min / megapixels, 4)
        print(f"{benchmark.name}: {benchmark.extra_info['seconds_per_mp']} s/MP, {engine.identity}")


@pytest.mark.parametrize("precision", ["f32", None], ids=["f32", "as shipped"])
@pytest.mark.parametrize("card", shipped_students(), ids=lambda card: card.name)
def test_shipped_network(benchmark: Any, card: ModelCard, precision: str | None) -> None:
    time_network(benchmark, card, 1, precision)


def test_pmrid_network(benchmark: Any, pmrid: ModelCard) -> None:
    time_network(benchmark, pmrid, 1, "f32")


def time_tiled(benchmark: Any, card: ModelCard, threads: int) -> None:
    """Time a mosaic of 6 megapixels with everything around the network: halos, packing, k-sigma, adding up."""
    engine = OpenVINOEngine(card, threads=threads)
    mosaic = np.random.default_rng(0).random((2000, 3000), np.float32)
    denoise_tiled(engine, mosaic, UNCHANGED, card)
    benchmark.pedantic(denoise_tiled, (engine, mosaic, UNCHANGED, card), rounds=3, iterations=1)
    record(benchmark, engine, mosaic.size / 1e6)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("card", shipped_students(), ids=lambda card: card.name)
def test_shipped_student_tiled(benchmark: Any, card: ModelCard, threads: int) -> None:
    time_tiled(benchmark, card, threads)


@pytest.mark.parametrize("threads", [1, 2])
def test_tiling_alone(benchmark: Any, tmp_path: Path, threads: int) -> None:
    """Time the tiles themselves, with a network that does nothing."""
    time_tiled(benchmark, make_model(tmp_path / "same", identity, stride=16, halo=24, tile=SIZE), threads)
