"""Levels: the one place where integers become signal and signal becomes integers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawkd.errors import InputError
from rawkd.photo import CFAPattern, Levels, Rect

PLAIN = Levels(np.array([[512.0]]), 16383.0, 16383.0, 14)


def test_black_is_0_and_white_is_1() -> None:
    """A factor of 2**16 where 2**16 - 1 is meant would show here."""
    for levels in (
        PLAIN,
        Levels(np.zeros((1, 1)), 65535.0, 65535.0, 16),
        Levels(np.array([[32.0]]), 1023.0, 1023.0, 10),
    ):
        ends = np.array([[levels.black_dn[0, 0], levels.white_dn]], np.uint16)
        np.testing.assert_array_equal(levels.to_signal(ends), np.array([[0.0, 1.0]], np.float32))
        np.testing.assert_array_equal(levels.to_dn(np.array([[0.0, 1.0]], np.float32)), ends)


def test_what_lies_below_black_is_negative_and_what_lies_above_white_is_more_than_1() -> None:
    signal = PLAIN.to_signal(np.array([[0, 511, 16384, 65535]], np.uint16))[0]
    assert signal[0] == pytest.approx(PLAIN.floor)
    assert signal[1] < 0
    assert 1 < signal[2] < signal[3]


@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    deltas=st.booleans(),
    top=st.integers(0, 5),
    left=st.integers(0, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_integer_comes_back(rows: int, columns: int, deltas: bool, top: int, left: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels = Levels(rng.uniform(0, 900, (rows, columns)), 16383.0, 16000.0, 16)
    if deltas:
        levels = replace(levels, row_delta_dn=rng.normal(0, 9, 23), column_delta_dn=rng.normal(0, 9, 27))
    frame = rng.integers(0, 65536, (23, 27)).astype(np.uint16)
    frame[0, :2] = 0, 65535
    signal = levels.to_signal(frame)
    np.testing.assert_array_equal(levels.to_dn(signal), frame)
    part = Rect(top, left, 23 - top, 27 - left)
    np.testing.assert_array_equal(levels.to_signal(frame[part.slices], top, left), signal[part.slices])
    np.testing.assert_array_equal(levels.cut(part).to_signal(frame[part.slices]), signal[part.slices])


def test_rounding_and_clipping_at_the_ends_of_the_integers() -> None:
    step = 1 / PLAIN.range_dn
    signal = np.array([[-1.0, 0.4 * step, 0.6 * step, 10.0]], np.float32)
    np.testing.assert_array_equal(PLAIN.to_dn(signal), [[0, 512, 513, 65535]])


def test_finer_levels_mean_the_same_signal() -> None:
    levels = Levels(np.array([[32.0, 33.0], [31.0, 32.5]]), 1023.0, 1000.0, 10)
    frame = np.random.default_rng(0).integers(0, 1024, (6, 8)).astype(np.uint16)
    fine = levels.scaled(16)
    assert fine.bits == 14
    np.testing.assert_allclose(fine.to_signal(frame * np.uint16(16)), levels.to_signal(frame), rtol=0, atol=2e-7)
    assert (fine.saturation, fine.floor) == pytest.approx((levels.saturation, levels.floor))


@pytest.mark.parametrize(
    ("black", "white", "bits"), [(512.0, 512.0, 14), (512.0, 70000.0, 16), (np.nan, 1023.0, 10), (0.0, 1023.0, 17)]
)
def test_levels_that_make_no_sense(black: float, white: float, bits: int) -> None:
    with pytest.raises(InputError):
        Levels(np.array([[black]]), white, white, bits)


def with_deltas() -> tuple[Levels, Levels]:
    """The same black level, once as the deltas of rows and columns and once as the pattern."""
    deltas = Levels(np.array([[6.0]]), 4056.0, 4056.0, 12, np.full(40, 240.0), np.full(60, 10.0))
    return deltas, Levels(np.array([[256.0]]), 4056.0, 4056.0, 12)


def test_black_in_deltas_means_what_black_in_the_pattern_means() -> None:
    deltas, pattern = with_deltas()
    frame = np.random.default_rng(0).integers(0, 4057, (40, 60)).astype(np.uint16)
    np.testing.assert_array_equal(deltas.to_signal(frame), pattern.to_signal(frame))
    for name in ("range_dn", "floor", "saturation", "mean_black_dn"):
        assert getattr(deltas, name) == getattr(pattern, name), name
        assert getattr(deltas.scaled(4), name) == getattr(pattern.scaled(4), name), name
    np.testing.assert_array_equal(deltas.effective_black_dn, np.full((2, 2), 256.0))


def test_each_site_has_its_own_black_and_saturation() -> None:
    """Rows and columns of two black levels, as in sensors that read them by two amplifiers."""
    rows, columns = np.tile([0.0, 8.0], 20), np.tile([2.0, 0.0], 30)
    levels = Levels(np.array([[100.0]]), 1101.0, 1101.0, 12, rows, columns)
    assert levels.mean_black_dn == 105
    np.testing.assert_array_equal(levels.effective_black_dn, [[102, 100], [110, 108]])
    clipped = levels.to_signal(np.full((40, 60), 1101, np.uint16))
    np.testing.assert_allclose(clipped[:2, :2], levels.site_saturation, rtol=1e-6)
    assert levels.saturation == levels.site_saturation.min()
    zeros = levels.to_signal(np.zeros((40, 60), np.uint16))
    assert zeros.max() == pytest.approx(levels.floor)
    part = levels.cut(Rect(1, 1, 9, 9))
    np.testing.assert_array_equal(part.site_saturation, levels.site_saturation[::-1, ::-1])
    np.testing.assert_array_equal(part.effective_black_dn, levels.effective_black_dn[::-1, ::-1])


def test_colours_may_clip_at_different_integers() -> None:
    clip_dn = np.array([[1000.0, 900.0], [900.0, 950.0]])
    levels = Levels(np.array([[100.0]]), 1100.0, 900.0, 12, site_saturation_dn=clip_dn)
    np.testing.assert_array_equal(levels.site_saturation, [[0.9, 0.8], [0.8, 0.85]])
    np.testing.assert_array_equal(levels.plane_saturation(CFAPattern.RGGB), [0.9, 0.8, 0.8, 0.85])
    np.testing.assert_array_equal(levels.cut(Rect(0, 1, 4, 4)).plane_saturation(CFAPattern.GRBG), [0.9, 0.8, 0.8, 0.85])
    np.testing.assert_array_equal(levels.scaled(4).site_saturation, levels.site_saturation)


def test_a_part_keeps_the_range_of_the_whole() -> None:
    levels = Levels(np.array([[100.0]]), 1100.0, 1100.0, 12, np.arange(40.0))
    part = levels.cut(Rect(30, 0, 10, 10))
    assert part.range_dn == levels.range_dn
    frame = np.full((10, 10), 700, np.uint16)
    np.testing.assert_array_equal(part.to_signal(frame), levels.to_signal(frame, 30))


@pytest.mark.parametrize("saturation", [512.0, 16384.0])
def test_saturation_lies_between_black_and_white(saturation: float) -> None:
    with pytest.raises(InputError, match="saturation"):
        Levels(np.array([[512.0]]), 16383.0, saturation, 14)


def test_deltas_count_where_black_must_stay_below_white() -> None:
    with pytest.raises(InputError, match="black 4100"):
        Levels(np.array([[100.0]]), 4056.0, 4056.0, 12, np.full(4, 4000.0))


@pytest.mark.parametrize("value", [1.5, 2.0, "2", None, True])
@pytest.mark.parametrize("name", ["top", "left", "height", "width"])
def test_a_rectangle_has_whole_numbers(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"^{name} {value!r} of a rectangle: give a whole number of pixels\.$"):
        Rect(**{"top": 1, "left": 1, "height": 1, "width": 1, name: value})
    assert Rect(1, np.int64(2), np.uint16(3), 4).slices == (slice(1, 4), slice(2, 6))  # type: ignore[arg-type]
