"""A graph without gates that copy: the convolution before a gate is cut into the two halves that the gate multiplies.

`networks.blocks.gate` multiplies the two halves of the channels of a convolution. OpenVINO copies both halves out of
the convolution's output first, which costs a tenth of a network in float32. Two convolutions with half the output
channels each write them apart at once. The sums are the same, in the same order.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawkd.inference.graph.cells import CONVOLUTIONS


def split_gates(openvino: ModuleType, model: Any) -> None:
    """Cut the convolutions in front of gates in two, in place; a gate that has another form stays as it is.

    Constants must be folded and shapes static.
    """
    for operation in model.get_ordered_ops():
        if operation.get_type_name() != "Multiply":
            continue
        slices = [source.get_source_output().get_node() for source in operation.inputs()]
        bounds = [_bounds(node) for node in slices]
        if None in bounds or _source(slices[0]).get_name() != _source(slices[1]).get_name():
            continue
        halves = [_part(openvino, _source(node), *bound) for node, bound in zip(slices, bounds, strict=True) if bound]
        if None in halves:
            continue
        for target, half in zip(operation.inputs(), halves, strict=True):
            target.replace_source_output(half.output(0))


def _source(node: Any, place: int = 0) -> Any:
    """Return the node that makes an input."""
    return node.input(place).get_source_output().get_node()


def _values(node: Any) -> NDArray[Any] | None:
    """Return the values of a constant, or None."""
    return np.array(node.data) if node.get_type_name() == "Constant" else None


def _bounds(node: Any) -> tuple[int, int] | None:
    """Return first and last channel of a slice of channels, or None for another operation."""
    if node.get_type_name() != "Slice" or node.get_input_size() != 5:
        return None
    numbers = [_values(_source(node, place)) for place in range(1, 5)]
    if any(value is None or value.size != 1 for value in numbers):
        return None
    start, stop, step, axis = (int(value.item()) for value in numbers if value is not None)
    return (start, min(stop, node.input(0).get_shape()[1])) if (step, axis) == (1, 1) and start >= 0 else None


def _part(openvino: ModuleType, node: Any, start: int, stop: int) -> Any:
    """Return a node for channels start to stop of a convolution with its bias, or None for another operation.

    A depthwise convolution takes as many channels, so the convolution in front of it is cut too.
    """
    operations = openvino.opset13
    if node.get_type_name() != "Add" or _source(node).get_type_name() not in CONVOLUTIONS:
        return None
    convolution, bias = _source(node), _values(_source(node, 1))
    weights, taken = _values(_source(convolution, 1)), convolution.input(0).get_source_output()
    if bias is None or weights is None or bias.shape != (1, len(weights), 1, 1):
        return None
    make = operations.convolution
    if convolution.get_type_name() == "GroupConvolution":
        if weights.shape[1:3] != (1, 1):
            return None
        make, before = operations.group_convolution, _part(openvino, taken.get_node(), start, stop)
        if before is None:
            return None
        taken = before.output(0)
    facts = convolution.get_attributes()
    part = make(
        taken,
        operations.constant(np.ascontiguousarray(weights[start:stop])),
        facts["strides"],
        facts["pads_begin"],
        facts["pads_end"],
        facts["dilations"],
    )
    part.set_friendly_name(f"{convolution.get_friendly_name()}/{start}-{stop}")
    return operations.add(part, operations.constant(np.ascontiguousarray(bias[:, start:stop])))
