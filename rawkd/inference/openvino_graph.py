"""A graph before it is compiled: given its weights, and cut in two where bf16 does no harm, at the first convolution.

bf16 has 8 bits. At base ISO the noise lies below its rounding of a sample, of its root and of their local mean; only
their difference, in units of noise, is small enough. OpenVINO computes a whole graph in one precision, so what comes
before any convolution, the units of noise (`networks.blocks.NoiseUnits`) and their pyramids, is cut off and compiled
in float32. What follows the last convolution it leaves in float32 of its own accord. Our choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONVOLUTIONS = ("Convolution", "GroupConvolution")


def fill(openvino: ModuleType, model: Any, weights: Mapping[str, NDArray[np.generic]]) -> None:
    """Give a graph without weights those of the shards; until then each is an input of its name, after the planes.

    Raises
    ------
    KeyError: for the first name that `weights` lacks.
    """
    for parameter in model.get_parameters()[1:]:
        values = weights[parameter.get_friendly_name()]
        parameter.output(0).replace(openvino.op.Constant(values).output(0))
        model.remove_parameter(parameter)


def split_before_convolutions(openvino: ModuleType, model: Any) -> tuple[Any, Any]:
    """An openvino.Model of one input -> (front, rest): the rest takes what the front returns, in order.

    The model is consumed.
    """
    (planes,) = model.get_parameters()
    behind: set[str] = set()
    reached = {planes.get_name()}
    outputs, inputs = [], []
    operations = model.get_ordered_ops()
    for operation in operations:
        sources = {source.get_source_output().get_node().get_name() for source in operation.inputs()}
        if sources & reached:
            reached.add(operation.get_name())
        if operation.get_type_name() in CONVOLUTIONS or sources & behind:
            behind.add(operation.get_name())
    for operation in operations:
        if operation.get_name() in behind or operation.get_name() not in reached:
            continue
        for output in operation.outputs():
            crossing = [target for target in output.get_target_inputs() if target.get_node().get_name() in behind]
            if not crossing:
                continue
            carried = openvino.op.Parameter(output.get_element_type(), output.get_partial_shape())
            for target in crossing:
                target.replace_source_output(carried.output(0))
            outputs.append(output)
            inputs.append(carried)
    return openvino.Model(outputs, [planes]), openvino.Model(model.get_results(), inputs)
