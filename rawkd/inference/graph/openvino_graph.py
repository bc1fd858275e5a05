"""A graph before it is compiled: given its weights, rewritten, and cut in two where bf16 does no harm.

bf16 has 8 bits. At base ISO the noise lies below its rounding of a sample, of its root and of their local mean; only
their difference, in units of noise, is small enough. OpenVINO computes a whole graph in one precision, so what comes
before any convolution of the network, the units of noise (`networks.noise_units`) and their pyramids, is cut off
and compiled in float32. What follows the last convolution it leaves in float32 of its own accord. Our choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import ModelError
from rawkd.inference.graph.cells import CONVOLUTIONS, ON_CELLS, input_on_cells
from rawkd.inference.graph.gates import split_gates
from rawkd.inference.graph.logarithm import vector_logarithms
from rawkd.inference.weights import NETWORK

CHANNELS_LAST = 8
"""From this number of channels on, values cross the cut with the channels of a pixel side by side, as convolutions take
them; otherwise OpenVINO would reorder them twice (our choice)."""


def fill(
    openvino: ModuleType, model: Any, weights: Mapping[str, NDArray[np.generic]], network: Path = Path(NETWORK)
) -> None:
    """Give a graph without weights those of the shards; until then each is an input of its name, after the planes.

    The constants keep the names.

    Parameters
    ----------
    network : file of the graph, for the message.

    Raises
    ------
    ModelError: for the first name that `weights` lacks.
    """
    for parameter in model.get_parameters()[1:]:
        name = parameter.get_friendly_name()
        if name not in weights:
            raise ModelError(f"{network} needs the tensor {name}, which the weights lack. Install the model again.")
        constant = openvino.op.Constant(weights[name])
        constant.set_friendly_name(name)
        parameter.output(0).replace(constant.output(0))
        model.remove_parameter(parameter)


def simplify(openvino: ModuleType, model: Any) -> None:
    """Rewrite a graph with static shapes so that it copies less, in place (docs/performance.md has what it gains)."""
    from openvino.passes import ConstantFolding, Manager

    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(model)
    split_gates(openvino, model)
    input_on_cells(openvino, model)
    vector_logarithms(openvino, model)
    model.validate_nodes_and_infer_types()


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
        convolves = operation.get_type_name() in CONVOLUTIONS and not operation.get_friendly_name().startswith(ON_CELLS)
        if convolves or sources & behind:
            behind.add(operation.get_name())
    for operation in operations:
        if operation.get_name() in behind or operation.get_name() not in reached:
            continue
        for output in operation.outputs():
            crossing = [target for target in output.get_target_inputs() if target.get_node().get_name() in behind]
            if not crossing:
                continue
            shape = output.get_partial_shape()
            last = len(shape) == 4 and shape.is_static and shape[1].get_length() >= CHANNELS_LAST
            given = openvino.opset13.transpose(output, np.array([0, 2, 3, 1])).output(0) if last else output
            carried = openvino.op.Parameter(given.get_element_type(), given.get_partial_shape())
            taken = openvino.opset13.transpose(carried, np.array([0, 3, 1, 2])) if last else carried
            for target in crossing:
                target.replace_source_output(taken.output(0))
            outputs.append(given)
            inputs.append(carried)
    return openvino.Model(outputs, [planes]), openvino.Model(model.get_results(), inputs)
