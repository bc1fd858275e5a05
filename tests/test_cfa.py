"""Bayer unification, packing, and the eight symmetries: every inverse has a round trip, every phase its colours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawkd.photo import BAYER_PHASES, CFAPattern, Mosaic
from rawkd.sensor.cfa import SYMMETRIES, Symmetry, Unification, pack, unify, unpack

PATTERNS = st.sampled_from(BAYER_PHASES)
SIDES = st.integers(1, 13)
EVEN_SIDES = st.integers(1, 7).map(lambda half: 2 * half)
ALL = SYMMETRIES[8]


def colours(height: int, width: int, pattern: CFAPattern) -> np.ndarray:
    """A mosaic whose samples are the plane they belong to, 0..3 for R, Gr, Gb, B."""
    cell = pattern.class_of_site.astype(np.float32)
    return np.ascontiguousarray(np.tile(cell, (height // 2 + 1, width // 2 + 1))[:height, :width])


def random_mosaic(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width), np.float32)


@given(SIDES, SIDES, PATTERNS)
def test_unify_then_undo_gives_every_sample_back(height: int, width: int, pattern: CFAPattern) -> None:
    data = random_mosaic(height, width)
    unified, unification = unify(Mosaic(data, pattern))
    assert unified.shape[0] % 2 == unified.shape[1] % 2 == 0
    assert unified.flags.c_contiguous
    np.testing.assert_array_equal(unification.undo(unified), data)


@given(st.integers(2, 13), st.integers(2, 13), PATTERNS)
def test_unified_is_rggb(height: int, width: int, pattern: CFAPattern) -> None:
    unified, _ = unify(Mosaic(colours(height, width, pattern), pattern))
    np.testing.assert_array_equal(unified, colours(*unified.shape, CFAPattern.RGGB))


@pytest.mark.parametrize("pattern", [CFAPattern.GBRG, CFAPattern.GRBG, CFAPattern.BGGR])
def test_symmetric_padding_would_break_the_phase(pattern: CFAPattern) -> None:
    data = colours(6, 6, pattern)
    needed = Unification.of(data.shape, pattern)
    wrong = np.pad(data, ((needed.top, needed.bottom), (needed.left, needed.right)), mode="symmetric")
    assert not np.array_equal(wrong, colours(*wrong.shape, CFAPattern.RGGB))


@pytest.mark.parametrize(("pattern", "top", "left"), [("RGGB", 0, 0), ("GBRG", 1, 0), ("GRBG", 0, 1), ("BGGR", 1, 1)])
def test_offsets_of_the_four_phases(pattern: str, top: int, left: int) -> None:
    assert Unification.of((8, 6), CFAPattern(pattern)) == Unification(top, top, left, left)


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (lambda x: x, "RGGB"),
        (np.fliplr, "GRBG"),
        (np.flipud, "GBRG"),
        (lambda x: np.rot90(x, 2), "BGGR"),
        (np.transpose, "RGGB"),
        (np.rot90, "GBRG"),
        (lambda x: np.rot90(x, -1), "GRBG"),
        (lambda x: np.rot90(x, 2).T, "BGGR"),
    ],
)
def test_phase_after_each_dihedral_operation(turn, expected: str) -> None:
    turned = turn(colours(6, 8, CFAPattern.RGGB)).copy()
    turned[(turned == 1) | (turned == 2)] = 1  # Gr and Gb trade names when rows become columns
    wanted = colours(*turned.shape, CFAPattern(expected))
    wanted[(wanted == 1) | (wanted == 2)] = 1
    np.testing.assert_array_equal(turned, wanted)


@given(EVEN_SIDES, EVEN_SIDES)
def test_unpack_then_pack_and_back(height: int, width: int) -> None:
    mosaic = random_mosaic(height, width)
    planes = pack(mosaic)
    assert planes.shape == (4, height // 2, width // 2)
    np.testing.assert_array_equal(unpack(planes), mosaic)
    np.testing.assert_array_equal(pack(unpack(planes)), planes)


def test_planes_are_r_gr_gb_b() -> None:
    planes = pack(colours(4, 6, CFAPattern.RGGB))
    for plane in range(4):
        assert (planes[plane] == plane).all()


def test_pack_of_a_batch_keeps_the_batch_in_front() -> None:
    mosaic = random_mosaic(4, 6)
    np.testing.assert_array_equal(pack(np.stack([mosaic, 2 * mosaic]))[1], pack(2 * mosaic))


def test_there_are_eight_different_symmetries() -> None:
    seen = {symmetry.apply(random_mosaic(6, 6))[0].tobytes() for symmetry in ALL}
    assert len(ALL) == len(seen) == 8


@given(EVEN_SIDES, EVEN_SIDES, st.sampled_from(ALL))
def test_symmetry_then_undo_gives_every_sample_back(height: int, width: int, symmetry: Symmetry) -> None:
    mosaic = random_mosaic(height, width)
    turned, unification = symmetry.apply(mosaic)
    np.testing.assert_array_equal(symmetry.undo(turned, unification), mosaic)


@given(EVEN_SIDES, EVEN_SIDES, st.sampled_from(ALL))
def test_symmetry_keeps_rggb_and_trades_only_greens(height: int, width: int, symmetry: Symmetry) -> None:
    turned, _ = symmetry.apply(colours(height, width, CFAPattern.RGGB))
    planes = pack(turned)
    assert (planes[0] == 0).all()
    assert (planes[3] == 3).all()
    assert (planes[1] == planes[1].flat[0]).all()
    assert sorted((planes[1].flat[0], planes[2].flat[0])) == [1, 2]


@pytest.mark.parametrize("pattern", BAYER_PHASES)
@pytest.mark.parametrize("members", [1, 2, 4, 8])
def test_ensemble_of_an_identity_network_is_the_input(pattern: CFAPattern, members: int) -> None:
    data = random_mosaic(11, 8)
    unified, unification = unify(Mosaic(data, pattern))
    total = np.zeros_like(unified, dtype=np.float64)
    for symmetry in SYMMETRIES[members]:
        turned, padding = symmetry.apply(unified)
        total += symmetry.undo(unpack(pack(turned)), padding)
    np.testing.assert_array_equal(unification.undo((total / members).astype(np.float32)), data)


def test_flipping_packed_planes_is_no_symmetry() -> None:
    """The trap: it looks like a mosaic, and every sample stands one pixel off."""
    mosaic = random_mosaic(8, 8)
    wrong = unpack(np.ascontiguousarray(pack(mosaic)[:, :, ::-1]))
    right, padding = Symmetry(flip_columns=True).apply(mosaic)
    assert not np.array_equal(wrong, padding.undo(right))
