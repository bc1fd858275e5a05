"""Rewritten graphs compute what they computed before: gates, cells of 2x2 pixels, logarithms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rawkd.inference.card import ModelCard
from rawkd.inference.graph.cells import ON_CELLS, input_on_cells
from rawkd.inference.graph.gates import split_gates
from rawkd.inference.graph.logarithm import vector_logarithms
from rawkd.inference.graph.openvino_graph import fill, simplify, split_before_convolutions
from rawkd.inference.openvino_library import import_openvino, openvino_core
from rawkd.inference.selftest import golden_input
from rawkd.inference.students import load_cards
from rawkd.inference.weights import NETWORK, load_weights, shard_names
from rawkd.photo import FloatArray

SHIPPED = load_cards(None)
EPS = float(np.finfo(np.float32).eps)
Build = Callable[[Any, Any], Any]


def network(build: Build, shape: tuple[int, ...]) -> Any:
    """A graph of one input and one output, made from the operations of OpenVINO."""
    openvino = import_openvino()
    planes = openvino.opset13.parameter(list(shape), np.float32)
    return openvino.Model([build(openvino.opset13, planes)], [planes])


def answer(model: Any, planes: FloatArray) -> FloatArray:
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    return np.array(openvino_core().compile_model(model, "CPU", options)(planes)[0])


def kinds(model: Any) -> Counter[str]:
    return Counter(operation.get_type_name() for operation in model.get_ops())


def random(*shape: int) -> FloatArray:
    return np.random.default_rng(5).uniform(0.5, 2, shape).astype(np.float32)


def convolved(ops: Any, source: Any, outputs: int, side: int = 3) -> Any:
    weights = random(outputs, source.output(0).get_shape()[1], side, side)
    made = ops.convolution(source, weights, [1, 1], [side // 2] * 2, [side // 2] * 2, [1, 1])
    return ops.add(made, random(1, outputs, 1, 1))


def depthwise(ops: Any, source: Any) -> Any:
    channels = source.output(0).get_shape()[1]
    made = ops.group_convolution(source, random(channels, 1, 1, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1])
    return ops.add(made, random(1, channels, 1, 1))


def gated(ops: Any, source: Any, middle: int = 6, step: int = 1) -> Any:
    """The product of the channels up to `middle` and those after it."""
    one = [np.array([value]) for value in (0, middle, 12, step, 1)]
    return ops.multiply(
        ops.slice(source, one[0], one[1], one[3], one[4]), ops.slice(source, one[1], one[2], one[3], one[4])
    )


@pytest.mark.parametrize(
    "build",
    [
        lambda ops, planes: gated(ops, convolved(ops, planes, 12)),
        lambda ops, planes: gated(ops, depthwise(ops, convolved(ops, planes, 12, 1))),
    ],
    ids=["full", "depthwise"],
)
def test_a_gate_without_slices_computes_the_same(build: Build) -> None:
    planes = random(1, 5, 16, 24)
    before = answer(network(build, planes.shape), planes)
    model = network(build, planes.shape)
    split_gates(import_openvino(), model)
    assert "Slice" not in kinds(model)
    # up to 45 products a pixel, all positive; two factors, whose sums may be in another order
    np.testing.assert_allclose(answer(model, planes), before, rtol=2 * 45 * EPS)


@pytest.mark.parametrize(
    "build",
    [
        lambda ops, planes: gated(ops, convolved(ops, planes, 12), step=2),
        lambda ops, planes: gated(ops, ops.sqrt(convolved(ops, planes, 12))),
        lambda ops, planes: gated(ops, depthwise(ops, planes)),
    ],
    ids=["every second channel", "not after a convolution", "depthwise without a convolution before it"],
)
def test_other_gates_stay_as_they_are(build: Build) -> None:
    planes = random(1, 12, 8, 8)
    before, model = answer(network(build, planes.shape), planes), network(build, planes.shape)
    split_gates(import_openvino(), model)
    assert kinds(model)["Slice"] == 2
    np.testing.assert_array_equal(answer(model, planes), before)


def local_structure(ops: Any, planes: Any) -> Any:
    """A network with the steps of `NoiseUnits`: structure, guide, and a tail at full size."""
    root = ops.sqrt(ops.add(ops.multiply(planes, np.float32(3)), np.float32(1)))
    means = ops.avg_pool(root, [2, 2], [0, 0], [0, 0], [2, 2], False)
    means = ops.avg_pool(means, [1, 1], [2, 2], [2, 2], [5, 5], True)
    scales = np.array([1, 1, 2, 2], np.float32)
    wide = ops.interpolate(means, scales, "linear_onnx", "scales", coordinate_transformation_mode="half_pixel")
    structure = ops.subtract(root, wide)
    joined = ops.concat([ops.log(ops.add(planes, np.float32(1))), ops.multiply(structure, np.float32(0.25))], 1)
    guide = ops.avg_pool(joined, [2, 2], [0, 0], [0, 0], [2, 2], False)
    stem = ops.convolution(structure, random(6, 4, 4, 4) - 1, [2, 2], [1, 1], [1, 1], [1, 1])
    head = convolved(ops, ops.add(stem, convolved(ops, guide, 6, 1)), 16)
    return ops.multiply(ops.subtract(root, ops.depth_to_space(head, "depth_first", 2)), root)


def test_values_on_cells_are_the_same_up_to_the_border() -> None:
    planes = random(1, 4, 24, 36)
    before, model = answer(network(local_structure, planes.shape), planes), network(local_structure, planes.shape)
    input_on_cells(import_openvino(), model)
    assert "Interpolate" not in kinds(model)
    assert kinds(model)["AvgPool"] == 1
    whole = [op for op in model.get_ops() if op.get_type_name() == "Sqrt" and list(op.get_output_shape(0))[-1] == 36]
    assert not whole
    # an output is a sum of about 1,000 products of values below 3, of two signs; its error grows with their root
    np.testing.assert_allclose(answer(model, planes), before, rtol=0, atol=30 * EPS * float(np.abs(before).max()))


def test_a_border_without_its_repeated_pixels_would_differ() -> None:
    """The twin that must fail: the same check finds a wrong border of one pixel."""
    planes = random(1, 4, 24, 36)
    before, wrong = answer(network(local_structure, planes.shape), planes), network(local_structure, planes.shape)
    input_on_cells(import_openvino(), wrong)
    (edge,) = [operation for operation in wrong.get_ops() if operation.get_type_name() == "Pad"]
    zeros = import_openvino().opset13.pad(edge.input_value(0), [0, 0, 1, 1], [0, 0, 1, 1], "constant")
    for target in edge.output(0).get_target_inputs():
        target.replace_source_output(zeros.output(0))
    assert np.abs(answer(wrong, planes) - before).max() > 1e-3 * np.abs(before).max()


def test_a_graph_without_means_of_cells_stays() -> None:
    plain = network(lambda ops, planes: convolved(ops, planes, 4), (1, 4, 8, 8))
    before = kinds(plain)
    input_on_cells(import_openvino(), plain)
    assert kinds(plain) == before


def test_logarithms_are_those_of_numpy() -> None:
    values = np.geomspace(1, 1e6, 4096, dtype=np.float32).reshape(1, 4, 32, 32)
    for build in (
        lambda ops, planes: ops.log(ops.add(planes, np.float32(1))),
        lambda ops, planes: ops.log(ops.add(np.full((1, 4, 1, 1), 1, np.float32), planes)),
    ):
        model = network(build, values.shape)
        vector_logarithms(import_openvino(), model)
        assert "Log" not in kinds(model)
        # the root near 1 and its ratio are rounded and multiplied by 16; the series ends 2e-6 short at 1e6
        np.testing.assert_allclose(answer(model, values - 1), np.log(values), rtol=3e-6, atol=32 * EPS)


@pytest.mark.parametrize(
    "build",
    [
        lambda ops, planes: ops.log(planes),
        lambda ops, planes: ops.log(ops.add(planes, np.float32(1e-6))),
        lambda ops, planes: ops.log(ops.add(planes, np.array([1, 0, 1, 1], np.float32).reshape(1, 4, 1, 1))),
        lambda ops, planes: ops.log(ops.multiply(planes, np.float32(1))),
    ],
    ids=["of the input", "of a small sum", "of a sum with 1 in some planes", "of a product with 1"],
)
def test_logarithms_of_what_may_be_near_0_stay(build: Build) -> None:
    """The series would be off by 10 at 1e-30: the test would fail with it."""
    values = np.geomspace(1e-30, 1, 4096, dtype=np.float32).reshape(1, 4, 32, 32)
    before, model = answer(network(build, values.shape), values), network(build, values.shape)
    vector_logarithms(import_openvino(), model)
    assert kinds(model)["Log"] == 1
    np.testing.assert_array_equal(answer(model, values), before)


@pytest.mark.parametrize("card", SHIPPED, ids=lambda card: card.name)
def test_the_shipped_networks_compute_the_same(card: ModelCard) -> None:
    openvino = import_openvino()
    planes, deviation = golden_input(1, 96, card.anchor, card.channels)

    def read() -> Any:
        model = openvino_core().read_model(card.directory / NETWORK)
        fill(openvino, model, load_weights(card) if shard_names(card) else {})
        model.reshape(list(planes.shape))
        return model

    before, model = answer(read(), planes), read()
    simplify(openvino, model)
    found = kinds(model)
    assert not {"Slice", "VariadicSplit", "Log"} & set(found)
    resized = kinds(read())["Interpolate"]  # only networks on patches resize their local means
    assert found["Interpolate"] < resized if card.config["patch"] else found["Interpolate"] == resized
    # float32 sums in another order, and logarithms to 1e-5: far below the hundredth that the self-test allows
    assert np.abs((answer(model, planes) - before) / deviation).max() < 1e-3
    front, _ = split_before_convolutions(openvino, model)
    inside = [op for op in front.get_ops() if op.get_type_name() == "Convolution"]
    assert inside
    assert all(op.get_friendly_name().startswith(ON_CELLS) for op in inside)
