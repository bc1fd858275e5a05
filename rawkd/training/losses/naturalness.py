"""BRISQUE's features in a differentiable form.

Source: Mittal, Moorthy and Bovik, TIP 2012. Our choices for the steps without a gradient: the ratio of moments replaces
the shape of the distribution, which BRISQUE looks up from it in a table; and a sigmoid replaces the sign that assigns a
product to the left or right side.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rawkd.training.losses.mscn import FEATURE_CONSTANT, half_size, mscn, standardise
from rawkd.training.losses.no_reference import SHIFTS, shape_table

SIGN_WIDTH = 0.01
"""Width of the sigmoid that replaces the sign of a product of MSCN coefficients."""
FLAT = 1e3
"""Multiple of the number format's epsilon; smaller MSCN coefficients are rounding errors of flat areas and become 0."""
EMPTY_SIDE = 1e-6
"""Added to the number of samples on a side, so that an empty side has variance 0."""
NO_VARIANCE = 1e-12
"""Added to moments, so that channels without contrast have finite ratios and gradients."""
GROUP = 8
"""Number of channels whose features are averaged."""


def natural_statistics(features: Tensor) -> Tensor:
    """Return BRISQUE statistics of (n, c, h, w) features, (n, ceil(c / 8), 36), averaged over groups of channels.

    The input must be float32 or wider. The ratio of moments grows with the shape. The shape itself is unbounded for
    distributions near the uniform one and would dominate a distance of features.
    """
    numbers = statistics(standardise(features), FEATURE_CONSTANT)
    return torch.stack([group.mean(1) for group in torch.split(numbers, GROUP, 1)], 1)


def statistics(maps: Tensor, constant: float) -> Tensor:
    """Return BRISQUE's 36 statistics of every channel at full and half size, with ratios in place of shapes.

    BRISQUE itself uses luma 0..255 and a constant of 1.

    Parameters
    ----------
    maps : (n, c, h, w). constant : added to the local standard deviation.

    Returns
    -------
    (n, c, 36).
    """
    numbers: list[Tensor] = []
    for scale in (maps, half_size(maps)):
        coefficients = mscn(scale, constant, "zero")
        coefficients = coefficients * (coefficients.abs() > FLAT * torch.finfo(maps.dtype).eps)
        products = [coefficients * coefficients.roll(shift, (2, 3)) for shift in SHIFTS]
        columns = [_symmetric(coefficients), *(_asymmetric(product) for product in products)]
        numbers += [number for column in columns for number in column]
    return torch.stack(numbers, -1)


def _symmetric(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ratio of moments and the variance of (n, c, h, w) values, (n, c) each."""
    variance = values.square().mean((2, 3))
    return _ratio(values, variance), variance


def _asymmetric(values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the ratio of moments, the mean, and the left and right variance of (n, c, h, w) values, (n, c) each."""
    squares, counts = values.square(), (values != 0).to(values)
    to_the_right = torch.sigmoid(values / SIGN_WIDTH) * counts
    left, right = (_side(squares, weights) for weights in (counts - to_the_right, to_the_right))
    low, high = (torch.sqrt(side + NO_VARIANCE) for side in (left, right))
    balance = (low**3 + high**3) * (low + high) / (low**2 + high**2) ** 2
    ratio = _ratio(values, squares.mean((2, 3))) * balance
    mean = (high - low) * torch.sqrt(ratio.clamp(shape_table()[1][0], shape_table()[1][-1]))
    return ratio, mean, left, right


def _side(squares: Tensor, weights: Tensor) -> Tensor:
    return (squares * weights).sum((2, 3)) / (weights.sum((2, 3)) + EMPTY_SIDE)


def _ratio(values: Tensor, variance: Tensor) -> Tensor:
    """Return E[|x|]^2 / E[x^2]; 1 without contrast."""
    return (values.abs().mean((2, 3)).square() + NO_VARIANCE) / (variance + NO_VARIANCE)
