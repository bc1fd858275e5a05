"""A graph whose large convolutions compute in int8, with sums of 32 bits; all else stays as it is.

Only the convolutions that read normalised features (`networks.blocks.rms_norm`) are quantised: their inputs have a mean
square of 1 and never exceed the root of the number of channels, so 8 bits over a fixed range suffice. The sum of the
residuals, the gates and the units of noise are not quantised. OpenVINO takes a FakeQuantize in front of a convolution
and one behind its kernel for a convolution in int8.

Processors without VNNI add pairs of products in 16 bits. With kernels of 7 bits (-63 to 63) such a sum cannot overflow:
255 * 63 * 2 = 32,130. Those are values of 8 bits of which only the middle half is used, because OpenVINO takes no other
number of levels.

Every channel has a range of its own, measured at export. The factors between the ranges move into the kernel, which
then has one scale for each output channel: the idea of SmoothQuant (Xiao et al., ICML 2023). Symmetric ranges and the
moment of the measurement are our choice (docs/performance.md has what int8 gains, `card.int8` what it costs).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from rawkd.errors import ModelError
from rawkd.photo import FloatArray

CONVOLUTION, QUANTISATION = "Convolution", "FakeQuantize"
KERNEL = ".weight"
"""End of the name of a kernel; the start is the name of its convolution."""
LEVELS, KERNEL_LEVELS = 256, 255
"""Number of values: -128 to 127, and -127 to 127 for kernels, so that these are symmetric."""
NARROWER = {8: 1.0, 7: 127 / 63}
"""Range of a kernel as a multiple of its largest weight, by bits."""
LEAST_KERNEL = 1e-12
"""Added to the range of a kernel, so that a kernel of zeros has one."""


def encode(ranges: Mapping[str, FloatArray]) -> dict[str, str]:
    """Return ranges as a card holds them: base64 of little-endian float16."""
    return {name: base64.b64encode(np.asarray(of, "<f2").tobytes()).decode("ascii") for name, of in ranges.items()}


def decode(texts: Mapping[str, str]) -> dict[str, FloatArray]:
    """Return the range of each input channel by the name of the convolution, (channels,).

    Raises
    ------
    ModelError: if a text is not base64 of positive, finite numbers.
    """
    ranges: dict[str, FloatArray] = {}
    for name, text in texts.items():
        try:
            values = np.frombuffer(base64.b64decode(text, validate=True), "<f2").astype(np.float32)
        except (binascii.Error, ValueError) as error:
            raise ModelError(f"the int8 range of {name} is damaged ({error}). Install the model again.") from error
        if not values.size or not (np.isfinite(values) & (values > 0)).all():
            raise ModelError(f"the int8 range of {name} is empty or not positive. Install the model again.")
        ranges[name] = values
    return ranges


def quantise_inputs(openvino: ModuleType, model: Any, ranges: Mapping[str, FloatArray]) -> None:
    """Round the inputs of the convolutions named in `ranges` to int8, in place, and scale their kernels to fit.

    The graph must have its weights, under their names.

    Raises
    ------
    ModelError: if a convolution is missing or has another number of input channels.
    """
    operations = openvino.opset13
    left = set(ranges)
    for node in model.get_ordered_ops():
        if node.get_type_name() != CONVOLUTION:
            continue
        kernel = node.input(1).get_source_output().get_node()
        name = kernel.get_friendly_name().removesuffix(KERNEL)
        if name not in left:
            continue
        left.remove(name)
        weights, limits = np.array(kernel.data, np.float32), ranges[name][:, None, None]
        if len(limits) != weights.shape[1]:
            raise ModelError(
                f"the int8 range of {name} has {len(limits)} channels, its convolution {weights.shape[1]}. "
                "Install the model again."
            )
        widest = np.float32(limits.max())
        below = 1 - 2 / LEVELS  # the largest of 256 values, where the smallest is -1
        taken = operations.fake_quantize(
            node.input(0).get_source_output(), -limits, limits * below, -widest, widest * below, LEVELS
        )
        node.input(0).replace_source_output(taken.output(0))
        node.input(1).replace_source_output(operations.constant(weights * (limits / widest)).output(0))
    if left:
        raise ModelError(f"the network has no convolution {min(left)} to compute in int8. Install the model again.")


def kernel_bits(precision: str) -> int:
    """Return the bits of the kernels in a precision: 7 in int7, else 8."""
    return 7 if precision == "int7" else 8


def quantise_kernels(openvino: ModuleType, model: Any, bits: int = 8) -> None:
    """Round the kernels of the convolutions with quantised inputs to int8, one range for each output channel, in place.

    Comes after all other rewrites: these need kernels that are constants.

    Parameters
    ----------
    bits : 8, or 7 for values of -63 to 63.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() != CONVOLUTION:
            continue
        if node.input(0).get_source_output().get_node().get_type_name() != QUANTISATION:
            continue
        kernel = node.input(1).get_source_output()
        limits = np.abs(kernel.get_node().data).max(axis=(1, 2, 3), keepdims=True) + np.float32(LEAST_KERNEL)
        limits = limits * np.float32(NARROWER[bits])
        rounded = openvino.opset13.fake_quantize(kernel, -limits, limits, -limits, limits, KERNEL_LEVELS)
        node.input(1).replace_source_output(rounded.output(0))
    model.validate_nodes_and_infer_types()
