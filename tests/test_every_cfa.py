"""X-Trans and monochrome mosaics: phases, unification, symmetries, packing and the restoring path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawkd.errors import InputError, UnsupportedRawError
from rawkd.inference.self_ensemble import self_ensemble
from rawkd.photo import BAYER_PHASES, CFAPattern, Mosaic
from rawkd.restore.blend import TAPS, blend, low_pass
from rawkd.restore.local_mean import keep_local_mean, window_px
from rawkd.sensor.cfa import SYMMETRIES, Symmetry, Unification, mirror_axes, pack, padded, symmetries_of, unify, unpack
from rawkd.sensor.ksigma import Anchor, KSigma
from rawkd.sensor.noise import NoiseModel

XTRANS_PHASES = tuple({CFAPattern.XTRANS.shifted(top, left): None for top in range(6) for left in range(6)})
ALL_PHASES = (*BAYER_PHASES, *XTRANS_PHASES, CFAPattern.MONO)
PHASES = st.sampled_from(ALL_PHASES)
CELLS = st.sampled_from((CFAPattern.RGGB, CFAPattern.XTRANS, CFAPattern.MONO))
SIDES = st.integers(6, 31)

TABLE = {
    (False, False, False): ((0, 0), (0, 3)),
    (False, True, False): ((0, 5), (0, 2)),
    (True, False, False): ((5, 0), (2, 0)),
    (True, True, False): ((5, 5), (2, 5)),
    (False, False, True): ((0, 3), (0, 0)),
    (False, True, True): ((0, 2), (0, 5)),
    (True, False, True): ((2, 0), (2, 3)),
    (True, True, True): ((2, 5), (2, 2)),
}
"""Shifts of X-Trans after each operation (flip rows, flip columns, transpose), found by hand: same colours, R and B
exchanged. Adding (3, 3) to a shift is equal."""


def letters(height: int, width: int, pattern: CFAPattern) -> np.ndarray:
    """A mosaic whose samples say which colour they are: R 0, G 1, B 2, W 3."""
    cell = np.array(["RGBW".index(letter) for letter in pattern.colours], np.float32).reshape(pattern.side, -1)
    return np.ascontiguousarray(np.tile(cell, (height // pattern.side + 1, width // pattern.side + 1))[:height, :width])


def random_mosaic(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width), np.float32)


def noise(pattern: CFAPattern, gain: float = 1e-3, read: float = 1e-6) -> NoiseModel:
    """Parameters that differ between the classes, so that a mixed-up class shows."""
    factors = 1 + 0.5 * pattern.colour_of_class
    return NoiseModel(gain * factors, read * factors, "given")


def test_there_are_eighteen_phases_of_xtrans() -> None:
    assert len(XTRANS_PHASES) == 18
    assert all(phase.shifted(3, 3) == phase for phase in XTRANS_PHASES)


def test_sites_of_xtrans() -> None:
    """Twenty greens, of which four stand alone; eight reds; eight blues."""
    counts = [CFAPattern.XTRANS.colours.count(letter) for letter in "RGB"]
    assert counts == [8, 20, 8]
    assert [CFAPattern.XTRANS.colour_at(row, column) for row in (2, 5) for column in (2, 5)] == ["G"] * 4
    assert CFAPattern.XTRANS.classes == ("R", "G", "B")
    assert CFAPattern.MONO.classes == ("W",)


@pytest.mark.parametrize("colours", ["", "RGBG", "RRGB", "W", "RGGB" * 9, "G" * 36])
def test_other_cells_are_no_pattern(colours: str) -> None:
    with pytest.raises(ValueError, match="is not a Bayer, X-Trans or monochrome cell"):
        CFAPattern(colours)


def test_only_bayer_passes_where_only_bayer_works() -> None:
    CFAPattern.GBRG.require_bayer("rendering")
    with pytest.raises(UnsupportedRawError, match=r"rendering works for Bayer mosaics only.* an X-Trans sensor"):
        CFAPattern.XTRANS.require_bayer("rendering")


def test_mirror_axes_of_xtrans_are_every_third_row() -> None:
    assert mirror_axes(CFAPattern.XTRANS) == {2, 5}
    assert mirror_axes(CFAPattern.RGGB) == mirror_axes(CFAPattern.MONO) == {0, 1}


@given(SIDES, SIDES, PHASES)
def test_unify_then_undo_gives_every_sample_back(height: int, width: int, pattern: CFAPattern) -> None:
    data = random_mosaic(height, width)
    unified, unification = unify(Mosaic(data, pattern))
    assert all(size % pattern.side == 0 for size in unified.shape)
    assert all(
        0 <= one < pattern.side for one in (unification.top, unification.bottom, unification.left, unification.right)
    )
    np.testing.assert_array_equal(unification.undo(unified), data)


@given(SIDES, SIDES, PHASES)
def test_unified_is_canonical(height: int, width: int, pattern: CFAPattern) -> None:
    unified, _ = unify(Mosaic(letters(height, width, pattern), pattern))
    np.testing.assert_array_equal(unified, letters(*unified.shape, pattern.canonical))


@given(SIDES, SIDES, PHASES, st.tuples(*[st.integers(0, 60)] * 4))
def test_padding_keeps_every_colour(height: int, width: int, pattern: CFAPattern, add: tuple[int, ...]) -> None:
    out = padded(letters(height, width, pattern), pattern, add[:2], add[2:])
    np.testing.assert_array_equal(out, letters(*out.shape, pattern.shifted(-add[0], -add[2])))


def test_plain_reflection_would_break_the_phase_of_xtrans() -> None:
    data = letters(12, 12, CFAPattern.XTRANS)
    wrong = np.pad(data, ((5, 0), (0, 0)), mode="reflect")
    assert not np.array_equal(wrong, letters(*wrong.shape, CFAPattern.XTRANS.shifted(-5, 0)))


def test_a_mosaic_smaller_than_its_cell_is_refused() -> None:
    with pytest.raises(InputError, match="fewer than the 6 of the cell of X-Trans"):
        unify(Mosaic(random_mosaic(4, 12), CFAPattern.XTRANS))


@given(CELLS, st.integers(1, 5), st.integers(1, 5))
def test_unpack_then_pack_and_back(cell: CFAPattern, rows: int, columns: int) -> None:
    mosaic = random_mosaic(cell.side * rows, cell.side * columns)
    planes = pack(mosaic, cell.side)
    assert planes.shape == (cell.side**2, rows, columns)
    np.testing.assert_array_equal(unpack(planes), mosaic)
    np.testing.assert_array_equal(pack(unpack(planes), cell.side), planes)


@pytest.mark.parametrize("operation", TABLE)
def test_shifts_of_xtrans_by_the_table(operation: tuple[bool, bool, bool]) -> None:
    for exchange, (top, left) in zip((False, True), TABLE[operation], strict=True):
        symmetry = Symmetry(*operation, exchange=exchange)
        turned = symmetry.pattern_of(CFAPattern.XTRANS)
        assert turned == CFAPattern.XTRANS.shifted(top, left)
        data = letters(12, 18, CFAPattern.XTRANS)
        view, _ = symmetry.apply(data, CFAPattern.XTRANS)
        expected = letters(*view.shape, CFAPattern.XTRANS.exchanged() if exchange else CFAPattern.XTRANS)
        np.testing.assert_array_equal(view, expected)


@given(CELLS, st.integers(1, 4), st.integers(1, 4), st.sampled_from(SYMMETRIES[8]), st.booleans())
def test_symmetry_then_undo(cell: CFAPattern, rows: int, columns: int, symmetry: Symmetry, exchange: bool) -> None:
    mosaic = random_mosaic(cell.side * rows, cell.side * columns)
    symmetry = Symmetry(symmetry.flip_rows, symmetry.flip_columns, symmetry.transpose, exchange)
    turned, unification = symmetry.apply(mosaic, cell)
    assert all(size % cell.side == 0 for size in turned.shape)
    np.testing.assert_array_equal(symmetry.undo(turned, unification), mosaic)


@pytest.mark.parametrize("cell", [CFAPattern.RGGB, CFAPattern.XTRANS, CFAPattern.MONO])
@pytest.mark.parametrize("members", [1, 2, 4, 8])
def test_ensemble_gives_every_class_its_own_noise(cell: CFAPattern, members: int) -> None:
    """A network that changes nothing, but notes what it sees: every colour must arrive with its own scale."""
    ksigma = KSigma.between(noise(cell), Anchor(1e-3, 1e-6))
    mosaic = letters(12, 18, cell)
    seen: list[np.ndarray] = []

    def run(view: np.ndarray, own: KSigma) -> np.ndarray:
        planes = own.spread(cell).apply(pack(view, cell.side))
        seen.append(np.stack([view, unpack(planes)]))
        return unpack(own.spread(cell).invert(planes))

    mean = self_ensemble(
        lambda view: run(view, ksigma), mosaic, members, cell, lambda view: run(view, ksigma.exchanged())
    )
    np.testing.assert_allclose(mean, mosaic, atol=1e-6)
    assert len(seen) == members
    for colour in np.unique(mosaic):
        values = np.concatenate([after[before == colour] for before, after in seen])
        if cell.kind != "bayer" or colour != 1:  # the greens of Bayer trade places, with equal noise
            assert np.ptp(values) < 1e-5, colour


def test_transposed_members_of_xtrans_need_no_padding() -> None:
    padding = [
        symmetry.apply(random_mosaic(12, 12), CFAPattern.XTRANS)[1] for symmetry in symmetries_of(CFAPattern.XTRANS, 2)
    ]
    assert padding == [Unification(0, 0, 0, 0, CFAPattern.XTRANS)] * 2


@pytest.mark.parametrize("pattern", [CFAPattern.XTRANS.shifted(1, 4), CFAPattern.MONO, CFAPattern.GBRG], ids=str)
def test_strength_0_is_bit_equal(pattern: CFAPattern) -> None:
    mosaic = Mosaic(random_mosaic(31, 26), pattern)
    other = Mosaic(random_mosaic(31, 26, 1), pattern)
    assert blend(mosaic, other, noise(pattern), saturation=2.0, strength=0) is mosaic


@pytest.mark.parametrize("pattern", [CFAPattern.XTRANS.shifted(1, 4), CFAPattern.MONO, CFAPattern.GBRG], ids=str)
def test_full_strength_is_the_restored_mosaic(pattern: CFAPattern) -> None:
    noisy, restored = (Mosaic(random_mosaic(31, 26, seed), pattern) for seed in (0, 1))
    np.testing.assert_array_equal(blend(noisy, restored, noise(pattern), saturation=2.0).data, restored.data)


def test_luma_of_a_grey_residual_is_all_of_it_and_of_a_coloured_one_its_mean() -> None:
    """The colour carriers of X-Trans lie at a third and a half of a cycle per pixel, where its filter is zero."""
    pattern = CFAPattern.XTRANS.shifted(4, 1)
    noisy = Mosaic(np.full((66, 72), 0.5, np.float32), pattern)
    for colours, luma in (((0.1, 0.1, 0.1), 0.1), ((0.2, 0.1, -0.3), (8 * 0.2 + 20 * 0.1 - 8 * 0.3) / 36)):
        removed = np.array([*colours, 0], np.float32)[letters(66, 72, pattern).astype(int)]
        restored = Mosaic(noisy.data - removed, pattern)
        kept = blend(noisy, restored, noise(pattern), saturation=2.0, luma=1.0, chroma=0.0).data
        np.testing.assert_allclose(noisy.data - kept, luma, atol=1e-6)


def test_luma_filter_of_xtrans() -> None:
    """Zero at a third and a half of a cycle per pixel, 1 at 0 with no curvature."""
    taps = TAPS["xtrans"].astype(np.float64)
    place = np.arange(len(taps)) - len(taps) // 2
    response = [float(taps @ np.cos(2 * np.pi * f * place)) for f in (0, 1 / 3, 1 / 2, 1e-3)]
    np.testing.assert_allclose(response, [1, 0, 0, 1], atol=1e-6)
    assert low_pass(np.ones((9, 4), np.float32), TAPS["xtrans"]).shape == (3, 4)


def test_monochrome_has_no_chroma() -> None:
    noisy, restored = (Mosaic(random_mosaic(31, 26, seed), CFAPattern.MONO) for seed in (0, 1))
    out = blend(noisy, restored, noise(CFAPattern.MONO), saturation=2.0, luma=0.25, chroma=1.0).data
    np.testing.assert_allclose(out, noisy.data + 0.25 * (restored.data - noisy.data), atol=1e-6)


@pytest.mark.parametrize("pattern", [CFAPattern.XTRANS, CFAPattern.XTRANS.shifted(5, 2), CFAPattern.MONO], ids=str)
def test_blown_pixels_are_kept_and_their_neighbours_of_other_colours_are_not(pattern: CFAPattern) -> None:
    """A flat blown area of one colour: where all its pixels nearby are blown, they stay; other colours are restored."""
    data = np.full((66, 72), 0.3, np.float32)
    blown = letters(66, 72, pattern) == (3 if pattern == CFAPattern.MONO else 1)
    blown[:, 36:] = False
    data[blown] = 1.0
    noisy, restored = Mosaic(data, pattern), Mosaic(data * np.float32(0.5), pattern)
    out = blend(noisy, restored, noise(pattern), saturation=1.0).data
    inside = blown.copy()
    inside[:, 30:] = False  # a pixel near the edge is partly restored
    np.testing.assert_array_equal(out[inside], data[inside])
    np.testing.assert_array_equal(out[~blown], restored.data[~blown])


@pytest.mark.parametrize("cell", [CFAPattern.RGGB, CFAPattern.XTRANS, CFAPattern.MONO], ids=str)
def test_local_means_come_back_in_every_class(cell: CFAPattern) -> None:
    """Restored values that are too low by a different offset in each class: the offset of each class is found."""
    side, own = cell.side, noise(cell)
    size = 4 * window_px(side)
    classes = np.tile(cell.class_of_site, (size // side, size // side))
    clean = (0.1 + 0.05 * classes).astype(np.float32)
    deviation = np.sqrt(own.gain * 0.1 + own.read_variance)[classes]
    noisy = (clean + deviation * np.random.default_rng(0).standard_normal(clean.shape)).astype(np.float32)
    offset = (0.001 * (1 + classes)).astype(np.float32)
    restored = keep_local_mean(noisy, clean - offset, own, floor=-1.0, saturation=1.0, cell=cell)
    for each in range(len(cell.classes)):
        here = classes == each
        # the mean over all blocks is that of the noisy mosaic: its standard error, four times
        allowed = 4 * float(deviation[here][0]) / np.sqrt(here.sum())
        assert abs(float((restored - clean)[here].mean())) < allowed
        assert allowed < 0.001  # without the correction it is off by at least this


@settings(max_examples=20, deadline=None)
@given(CELLS, st.integers(6, 40), st.integers(6, 40))
def test_local_mean_of_any_size(cell: CFAPattern, height: int, width: int) -> None:
    mosaic, _ = unify(Mosaic(random_mosaic(height, width), cell))
    restored = keep_local_mean(mosaic, mosaic.copy(), noise(cell), floor=-1.0, saturation=2.0, cell=cell)
    np.testing.assert_array_equal(restored, mosaic)


def test_noise_takes_the_classes_of_a_cfa() -> None:
    bayer = NoiseModel(np.array([1e-3, 2e-3, 2e-3, 3e-3]), np.array([1e-6, 2e-6, 2e-6, 3e-6]), "given")
    xtrans = bayer.for_cfa(CFAPattern.XTRANS)
    np.testing.assert_array_equal(xtrans.gain, [1e-3, 2e-3, 3e-3])
    np.testing.assert_array_equal(xtrans.for_cfa(CFAPattern.GRBG).gain, bayer.gain)
    mono = bayer.for_cfa(CFAPattern.MONO)
    np.testing.assert_array_equal(mono.read_variance, [2e-6])
    assert mono.green_gain == xtrans.green_gain == bayer.green_gain == 2e-3
    assert bayer.pairs == xtrans.pairs == ((1e-3, 1e-6), (2e-3, 2e-6), (3e-3, 3e-6))
    assert mono.pairs == ((2e-3, 2e-6),)
