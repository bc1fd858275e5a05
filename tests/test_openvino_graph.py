"""The part of a graph that stays in float32 ends at the first convolution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_models import make_model, unet

from rawkd.inference.card import load_cards
from rawkd.inference.model_card import ModelCard
from rawkd.inference.openvino_engine import OpenVINOEngine, import_openvino
from rawkd.inference.openvino_graph import CONVOLUTIONS, split_before_convolutions
from rawkd.inference.selftest import golden_input
from rawkd.inference.weights import NETWORK

SHIPPED = load_cards(None)


def read(card: ModelCard, size: int) -> object:
    model = import_openvino().Core().read_model(card.directory / NETWORK)
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


@pytest.mark.parametrize("card", SHIPPED, ids=lambda card: card.name)
def test_bf16_is_off_by_a_fiftieth_of_the_noise_at_most(card: ModelCard) -> None:
    if "BF16" not in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bf16")
    planes, deviation = golden_input(1, 128, card.anchor)
    exact, rounded = (OpenVINOEngine(card, precision=precision).run(planes) for precision in ("f32", "bf16"))
    assert np.sqrt((((rounded - exact) / deviation) ** 2).mean()) < 0.02
