"""Demosaicing: against colour-demosaicing, its symmetries, its borders, and numpy against torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rawkd.errors import UsageError
from rawkd.photo import BAYER_PHASES, CFAPattern, FloatArray, Mosaic
from rawkd.render.demosaic import (
    DEFAULTS,
    HALO_CELLS,
    SITES,
    Method,
    bilinear_sites,
    check_method,
    interleave,
    malvar_sites,
    pad_edge,
    sites_to_pixels,
)
from rawkd.render.menon import menon_sites
from rawkd.render.roots import to_roots, to_signal
from rawkd.sensor.cfa import Unification, pack

SitesOf = Mapping[str, Callable[[FloatArray], FloatArray]]
METHODS: tuple[Method, ...] = ("bilinear", "malvar", "menon")
AS_PUBLISHED: SitesOf = {"bilinear": bilinear_sites, "malvar": malvar_sites, "menon": menon_sites}


def random_mosaic(pattern: CFAPattern, height: int, width: int, seed: int = 0) -> Mosaic:
    return Mosaic(np.random.default_rng(seed).random((height, width), dtype=np.float32), pattern)


def demosaic(mosaic: Mosaic, method: Method, sites_of: SitesOf = SITES) -> FloatArray:
    """(H, W) of any phase and size -> (H, W, 3); borders are reflected."""
    height, width = mosaic.data.shape
    added, halo = Unification.of((height, width), mosaic.pattern), 2 * HALO_CELLS[method]
    margins = (added.top + halo, added.bottom + halo), (added.left + halo, added.right + halo)
    pixels = sites_to_pixels(sites_of[method](pack(np.pad(mosaic.data, margins, mode="reflect"))))
    return pixels[added.top : added.top + height, added.left : added.left + width]


@pytest.mark.parametrize("pattern", BAYER_PHASES)
@pytest.mark.parametrize("method", METHODS)
def test_agrees_with_colour_demosaicing_away_from_the_border(pattern: CFAPattern, method: str) -> None:
    import colour_demosaicing as oracle

    mosaic = random_mosaic(pattern, 61, 74)
    function = {
        "bilinear": oracle.demosaicing_CFA_Bayer_bilinear,
        "malvar": oracle.demosaicing_CFA_Bayer_Malvar2004,
        "menon": oracle.demosaicing_CFA_Bayer_Menon2007,
    }[method]
    expected = function(mosaic.data, pattern.colours)
    margin = 2 * HALO_CELLS[method]
    inner = slice(margin, -margin)
    ours = demosaic(mosaic, method, AS_PUBLISHED)
    np.testing.assert_allclose(ours[inner, inner], expected[inner, inner], atol=2e-6)


@given(
    pattern=st.sampled_from(BAYER_PHASES),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    method=st.sampled_from(METHODS),
    seed=st.integers(0, 99),
)
@example(pattern=BAYER_PHASES[1], height=40, width=37, method="menon", seed=0)
@settings(max_examples=60, deadline=None)
def test_samples_are_kept_and_turning_commutes(
    pattern: CFAPattern, height: int, width: int, method: str, seed: int
) -> None:
    mosaic = random_mosaic(pattern, height, width, seed)
    rgb = demosaic(mosaic, method)
    assert rgb.shape == (height, width, 3)
    colours = np.array(["RGB".index(c) for c in pattern.colours]).reshape(2, 2)
    site = colours[np.arange(height)[:, None] % 2, np.arange(width) % 2]
    np.testing.assert_allclose(np.take_along_axis(rgb, site[..., None], -1)[..., 0], mosaic.data, atol=3e-7)
    if method == "menon" and min(height, width) < 32:
        return  # both directions are equal in a small mosaic that is reflected, and rows are taken
    turned = Mosaic(np.ascontiguousarray(mosaic.data.T), pattern.transposed())
    np.testing.assert_allclose(demosaic(turned, method), rgb.swapaxes(0, 1), atol=1e-6)
    flipped = Mosaic(np.ascontiguousarray(mosaic.data[::-1]), pattern.shifted(height - 1, 0))
    if min(height, width) > 1:  # one row has no colour of the other to be reflected from
        np.testing.assert_allclose(demosaic(flipped, method), rgb[::-1], atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_grey_ramp_stays_grey_and_straight(method: str) -> None:
    ramp = np.add.outer(np.arange(40.0), 2 * np.arange(50.0)).astype(np.float32) / 200
    inner = slice(8, -8)
    rgb = demosaic(Mosaic(ramp, CFAPattern.GBRG), method, AS_PUBLISHED)[inner, inner]
    np.testing.assert_allclose(rgb, np.repeat(ramp[inner, inner, None], 3, -1), atol=1e-6)
    # a ramp of roots is straight in roots
    square = to_signal(ramp + np.float32(0.1))
    rgb = demosaic(Mosaic(square, CFAPattern.GBRG), method)[inner, inner]
    tolerance = 1.3e-4 if method == "bilinear" else 1e-6  # the squares of both steps of the root, 0.01 and 0.005
    np.testing.assert_allclose(rgb, np.repeat(square[inner, inner, None], 3, -1), atol=tolerance)


def test_the_edge_of_a_shadow_keeps_the_colour() -> None:
    """In a shadow all colours fall by the same factor; as published, differences of colours are kept instead."""
    light = np.where(np.arange(64) < 31, 0.8, 0.1) * np.ones((64, 1))
    colour = np.array([1.0, 0.5, 0.25])
    site = np.array([[0, 1], [1, 2]])
    mosaic = Mosaic((light * np.tile(colour[site], (32, 32))).astype(np.float32), CFAPattern.RGGB)
    truth = light[..., None] * colour
    for method in ("malvar", "menon"):
        ours, published = (
            np.abs(demosaic(mosaic, method, sites_of) / truth - 1)[16:-16, 16:-16].max()
            for sites_of in (SITES, AS_PUBLISHED)
        )
        assert ours < 0.5 * published


@pytest.mark.parametrize("method", ["malvar", "menon"])
@pytest.mark.parametrize("level", [0.0, 0.005, 0.03])
def test_noise_that_is_left_keeps_its_strength_and_colour(method: Method, level: float) -> None:
    """A root that goes on with its slope below black makes 1.2 of the noise, and shifts green by 0.08 of it."""
    sigma = 0.03
    noisy = level + sigma * np.random.default_rng(0).standard_normal((400, 400))
    rgb = demosaic(Mosaic(noisy.astype(np.float32), CFAPattern.RGGB), method)[16:-16, 16:-16]
    assert rgb.std() < 1.1 * sigma
    assert np.abs(rgb.mean((0, 1)) - level).max() < 0.05 * sigma  # 10 standard errors
    assert rgb.max() < level + 10 * sigma


@given(arrays(np.float32, (4, 3, 5), elements=st.floats(-1, 16, width=32)))
def test_roots_come_back(signal: FloatArray) -> None:
    before = signal.copy()
    np.testing.assert_allclose(to_signal(to_roots(signal)), signal, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(signal, before)
    assert (np.diff(np.sort(to_roots(signal).ravel())) >= 0).all()


def test_the_default_is_the_sharpest() -> None:
    y, x = np.mgrid[:96, :96].astype(np.float32)
    truth = (0.5 + 0.4 * np.sin(0.9 * x + 0.35 * y)).astype(np.float32)
    mosaic = Mosaic(truth, CFAPattern.RGGB)
    inner = slice(16, -16)
    bilinear, malvar, menon = (
        np.abs(demosaic(mosaic, method)[inner, inner] - truth[inner, inner, None]).mean() for method in METHODS
    )
    assert malvar < 0.7 * bilinear
    assert menon < malvar
    assert DEFAULTS["bayer"] == "menon"


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
        check_method("ahd")
