"""What programs pass to `NoiseModel` is taken or refused with one sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rawkd.errors import NoiseError
from rawkd.photo import Mosaic
from rawkd.photo.cfa import CFAPattern
from rawkd.sensor.blind.correlation import Correlation
from rawkd.sensor.blind.estimate import estimate_noise
from rawkd.sensor.noise import NoiseModel


@pytest.mark.parametrize(
    ("gain", "read"),
    [
        (np.full(4, 1e-3), np.full(3, 1e-6)),
        ("a", "b"),
        ([[1e-3], [1e-3, 2e-3]], 1e-6),
        (1e-3, object()),
        (10**400, 1e-6),
    ],
    ids=["counts", "text", "ragged", "object", "huge"],
)
def test_parameters_that_are_no_numbers_of_the_same_count_are_refused(gain: Any, read: Any) -> None:
    with pytest.raises(NoiseError, match=r"^gain and read variance are not numbers, as many of one as of the other$"):
        NoiseModel(gain, read)


@pytest.mark.parametrize(
    "correlation",
    [
        0.5,
        "ab",
        (0.5,),
        (0.1, 0.2, 0.3),
        (0.1, float("nan")),
        (float("inf"), 0.1),
        (0.1, 1.1),
        (-1.1, 0),
        ("0", "0"),
        ((0, 0), 0),
    ],
    ids=str,
)
def test_a_correlation_is_two_numbers_from_minus_1_to_1(correlation: Any) -> None:
    with pytest.raises(NoiseError, match=r"is neither None nor two numbers from -1 to 1$"):
        NoiseModel(np.array(1e-3), np.array(1e-6), correlation=correlation)


@pytest.mark.parametrize("correlation", [None, (-1, 1), (np.float32(0.3), np.float64(0.2)), [0, 0.5]], ids=str)
def test_a_possible_correlation_is_kept(correlation: Any) -> None:
    assert NoiseModel(np.array(1e-3), np.array(1e-6), correlation=correlation).correlation is correlation


def test_an_estimate_with_a_correlation_above_1_makes_a_model() -> None:
    data = np.random.default_rng(0).normal(0.3, 0.01, (320, 320)).astype(np.float32)
    estimate = estimate_noise(Mosaic(data, CFAPattern.RGGB), saturation=1.0)
    extreme = replace(estimate, correlation=Correlation(1.2, 0.4))
    assert extreme.model("blind").correlation == (1.0, 0.4)
