"""The part of a graph that stays in float32 ends at the first convolution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import make_model, unet

from rawkd.inference.card import COST_LIMIT_DB, ModelCard
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.cpu.precisions import has_bf16
from rawkd.inference.graph.openvino_graph import CONVOLUTIONS, fill, split_before_convolutions
from rawkd.inference.openvino_library import import_openvino, openvino_core
from rawkd.inference.selftest import golden_input
from rawkd.inference.students import load_cards
from rawkd.inference.weights import NETWORK, load_weights, shard_names
from rawkd.photo import FloatArray
from rawkd.sensor.cfa import pack
from rawkd.sensor.ksigma import KSigma
from rawkd.training.data.leaves import dead_leaves
from rawkd.training.data.synthesize import Camera, add_noise, camera_at
from rawkd.training.data.unprocess import Look, camera_mosaic

SHIPPED = load_cards(None)


def read(card: ModelCard, size: int) -> Any:
    openvino = import_openvino()
    model = openvino_core().read_model(card.directory / NETWORK)
    fill(openvino, model, load_weights(card) if shard_names(card) else {})
    model.reshape([1, card.channels, size, size])
    return model


@pytest.mark.parametrize("card", SHIPPED, ids=lambda card: card.name)
def test_the_parts_compute_what_the_whole_computes(card: ModelCard) -> None:
    openvino = import_openvino()
    core, planes = openvino_core(), golden_input(1, 64, card.anchor, card.channels)[0]
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    whole = core.compile_model(read(card, 64), "CPU", options)(planes)[0]
    front, rest = split_before_convolutions(openvino, read(card, 64))
    assert not [op for op in front.get_ops() if op.get_type_name() in CONVOLUTIONS]
    between = core.compile_model(front, "CPU", options)(planes)
    values = {place: between[place] for place in range(len(between))}
    parts = core.compile_model(rest, "CPU", options)(values)[0]
    deviation = golden_input(1, 64, card.anchor, card.channels)[1]
    assert np.abs((parts - whole) / deviation).max() < 1e-4


def test_a_network_that_begins_with_a_convolution_keeps_its_input(tmp_path: Path) -> None:
    card = make_model(tmp_path, unet)
    front, rest = split_before_convolutions(import_openvino(), read(card, 32))
    assert [op.get_type_name() for op in front.get_ordered_ops()] == ["Parameter", "Result"]
    assert len(rest.get_parameters()) == 1


def noisy_leaves(card: ModelCard) -> tuple[FloatArray, Camera, FloatArray]:
    """A clean packed picture, its camera at the card's anchor, and the anchored noisy planes, a batch."""
    size = 240 if card.cell.side == 6 else 256
    leaves = 0.5 * dead_leaves(256, np.random.default_rng(2026))[:size, :size]
    clean = pack(camera_mosaic(leaves, Look(np.eye(3), 2.0, 1.7, 1.25), card.cell), card.cell.side)
    camera = camera_at(card.anchor.gain)
    return clean, camera, ksigma_of(card, camera).apply(add_noise(clean, camera, np.random.default_rng(7)))[None]


def ksigma_of(card: ModelCard, camera: Camera) -> KSigma:
    return KSigma.between(camera.noise_model(card.cell), card.anchor).spread(card.cell)


def psnr_db(answer: FloatArray, card: ModelCard, clean: FloatArray, camera: Camera) -> float:
    signal = ksigma_of(card, camera).invert(answer[0])
    return float(-10 * np.log10(np.mean((np.clip(signal, 0, 1) - clean) ** 2)))


@pytest.mark.parametrize("card", SHIPPED, ids=lambda card: card.name)
def test_bf16_costs_less_than_its_limit(card: ModelCard) -> None:
    if not has_bf16():
        pytest.skip("this CPU has no bf16")
    clean, camera, planes = noisy_leaves(card)
    exact, rounded = (
        psnr_db(OpenVINOEngine(card, precision=precision).run(planes), card, clean, camera)
        for precision in ("f32", "bf16")
    )
    assert exact - rounded < COST_LIMIT_DB


def test_bf16_from_the_input_on_would_cost_more() -> None:
    """The twin that must fail: the student of base ISO without the cut."""
    if not has_bf16():
        pytest.skip("this CPU has no bf16")
    card = min(SHIPPED, key=lambda card: card.anchor.gain)
    clean, camera, planes = noisy_leaves(card)
    whole = openvino_core().compile_model(read(card, 128), "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    exact = psnr_db(OpenVINOEngine(card, precision="f32").run(planes), card, clean, camera)
    assert exact - psnr_db(whole(planes)[0], card, clean, camera) > COST_LIMIT_DB
