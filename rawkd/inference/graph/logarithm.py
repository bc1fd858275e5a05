"""Compute the logarithms of a graph with operations that OpenVINO compiles to vector instructions; its own is not.

Near 0 the series is wrong: at 0 it gives -60 instead of minus infinity. So only log(1 + x) is replaced, as
`networks.noise_units` takes it of a number of electrons, which is never negative.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

ROOTS = 4
"""Number of square roots: they bring 1 to 1e6 into 1 to 2.4."""
TERMS = 6
"""Number of terms of the series. The rest is 2e-6 of the sum at 1e6."""


def vector_logarithms(openvino: ModuleType, model: Any) -> None:
    """Replace every log(1 + x) by ln x = 2^(n+1) artanh((r - 1) / (r + 1)), r the 2^n-th root of x, in place.

    artanh u = u + u^3 / 3 + u^5 / 5 + ...: the textbook series. From 1 to 1e6 the error is below 4e-6 plus 3e-6 of the
    value: the root is rounded, and near 1 the result is 16 times its distance from 1.
    """
    ops = openvino.opset13
    for operation in model.get_ordered_ops():
        if operation.get_type_name() != "Log" or not _adds_one(operation.input_value(0).get_node()):
            continue
        root = operation.input(0).get_source_output()
        for _ in range(ROOTS):
            root = ops.sqrt(root)
        one = np.float32(1)
        ratio = ops.divide(ops.subtract(root, one), ops.add(root, one))
        square = ops.multiply(ratio, ratio)
        weights = [np.float32(2 ** (ROOTS + 1) / (2 * term + 1)) for term in range(TERMS)]
        total = ops.multiply(square, weights[-1])
        for weight in weights[-2:0:-1]:
            total = ops.multiply(ops.add(total, weight), square)
        logarithm = ops.multiply(ops.add(total, weights[0]), ratio)
        for target in operation.output(0).get_target_inputs():
            target.replace_source_output(logarithm.output(0))


def _adds_one(node: Any) -> bool:
    """Whether a node adds the constant 1 to another value."""
    terms = [source.get_source_output().get_node() for source in node.inputs()]
    return node.get_type_name() == "Add" and any(
        term.get_type_name() == "Constant" and bool(np.all(np.asarray(term.data) == 1)) for term in terms
    )
