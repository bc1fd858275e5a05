"""Convolutions in int8: the right ones, with the right ranges, at a small cost."""

from __future__ import annotations

import base64
import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawkd.errors import ModelError
from rawkd.inference import engines, selftest
from rawkd.inference.card import Int8, ModelCard
from rawkd.inference.card_file import card_json, read_card
from rawkd.inference.cpu import openvino_engine
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.cpu.precisions import int8_is_right
from rawkd.inference.engine import OTHER_DEVICE
from rawkd.inference.graph.int8 import decode, encode, quantise_inputs, quantise_kernels
from rawkd.inference.openvino_library import import_openvino, openvino_core
from rawkd.inference.students import load_cards
from rawkd.photo import FloatArray

CHANNELS, SIDE = 16, 24
WITH_INT8 = [card for card in load_cards(None) if card.int8]


def convolution(weights: FloatArray) -> Any:
    """An openvino.Model of one 3x3 convolution named `mix` and its bias."""
    openvino = import_openvino()
    operations = openvino.opset13
    planes = operations.parameter([1, weights.shape[1], SIDE, SIDE], np.float32)
    kernel = operations.constant(weights)
    kernel.set_friendly_name("mix.weight")
    result = operations.convolution(planes, kernel, [1, 1], [1, 1], [1, 1], [1, 1])
    return openvino.Model([result], [planes])


def run(model: Any, planes: FloatArray) -> FloatArray:
    compiled = openvino_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.asarray(compiled([planes])[0])


def error_of(ranges: FloatArray, scale: FloatArray, bits: int = 8) -> float:
    """Relative rms error of the convolution in int8; its inputs have the rms `scale` by channel."""
    rng = np.random.default_rng(4)
    planes = (rng.standard_normal((1, CHANNELS, SIDE, SIDE)) * scale[:, None, None]).astype(np.float32)
    weights = (rng.standard_normal((8, CHANNELS, 3, 3)) / scale[:, None, None]).astype(np.float32)
    exact, model = run(convolution(weights), planes), convolution(weights)
    quantise_inputs(import_openvino(), model, {"mix": ranges})
    quantise_kernels(import_openvino(), model, bits)
    return float(np.sqrt(np.mean((run(model, planes) - exact) ** 2) / np.mean(exact**2)))


@pytest.mark.skipif(not int8_is_right(), reason="this CPU adds products of int8 in 16 bits")
def test_every_channel_has_a_range_of_its_own() -> None:
    """Rounding to steps of r / 128 of the input and of 1 / 127 of the largest weight, each uniform: sd 1 / sqrt(12).

    With ranges of 4 deviations and largest weights of about 3.2, the relative error is
    sqrt((4 / 128)^2 + (3.2 / 127)^2) / sqrt(12) = 0.0116; clipping beyond 4 deviations adds less than 0.001.
    """
    scale = np.geomspace(0.05, 5, CHANNELS).astype(np.float32)
    assert error_of(4 * scale, scale) == pytest.approx(0.0116, rel=0.15)
    assert error_of(np.full(CHANNELS, 4 * scale.max(), np.float32), scale) > 0.1  # the twin: one range for all


def test_kernels_of_7_bits() -> None:
    """As above with steps of 1 / 63: sqrt((4 / 128)^2 + (3.2 / 63)^2) / sqrt(12) = 0.0172; right on every processor."""
    scale = np.geomspace(0.05, 5, CHANNELS).astype(np.float32)
    assert error_of(4 * scale, scale, bits=7) == pytest.approx(0.0172, rel=0.15)


AVX2 = """
import sys
import numpy as np
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.cpu.precisions import int8_is_right
from rawkd.inference.engine import OTHER_DEVICE
from rawkd.inference.students import load_cards
card = next(card for card in load_cards(None) if card.tier == "best" and card.cfa == "bayer")
planes = np.load(sys.argv[1])
for precision in ("int7", "int8"):
    np.save(sys.argv[2] + precision, OpenVINOEngine(card, threads=1, precision=precision).run(planes))
print(int8_is_right(8), int8_is_right(7))
"""


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="needs a processor with AVX2")
def test_without_vnni_kernels_of_7_bits_are_right(tmp_path: Path) -> None:
    """OpenVINO computes as on a processor with AVX2 only: sums of 8 bits overflow, those of 7 bits do not.

    So a network answers in int7 as on this processor, and in int8 otherwise if this one has VNNI.
    """
    card = next(card for card in WITH_INT8 if card.tier == "best")
    rng, cells = np.random.default_rng(3), card.stride
    level = rng.choice([0.02, 0.5], (1, card.channels, cells, cells)).repeat(8, 2).repeat(8, 3)
    noise = np.sqrt(card.anchor.gain * level + card.anchor.read_variance) * rng.standard_normal(level.shape)
    planes = (level + noise).astype(np.float32)
    np.save(tmp_path / "planes.npy", planes)
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", AVX2, str(tmp_path / "planes.npy"), f"{tmp_path}/"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
    for precision, is_equal in (("int7", True), *((("int8", False),) if int8_is_right() else ())):
        own = OpenVINOEngine(card, threads=1, precision=precision).run(planes)
        off = float(np.sqrt(np.mean((np.load(tmp_path / f"{precision}.npy") - own) ** 2)))
        assert off < 1e-6 if is_equal else off > 1e-5


def test_what_lies_beyond_the_range_is_clipped() -> None:
    """Of a normal variable, clipping at one deviation leaves 0.516 of the variance; its error has 0.151 of it."""
    scale = np.ones(CHANNELS, np.float32)
    assert error_of(scale, scale) == pytest.approx(np.sqrt(0.151), rel=0.1)


def test_a_missing_convolution_or_another_width_is_refused() -> None:
    model = convolution(np.ones((8, CHANNELS, 3, 3), np.float32))
    with pytest.raises(ModelError, match="no convolution other"):
        quantise_inputs(import_openvino(), model, {"other": np.ones(CHANNELS, np.float32)})
    with pytest.raises(ModelError, match="has 3 channels, its convolution 16"):
        quantise_inputs(import_openvino(), model, {"mix": np.ones(3, np.float32)})


def test_without_ranges_a_graph_stays_as_it_is() -> None:
    model = convolution(np.ones((8, CHANNELS, 3, 3), np.float32))
    quantise_inputs(import_openvino(), model, {})
    quantise_kernels(import_openvino(), model)
    assert not [node for node in model.get_ops() if node.get_type_name() == "FakeQuantize"]


@given(st.dictionaries(st.text(min_size=1), st.lists(st.floats(2.0**-10, 2.0**15, width=16), min_size=1), max_size=3))
def test_ranges_in_a_card_are_those_measured(ranges: dict[str, list[float]]) -> None:
    values = {name: np.array(of, np.float32) for name, of in ranges.items()}
    found = decode(encode(values))
    assert found.keys() == values.keys()
    for name, of in values.items():
        np.testing.assert_array_equal(found[name], of)


@pytest.mark.parametrize("text", ["?", "AA", "", base64.b64encode(np.array([1, -1], "<f2").tobytes()).decode()])
def test_damaged_ranges_are_refused(text: str) -> None:
    with pytest.raises(ModelError, match="int8 range of mix is"):
        decode({"mix": text})


@pytest.mark.parametrize(
    "value", [[], {"ranges": {}}, {"ranges": {}, "cost_db": {}, "more": 1}, {"ranges": {"a": 1}, "cost_db": {}}]
)
def test_a_card_with_another_int8_field_is_refused(tmp_path: Path, value: Any) -> None:
    from tiny_models import card_document, write_card

    document = card_document()
    document["int8"] = value
    with pytest.raises(ModelError, match="the field int8"):
        write_card(tmp_path, document)


def test_some_shipped_model_has_int8() -> None:
    assert [card for card in WITH_INT8 if card.tier == "best"]


@pytest.mark.parametrize("card", WITH_INT8, ids=lambda card: card.name)
class TestShipped:
    """Shipped models that compute in int8."""

    def test_a_card_keeps_its_ranges(self, card: ModelCard, tmp_path: Path) -> None:
        (tmp_path / "card.json").write_text(card_json(card))
        assert card.int7
        assert replace(read_card(tmp_path), directory=card.directory) == card

    def test_normalised_features_stay_below_the_root_of_their_channels(self, card: ModelCard) -> None:
        assert card.int8
        for of in decode(card.int8.ranges).values():
            assert of.max() <= np.sqrt(len(of)) * 1.001

    @pytest.mark.parametrize("precision", ["int8", "int7"])
    def test_int8_differs_from_float32_by_a_part_of_what_is_left_of_the_noise(
        self, card: ModelCard, precision: str
    ) -> None:
        """In a flat field, in deviations of the noise: not zero, or float32 was computed."""
        rng = np.random.default_rng(2)
        side = 8 * card.stride
        level, anchor = 0.1, card.anchor
        deviation = np.sqrt(anchor.gain * level + anchor.read_variance)
        planes = (level + deviation * rng.standard_normal((1, card.channels, side, side))).astype(np.float32)
        exact, rounded = (OpenVINOEngine(card, threads=1, precision=name).run(planes) for name in ("f32", precision))
        off = float(np.sqrt(np.mean((rounded - exact) ** 2)) / deviation)
        assert 1e-4 < off < 0.06


@pytest.mark.parametrize("bf16_fails", [False, True])
def test_a_precision_that_computes_wrongly_is_not_used(monkeypatch: pytest.MonkeyPatch, bf16_fails: bool) -> None:
    """The self-test fails in int8: the photo runs in the next best precision, with a warning; no second try."""
    card = replace(WITH_INT8[0], bf16_cost_db=dict.fromkeys(WITH_INT8[0].metrics, 0.0))
    card = replace(card, int8=replace(card.int8, cost_db=dict.fromkeys(card.metrics, 0.0)))
    tried: list[str] = []

    def fails_in_int8(_: ModelCard, engine: Any) -> None:
        tried.append(engine.precision)
        if "int8" in engine.precision or (bf16_fails and "bf16" in engine.precision):
            raise ModelError("it computes wrongly", OTHER_DEVICE, "update the driver")

    monkeypatch.setattr(openvino_engine, "int8_is_faster", lambda _: True)
    monkeypatch.setattr(openvino_engine, "bf16_is_faster", lambda: True)
    monkeypatch.setattr(openvino_engine, "has_bf16", lambda: True)
    monkeypatch.setattr(engines, "self_test", fails_in_int8)
    loaded = engines.Engines()
    first, warnings = loaded.load(card, device="cpu", threads=1, gain=1e-4)
    assert first.precision == ("f32" if bf16_fails else "bf16")
    assert warnings[0] == "int8+bf16 is not used: it computes wrongly"
    assert len(warnings) == len(tried) - 1 == 1 + bf16_fails
    assert loaded.load(card, device="cpu", threads=1, gain=1e-4) == (first, warnings)
    assert len(tried) == 2 + bf16_fails
    with pytest.raises(ModelError, match="computes wrongly"):
        loaded.load(card, device="cpu", threads=1, precision="int8")


def test_other_ranges_make_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that passed the self-test is tested again with other ranges, and gets an engine of its own."""
    monkeypatch.setattr(selftest, "cache_folder", lambda: tmp_path)
    card = WITH_INT8[0]
    assert card.int8
    wrong = {name: np.full_like(of, 0.05) for name, of in decode(card.int8.ranges).items()}
    damaged = replace(card, int8=replace(card.int8, ranges=encode(wrong)))
    loaded = engines.Engines()
    loaded.load(card, device="cpu", threads=1, precision="int8")
    with pytest.raises(ModelError, match="computes wrongly"):
        loaded.load(damaged, device="cpu", threads=1, precision="int8")


def test_without_a_measured_cost_int8_is_not_allowed() -> None:
    assert replace(WITH_INT8[0], int8=Int8({}, {})).allows("int8") is False


def test_a_gain_by_chance_pays_for_no_loss() -> None:
    card = replace(WITH_INT8[0], bf16_cost_db={"1e-3": -0.02}, int8=Int8({}, {"1e-3": 0.06}))
    assert card.allows("bf16")
    assert not card.allows("int8", "bf16")
