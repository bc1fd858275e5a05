"""Dual ISO frames are refused by name; stripes, gradients, row noise and dark frames are not taken for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import FAULTS
from noisy_scenes import leaves, noisy, shaded_texture
from small_photos import noisy_photo

from rawkd.errors import UnsupportedRawError
from rawkd.files.read.raw import read_raw
from rawkd.files.write.dng import write_dng
from rawkd.photo import BAYER_PHASES, CFAPattern, Levels, RawPhoto, Rect
from rawkd.sensor.dual_iso import dual_iso_ratio, refuse_dual_iso

LEVELS = Levels(np.array([[512.0]]), 16383, 16383, 14)
SIDE = 512


def photo_of(signal: np.ndarray, pattern: CFAPattern = CFAPattern.RGGB, *, gain: float = 1e-4) -> RawPhoto:
    """A photo of that signal with noise, clipped at white."""
    mosaic = noisy(np.clip(signal, 0, None), gain, 1e-6, floor=-512 / 15871, pattern=pattern)
    area = Rect(0, 0, *signal.shape)
    return replace(
        noisy_photo(8, 8),
        frame=np.minimum(LEVELS.to_dn(mosaic.data), 16383).astype(np.uint16),
        active_area=area,
        default_crop=area,
        pattern=pattern,
        levels=LEVELS,
        noise_profile=(),
    )


def dual(signal: np.ndarray, ratio: float, first: int = 2) -> np.ndarray:
    """Two rows of every four, from row `first` on, brighter by a ratio."""
    rows = np.arange(len(signal))
    return signal * np.where((rows - first) % 4 < 2, ratio, 1.0)[:, None]


@pytest.mark.parametrize("ratio", [2.0, 8.0, 16.0])
@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_two_gains_in_turn_are_found(first: int, ratio: float) -> None:
    """At any phase; pixels blown in the brighter rows take a little of the ratio."""
    for scene in (leaves(SIDE, brightness=0.15), shaded_texture(SIDE) * 0.3):
        found = dual_iso_ratio(photo_of(dual(scene, ratio, first)))
        assert found == pytest.approx(ratio, rel=0.2)


@pytest.mark.parametrize("pattern", BAYER_PHASES)
def test_of_every_phase(pattern: CFAPattern) -> None:
    assert dual_iso_ratio(photo_of(dual(leaves(SIDE, brightness=0.15), 4), pattern)) == pytest.approx(4, rel=0.2)


class TestOrdinary:
    """None of these is a dual ISO frame."""

    @pytest.mark.parametrize("seed", range(3))
    def test_scenes(self, seed: int) -> None:
        for scene in (leaves(SIDE, texture=0.8, seed=seed), shaded_texture(SIDE, seed=seed)):
            assert dual_iso_ratio(photo_of(scene)) is None

    @pytest.mark.parametrize("period", [2.0, 3.9, 4.0, 4.1, 8.0])
    def test_stripes(self, period: float) -> None:
        """A shirt in a third of the frame; blinds all over it whose period is not four rows to the last bit."""
        rows = np.arange(SIDE)[:, None]
        stripes = 1 + 0.6 * np.sign(np.sin(2 * np.pi * (rows + 0.5) / period))
        shirt = leaves(SIDE) * np.where(np.arange(SIDE) < SIDE // 3, stripes, 1)
        assert dual_iso_ratio(photo_of(shirt)) is None
        if period != 4.0:
            assert dual_iso_ratio(photo_of(leaves(SIDE) * stripes)) is None

    def test_stripes_of_other_contrasts(self) -> None:
        rows = np.arange(SIDE)[:, None]
        contrast = np.linspace(0, 0.9, SIDE)
        stripes = 1 + contrast * np.sign(np.sin(2 * np.pi * (rows + 0.5) / 4))
        assert dual_iso_ratio(photo_of(leaves(SIDE) * stripes)) is None

    def test_gradients(self) -> None:
        ramp = np.tile(np.linspace(0.001, 0.9, SIDE)[:, None] ** 2, (1, SIDE))
        assert dual_iso_ratio(photo_of(ramp)) is None
        assert dual_iso_ratio(photo_of(ramp[::-1])) is None

    def test_dark_frames_and_strong_row_noise(self) -> None:
        rng = np.random.default_rng(0)
        assert dual_iso_ratio(photo_of(np.zeros((SIDE, SIDE)))) is None
        for level in (0.0, 0.005, 0.1):
            rows = rng.normal(level, 0.003, (SIDE, 1))
            assert dual_iso_ratio(photo_of(np.tile(rows, (1, SIDE)))) is None

    def test_greens_and_rows_that_differ(self) -> None:
        """Colours differ from row to row; a row is compared with rows of its own colours only."""
        scene = leaves(SIDE, brightness=0.3)
        scene[::2] *= 3
        assert dual_iso_ratio(photo_of(scene)) is None

    def test_small_and_white_frames(self) -> None:
        assert dual_iso_ratio(photo_of(dual(leaves(64), 4))) is None
        assert dual_iso_ratio(photo_of(np.full((SIDE, SIDE), 2.0))) is None

    def test_real_raws(self, data: Path) -> None:
        for path in sorted((data / "raw").iterdir()):
            assert dual_iso_ratio(read_raw(path)) is None


def test_a_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "dual.dng"
    write_dng(
        path, photo_of(dual(leaves(SIDE, brightness=0.15), 8)), preview=np.zeros((8, 8, 3), np.uint8), software="test"
    )
    with pytest.raises(UnsupportedRawError, match=r"dual\.dng: .*dual ISO"):
        read_raw(path)


def test_an_ordinary_photo_is_not_refused() -> None:
    refuse_dual_iso(photo_of(leaves(SIDE)))


@pytest.mark.skipif(not FAULTS.is_dir(), reason="needs the files of ../shared/faults")
def test_the_file_of_magic_lantern() -> None:
    with pytest.raises(UnsupportedRawError, match="dual ISO"):
        read_raw(FAULTS / "dual-iso-rows.dng")
