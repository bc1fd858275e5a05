"""The k-sigma transform: exact to undo, the same as going through photons, and statistically what it claims."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawkd.errors import NoiseError
from rawkd.photo import CFAPattern
from rawkd.sensor.cfa import pack, unpack
from rawkd.sensor.ksigma import Anchor, KSigma
from rawkd.sensor.noise import NoiseModel
from rawkd.sensor.profile import CameraProfile

GAINS = st.floats(8e-6, 4e-2)
READS = st.floats(1e-10, 1e-3)
PMRID_RANGE_DN = 959.0
PMRID = CameraProfile(
    make="OPPO",
    model="Reno 10x",
    iso_range=(100, 6400),
    gain=np.tile(np.array([5.995267e-4, 8.68861e-3]) / PMRID_RANGE_DN, (4, 1)),
    read_variance=np.tile(np.array([7.11772e-7, 6.514934e-4, 0.11492713]) / PMRID_RANGE_DN**2, (4, 1)),
)
"""Calibration of the IMX586 in specs 5.3, as a camera profile."""


def noise(gain: float, read: float) -> NoiseModel:
    return NoiseModel(np.array(gain), np.array(read), "given")


@given(GAINS, READS, GAINS, READS)
def test_invert_undoes_apply(gain: float, read: float, anchor_gain: float, anchor_read: float) -> None:
    ksigma = KSigma.between(noise(gain, read), Anchor(anchor_gain, anchor_read))
    planes = np.random.default_rng(0).uniform(-0.1, 1.1, (4, 6, 6)).astype(np.float32)
    there = ksigma.apply(planes)
    assert there.dtype == np.float32
    # each of the four float32 operations errs by at most half an ulp of the largest magnitude on the way
    ulp = np.finfo(np.float32).eps * (np.abs(there).max() + np.abs(ksigma.offset).max()) / ksigma.scale.min()
    np.testing.assert_allclose(ksigma.invert(there), planes, rtol=0, atol=4 * ulp)


@given(GAINS, READS)
def test_at_the_anchor_nothing_changes(gain: float, read: float) -> None:
    ksigma = KSigma.between(noise(gain, read), Anchor(gain, read))
    np.testing.assert_allclose(ksigma.scale, 1)
    np.testing.assert_allclose(ksigma.offset, 0, atol=1e-12 * (read / gain))


@given(GAINS, READS, GAINS, READS, st.floats(-0.1, 1.1))
def test_anchored_form_goes_through_photons(gain: float, read: float, ka: float, va: float, x: float) -> None:
    """g = f_A^-1 o f, where f(x) = x / k + s^2 / k^2."""
    ksigma = KSigma.between(noise(gain, read), Anchor(ka, va))
    photons = x / gain + read / gain**2
    expected = ka * photons - va / ka
    scale = abs(ka * photons) + va / ka
    np.testing.assert_allclose(ksigma.scale * x + ksigma.offset, expected, rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize(
    ("iso", "gain", "read"),
    [
        (100, 7.158e-5, 2.035e-7),
        (400, 2.591e-4, 5.321e-7),
        (800, 5.092e-4, 1.187e-6),
        (1600, 1.0093e-3, 3.2397e-6),
        (3200, 2.0096e-3, 1.0317e-5),
        (6400, 4.0101e-3, 3.6359e-5),
    ],
)
def test_constants_of_the_reference_camera(iso: float, gain: float, read: float) -> None:
    found = PMRID.noise_at(iso)
    assert found.green_gain == pytest.approx(gain, rel=2e-4)
    assert found.green_read_variance == pytest.approx(read, rel=3e-4)


def test_constants_in_dn_to_six_digits() -> None:
    found = PMRID.noise_at(1600)
    assert found.green_gain * PMRID_RANGE_DN == pytest.approx(0.967931, abs=5e-7)
    assert found.green_read_variance * PMRID_RANGE_DN**2 == pytest.approx(2.97945, abs=5e-6)


def photon_samples(true_gain: float) -> np.ndarray:
    """Two million samples at signal 200 of gain 0.97 and read variance 2.98, transformed for `true_gain`."""
    rng = np.random.default_rng(8)
    gain, read, signal, count = 0.97, 2.98, 200.0, 2_000_000
    x = gain * rng.poisson(signal / gain, count) + rng.normal(0, np.sqrt(read), count)
    ksigma = KSigma.between(noise(true_gain, read), Anchor(1.0, 0.0))
    return ksigma.scale[0] * x + ksigma.offset[0]


def test_mean_and_variance_of_transformed_noise_agree() -> None:
    """Expected 209.35 for both; 0.5 % is five standard errors of the variance of two million samples, sqrt(2 / n)."""
    f = photon_samples(0.97)
    assert f.mean() == pytest.approx(209.35, rel=0.005)
    assert f.var() == pytest.approx(209.35, rel=0.005)


def test_mean_and_variance_disagree_for_a_wrong_gain() -> None:
    f = photon_samples(0.97 * 1.02)
    assert f.var() != pytest.approx(f.mean(), rel=0.01)


def test_each_plane_has_its_own_line() -> None:
    ksigma = KSigma.between(NoiseModel(np.array([1e-3, 2e-3, 2e-3, 4e-3]), np.zeros(4), "given"), Anchor(2e-3, 0.0))
    np.testing.assert_allclose(ksigma.apply(np.ones((4, 1, 1), np.float32))[:, 0, 0], [2, 1, 1, 0.5])


@pytest.mark.parametrize(("classes", "cell"), [(4, CFAPattern.XTRANS), (1, CFAPattern.RGGB), (4, CFAPattern.MONO)])
def test_noise_of_another_cfa_is_refused(classes: int, cell: CFAPattern) -> None:
    ksigma = KSigma.between(NoiseModel(np.full(classes, 1e-3), np.zeros(classes), "given"), Anchor(2e-3, 0.0))
    with pytest.raises(NoiseError, match=f"{classes} classes do not fit a sensor with {len(cell.classes)}"):
        ksigma.spread(cell)


@pytest.mark.parametrize("cell", [CFAPattern.RGGB, CFAPattern.XTRANS], ids=str)
def test_packing_on_the_way_does_not_change_a_bit(cell: CFAPattern) -> None:
    """More rows than a strip, also a part of a strip, and a mosaic that is a part of another."""
    ksigma = KSigma.between(noise(1e-3, 1e-6).for_cfa(cell), Anchor(2e-3, 3e-6)).spread(cell)
    whole = np.random.default_rng(0).random((75 * cell.side, 6 * cell.side), np.float32)
    part = whole[cell.side :, cell.side :]
    planes = ksigma.pack(part, cell.side)
    np.testing.assert_array_equal(planes, ksigma.apply(pack(part, cell.side)))
    out = np.full_like(whole, np.nan)
    ksigma.unpack(planes, out[cell.side :, cell.side :])
    np.testing.assert_array_equal(out[cell.side :, cell.side :], unpack(ksigma.invert(planes)))
    assert np.isnan(out[: cell.side]).all()
