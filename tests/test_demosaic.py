"""Demosaicing: against colour-demosaicing, its symmetries, its borders, and numpy against torch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawkd.errors import UsageError
from rawkd.photo import BAYER_PHASES, CFAPattern, Mosaic
from rawkd.render.demosaic import bilinear_sites, demosaic, interleave, malvar_sites, pad_edge, sites_to_pixels

OURS = ("bilinear", "malvar")
OF_BAYER = (*OURS, "menon")


def random_mosaic(pattern: CFAPattern, height: int, width: int, seed: int = 0) -> Mosaic:
    return Mosaic(np.random.default_rng(seed).random((height, width), dtype=np.float32), pattern)


@pytest.mark.parametrize("pattern", BAYER_PHASES)
@pytest.mark.parametrize("method", OF_BAYER)
def test_agrees_with_colour_demosaicing_away_from_the_border(pattern: CFAPattern, method: str) -> None:
    import colour_demosaicing as oracle

    mosaic = random_mosaic(pattern, 61, 74)
    function = {
        "bilinear": oracle.demosaicing_CFA_Bayer_bilinear,
        "malvar": oracle.demosaicing_CFA_Bayer_Malvar2004,
        "menon": oracle.demosaicing_CFA_Bayer_Menon2007,
    }[method]
    expected = function(mosaic.data, pattern.colours)
    margin = 2 if method in OURS else 16
    inner = slice(margin, -margin)
    np.testing.assert_allclose(demosaic(mosaic, method)[inner, inner], expected[inner, inner], atol=2e-6)


@given(
    pattern=st.sampled_from(BAYER_PHASES),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    method=st.sampled_from(OURS),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_samples_are_kept_and_turning_commutes(
    pattern: CFAPattern, height: int, width: int, method: str, seed: int
) -> None:
    mosaic = random_mosaic(pattern, height, width, seed)
    rgb = demosaic(mosaic, method)
    assert rgb.shape == (height, width, 3)
    colours = np.array(["RGB".index(c) for c in pattern.colours]).reshape(2, 2)
    site = colours[np.arange(height)[:, None] % 2, np.arange(width) % 2]
    np.testing.assert_array_equal(np.take_along_axis(rgb, site[..., None], -1)[..., 0], mosaic.data)
    turned = Mosaic(np.ascontiguousarray(mosaic.data.T), pattern.transposed())
    np.testing.assert_allclose(demosaic(turned, method), rgb.swapaxes(0, 1), atol=1e-6)
    flipped = Mosaic(np.ascontiguousarray(mosaic.data[::-1]), pattern.shifted(height - 1, 0))
    if min(height, width) > 1:  # one row has no colour of the other to be reflected from
        np.testing.assert_allclose(demosaic(flipped, method), rgb[::-1], atol=1e-6)


@pytest.mark.parametrize("method", OF_BAYER)
def test_grey_ramp_stays_grey_and_straight(method: str) -> None:
    ramp = np.add.outer(np.arange(40.0), 2 * np.arange(50.0)).astype(np.float32) / 200
    rgb = demosaic(Mosaic(ramp, CFAPattern.GBRG), method)
    np.testing.assert_allclose(rgb[8:-8, 8:-8], np.repeat(ramp[8:-8, 8:-8, None], 3, -1), atol=1e-6)


def test_malvar_is_sharper_than_bilinear() -> None:
    y, x = np.mgrid[:96, :96].astype(np.float32)
    truth = (0.5 + 0.4 * np.sin(0.9 * x + 0.35 * y)).astype(np.float32)
    mosaic = Mosaic(truth, CFAPattern.RGGB)
    errors = [np.abs(demosaic(mosaic, method)[8:-8, 8:-8] - truth[8:-8, 8:-8, None]).mean() for method in OURS]
    assert errors[1] < 0.7 * errors[0]


def test_edge_padding_of_planes_equals_reflection_of_the_mosaic() -> None:
    mosaic = random_mosaic(CFAPattern.RGGB, 12, 16)
    planes = np.stack([mosaic.data[r::2, c::2] for r in (0, 1) for c in (0, 1)])
    from_planes = sites_to_pixels(bilinear_sites(pad_edge(planes)))
    np.testing.assert_array_equal(from_planes, demosaic(mosaic, "bilinear"))


def test_both_interleavings_agree() -> None:
    sites = np.random.default_rng(0).random((3, 4, 5, 7))
    np.testing.assert_array_equal(np.moveaxis(interleave(sites), 0, -1), sites_to_pixels(sites))


@pytest.mark.parametrize("sites_of", [bilinear_sites, malvar_sites])
def test_batches_equal_single_pictures(sites_of) -> None:
    batch = np.random.default_rng(1).random((3, 4, 8, 9), dtype=np.float32)
    np.testing.assert_array_equal(sites_of(batch), np.stack([sites_of(planes) for planes in batch]))


def test_bilinear_on_torch_equals_numpy() -> None:
    torch = pytest.importorskip("torch")
    planes = np.random.default_rng(2).random((2, 4, 6, 7), dtype=np.float32)
    ours = interleave(bilinear_sites(pad_edge(torch.from_numpy(planes))))
    np.testing.assert_allclose(ours.numpy(), interleave(bilinear_sites(pad_edge(planes))), rtol=0, atol=1e-7)


def test_unknown_method_is_refused() -> None:
    with pytest.raises(UsageError, match="ahd"):
        demosaic(random_mosaic(CFAPattern.RGGB, 4, 4), "ahd")
