"""The part of a graph that stays in float32 ends at the first convolution."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import make_model, unet

from rawkd.inference.card import load_cards
from rawkd.inference.model_card import BF16_COST_LIMIT_DB, ModelCard
from rawkd.inference.openvino_engine import OpenVINOEngine, import_openvino
from rawkd.inference.openvino_graph import CONVOLUTIONS, fill, split_before_convolutions
from rawkd.inference.selftest import golden_input
from rawkd.inference.weights import NETWORK, load_weights, shard_names

SHIPPED = load_cards(None)


def read(card: ModelCard, size: int) -> Any:
    openvino = import_openvino()
    model = openvino.Core().read_model(card.directory / NETWORK)
    fill(openvino, model, load_weights(card) if shard_names(card) else {})
    model.reshape([1, 4, size, size])
    return model


@pytest.mark.parametrize("card", SHIPPED, ids=lambda card: card.name)
def test_the_parts_compute_what_the_whole_computes(card: ModelCard) -> None:
    openvino = import_openvino()
    core, planes = openvino.Core(), golden_input(1, 64, card.anchor)[0]
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    whole = core.compile_model(read(card, 64), "CPU", options)(planes)[0]
    front, rest = split_before_convolutions(openvino, read(card, 64))
    assert not [op for op in front.get_ops() if op.get_type_name() in CONVOLUTIONS]
    between = core.compile_model(front, "CPU", options)(planes)
    values = {place: between[place] for place in range(len(between))}
    parts = core.compile_model(rest, "CPU", options)(values)[0]
    deviation = golden_input(1, 64, card.anchor)[1]
    assert np.abs((parts - whole) / deviation).max() < 1e-4


def test_a_network_that_begins_with_a_convolution_keeps_its_input(tmp_path: Path) -> None:
    card = make_model(tmp_path, unet)
    front, rest = split_before_convolutions(import_openvino(), read(card, 32))
    assert [op.get_type_name() for op in front.get_ordered_ops()] == ["Parameter", "Result"]
    assert len(rest.get_parameters()) == 1


def native_bf16() -> bool:
    return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def allowed_rounding(card: ModelCard) -> float:
    """The rms in units of noise that costs a card's own photographs `BF16_COST_LIMIT_DB` at its anchor's gain.

    What is left of the noise has the variance e**2 = 10**(-gain in dB / 10); rounding adds d**2, which costs
    10 lg(1 + d**2 / e**2) dB.
    """
    nearest = min(card.metrics, key=lambda gain: abs(math.log(float(gain) / card.anchor.gain)))
    measured = card.metrics[nearest]
    left = 10 ** ((measured["psnr_noisy"] - measured["psnr"]) / 10)
    return math.sqrt(left * (10 ** (BF16_COST_LIMIT_DB / 10) - 1))


@pytest.mark.parametrize("card", SHIPPED, ids=lambda card: card.name)
def test_bf16_rounds_less_than_it_may_cost(card: ModelCard) -> None:
    if not native_bf16():
        pytest.skip("this CPU has no bf16")
    planes, deviation = golden_input(1, 128, card.anchor)
    exact, rounded = (OpenVINOEngine(card, precision=precision).run(planes) for precision in ("f32", "bf16"))
    assert np.sqrt((((rounded - exact) / deviation) ** 2).mean()) < allowed_rounding(card)


def test_bf16_from_the_input_on_rounds_more() -> None:
    """The twin that must fail: the student of base ISO without the cut."""
    if not native_bf16():
        pytest.skip("this CPU has no bf16")
    card = min(SHIPPED, key=lambda card: card.anchor.gain)
    planes, deviation = golden_input(1, 128, card.anchor)
    whole = import_openvino().Core().compile_model(read(card, 128), "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    exact = OpenVINOEngine(card, precision="f32").run(planes)
    assert np.sqrt((((whole(planes)[0] - exact) / deviation) ** 2).mean()) > 2 * allowed_rounding(card)
