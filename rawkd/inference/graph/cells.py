"""Compute the input side of a graph on cells of 2x2 pixels: half the height and width, four times the channels.

A network on patches (`networks.fanet`, `patch`) computes its units of noise on four planes of full size. OpenVINO works
on 16 channels at a time, so three quarters of each pass over four planes are padding, and it resizes planes slowly. The
same values as 16 planes of half the size fill its vectors; averaging 2x2 pixels and doubling the resolution then are
convolutions. Only the order of sums differs.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

ON_CELLS = "cells/"
"""Start of the names of the convolutions made here. They average and interpolate, which bf16 is too coarse for."""
CELL_PX = 2
ELEMENTWISE = ("Add", "Subtract", "Multiply", "Divide", "Maximum", "Minimum", "Sqrt", "Log")
"""Operations that do the same on cells, with values on cells and single numbers as inputs."""
CONVOLUTIONS = ("Convolution", "GroupConvolution")


def input_on_cells(openvino: ModuleType, model: Any) -> None:
    """Compute on cells what a graph does before its first and after its last convolution, in place.

    Constants must be folded and shapes static. A graph that never averages 2x2 pixels stays as it is, and so does one
    for pictures of an odd height or width.
    """
    height, width = model.get_parameters()[0].get_shape()[2:]
    if height % CELL_PX == width % CELL_PX == 0 and any(_is_mean_of_cells(operation) for operation in model.get_ops()):
        _Rewriting(openvino).follow(model)


class _Rewriting:
    """What is known of a graph on cells.

    Attributes
    ----------
    parts : by name of a node, outputs with the same values on cells; several are a concatenation of channels.
    """

    def __init__(self, openvino: ModuleType) -> None:
        self.ops = openvino.opset13
        self.parts: dict[str, list[Any]] = {}

    def follow(self, model: Any) -> None:
        """Go through the graph in order; what has no form on cells keeps its old input."""
        operations = model.get_ordered_ops()
        (planes,) = model.get_parameters()
        self.parts[planes.get_name()] = [self.ops.space_to_depth(planes, "depth_first", CELL_PX).output(0)]
        for operation in operations:
            known = [
                self.parts.get(_source(operation, place).get_name()) for place in range(operation.get_input_size())
            ]
            made = self._on_cells(operation, known)
            if made:
                self.parts[operation.get_name()] = made
            elif known and known[0]:
                self._leave(operation, known[0])

    def _on_cells(self, operation: Any, known: list[list[Any] | None]) -> list[Any] | None:
        """Return the values of an operation on cells, or None if it has no such form."""
        kind, places = operation.get_type_name(), range(len(known))
        if kind == "DepthToSpace" and operation.get_attributes() == {"block_size": CELL_PX, "mode": "depth_first"}:
            return [operation.input(0).get_source_output()]
        if kind == "Interpolate" and _doubles(operation):
            return [self._doubled(operation.input(0).get_source_output())]
        if kind == "Concat" and all(known) and operation.get_attributes()["axis"] == 1:
            return [output for parts in known if parts for output in parts]
        if kind == "Convert" and operation.input(0).get_element_type() == operation.get_element_type():
            return known[0]
        single = all(len(parts) == 1 if parts else _is_number(_source(operation, at)) for at, parts in enumerate(known))
        if kind not in ELEMENTWISE or not any(known) or not single:
            return None
        inputs = [(known[at] or [operation.input(at).get_source_output()])[0] for at in places]
        return [getattr(self.ops, kind.lower())(*inputs).output(0)]

    def _leave(self, operation: Any, parts: list[Any]) -> None:
        """Give an operation that leaves the cells, or its consumers, what it would get from them."""
        if _is_mean_of_cells(operation):
            means = [self._means(output) for output in parts]
            output = means[0] if len(means) == 1 else self.ops.concat(means, 1).output(0)
            for target in operation.output(0).get_target_inputs():
                target.replace_source_output(output)
            return
        leaves = operation.get_type_name() in (*CONVOLUTIONS, "Result") and len(parts) == 1
        if leaves and _source(operation).get_type_name() not in ("DepthToSpace", "Parameter"):
            whole = self.ops.depth_to_space(parts[0], "depth_first", CELL_PX)
            operation.input(0).replace_source_output(whole.output(0))

    def _means(self, cells: Any) -> Any:
        """Return the mean of every cell: (n, 4c, h, w) -> (n, c, h, w)."""
        weights = np.repeat(np.eye(cells.get_shape()[1] // CELL_PX**2), CELL_PX**2, 1) / CELL_PX**2
        return self._convolution(cells, weights[:, :, None, None])

    def _doubled(self, values: Any) -> Any:
        """Return values at twice the resolution, bilinear, on cells: (n, c, h, w) -> (n, 4c, h, w)."""
        taps = np.array([[0.25, 0.75, 0], [0, 0.75, 0.25]])  # pixel of the cell; value before, at and after the cell
        planes = values.get_shape()[1]
        weights = np.einsum("pq,ai,bj->pabqij", np.eye(planes), taps, taps)
        around = self.ops.pad(values, [0, 0, 1, 1], [0, 0, 1, 1], "edge")
        return self._convolution(around.output(0), weights.reshape(planes * CELL_PX**2, planes, 3, 3))

    def _convolution(self, source: Any, weights: NDArray[np.float64]) -> Any:
        constant = self.ops.constant(weights.astype(np.float32))
        made = self.ops.convolution(source, constant, [1, 1], [0, 0], [0, 0], [1, 1])
        made.set_friendly_name(f"{ON_CELLS}{made.get_friendly_name()}")
        return made.output(0)


def _source(operation: Any, place: int = 0) -> Any:
    """Return the node that makes an input."""
    return operation.input(place).get_source_output().get_node()


def _is_number(node: Any) -> bool:
    return node.get_type_name() == "Constant" and int(np.prod(node.get_output_shape(0))) == 1


def _is_mean_of_cells(operation: Any) -> bool:
    """Return whether this averages 2x2 pixels at a stride of 2."""
    if operation.get_type_name() != "AvgPool":
        return False
    facts = operation.get_attributes()
    sizes = [facts[name] for name in ("kernel", "strides", "pads_begin", "pads_end")]
    return sizes == [[CELL_PX] * 2, [CELL_PX] * 2, [0, 0], [0, 0]]


def _doubles(operation: Any) -> bool:
    """Return whether this is bilinear resizing to twice the height and width."""
    facts, before, after = operation.get_attributes(), operation.input(0).get_shape(), operation.get_output_shape(0)
    mode = (facts["mode"], facts["coordinate_transformation_mode"], facts["antialias"])
    twice = [*before[:2], *(CELL_PX * length for length in before[2:])]
    return mode == ("linear_onnx", "half_pixel", False) and list(after) == twice
