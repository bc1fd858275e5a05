"""BRISQUE's features with gradients.

Source: Mittal, Moorthy and Bovik, TIP 2012. What has no gradient there is replaced (our choices): the ratio of moments
stands for the shape of a distribution, which BRISQUE looks up in a table by it, and a product counts to the left and to
the right by a sigmoid of its value instead of its sign.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rawkd.training.losses.mscn import FEATURE_CONSTANT, half_size, mscn, standardise
from rawkd.training.losses.no_reference import SHIFTS, shape_table

SIGN_WIDTH = 0.01
"""Of the sigmoid that stands for the sign of a product of MSCN coefficients."""
FLAT = 1e3
"""Times the precision of the numbers: MSCN coefficients below it are roundings of flat areas and count as 0."""
EMPTY_SIDE = 1e-6
"""Added to the number of samples of a side, so that an empty one has the variance 0."""
NO_VARIANCE = 1e-12
"""Added to moments, so that a channel without contrast has finite ratios and gradients."""
GROUP = 8
"""Channels whose features are averaged."""


def natural_statistics(features: Tensor) -> Tensor:
    """(n, c, h, w) feature maps -> (n, ceil(c / 8), 36), averaged over groups of channels; float32 or more.

    The ratio of moments grows with the shape. The shape itself has no bound as a distribution nears the uniform one,
    and would alone decide a distance of features.
    """
    numbers = statistics(standardise(features), FEATURE_CONSTANT)
    return torch.stack([group.mean(1) for group in torch.split(numbers, GROUP, 1)], 1)


def statistics(maps: Tensor, constant: float) -> Tensor:
    """(n, c, h, w) -> (n, c, 36) features of each channel and of its half size: BRISQUE's, but ratios for shapes.

    BRISQUE itself is luma 0..255 with a constant of 1.
    """
    numbers: list[Tensor] = []
    for _ in range(2):
        coefficients = mscn(maps, constant, "zero")
        coefficients = coefficients * (coefficients.abs() > FLAT * torch.finfo(maps.dtype).eps)
        products = [coefficients * coefficients.roll(shift, (2, 3)) for shift in SHIFTS]
        columns = [_symmetric(coefficients), *(_asymmetric(product) for product in products)]
        numbers += [number for column in columns for number in column]
        maps = half_size(maps)
    return torch.stack(numbers, -1)


def _symmetric(values: Tensor) -> tuple[Tensor, Tensor]:
    """Ratio of moments and variance of (n, c, h, w) values, (n, c) each."""
    variance = values.square().mean((2, 3))
    return _ratio(values, variance), variance


def _asymmetric(values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ratio of moments, mean, left and right variance of (n, c, h, w) values, (n, c) each."""
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
    """E[|x|]^2 / E[x^2]; 1 without contrast."""
    return (values.abs().mean((2, 3)).square() + NO_VARIANCE) / (variance + NO_VARIANCE)
