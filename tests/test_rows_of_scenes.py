"""Row noise in the picture: found on scenes of every sensor, and scenes without any give no alarm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rawkd.photo import Capture, CFAPattern, ColorCalibration, Levels, RawPhoto, Rect
from rawkd.sensor import rows
from rawkd.sensor.rows import WARNING_SHARE, level_rows, measure_rows, quads_of
from rawkd.training.data.leaves import leaves_scene

PATTERNS = {"bayer": CFAPattern.GBRG, "xtrans": CFAPattern.XTRANS.shifted(1, 4), "mono": CFAPattern.MONO}
HEIGHT, WIDTH, SCENES = 384, 512, 8
GAIN, READ = 3e-4, 4e-6
BLACK_DN, WHITE_DN = 512, 16383


def scene(seed: int) -> np.ndarray:
    """Leaves in colour behind soft lines over the whole width, like blinds or shelves, (384, 512, 3) in 0..0.5."""
    rng = np.random.default_rng(seed)
    leaves = leaves_scene(WIDTH, rng)[:HEIGHT, :WIDTH]
    taps = np.exp(-np.square(np.arange(-9, 10) / 2.5) / 2)
    lines = np.convolve(rng.normal(0, 1, HEIGHT + 18), taps / np.sqrt(np.square(taps).sum()), "valid")
    return np.asarray(0.5 * leaves * (1 + 0.04 * lines[:, None, None]))


def photo(pattern: CFAPattern, seed: int, share: float) -> RawPhoto:
    """A photo of the scene whose rows lie off by `share` of the noise of single pixels at a signal of 0.05."""
    rng = np.random.default_rng(1000 + seed)
    camera = scene(seed)
    sites = [["RGBW".index(pattern.colour_at(r, c)) for c in range(pattern.side)] for r in range(pattern.side)]
    site = np.tile(sites, (HEIGHT // pattern.side + 1, WIDTH // pattern.side + 1))[:HEIGHT, :WIDTH]
    planes = np.concatenate([camera, camera.mean(axis=2, keepdims=True)], axis=2)
    clean = np.take_along_axis(planes, site[..., None], axis=2)[..., 0]
    noisy = rng.poisson(clean / GAIN) * GAIN + rng.normal(0, np.sqrt(READ), clean.shape)
    noisy += rng.normal(0, 1, (HEIGHT, 1)) * share * np.sqrt(GAIN * 0.05 + READ)
    frame = np.rint(np.clip(BLACK_DN + noisy * (WHITE_DN - BLACK_DN), 0, WHITE_DN)).astype(np.uint16)
    levels = Levels(np.full((1, 1), float(BLACK_DN)), WHITE_DN, WHITE_DN, 14, cell_side=pattern.side)
    area = Rect(0, 0, HEIGHT, WIDTH)
    return RawPhoto(frame, area, area, pattern, levels, ColorCalibration(np.eye(3), np.ones(3)), Capture())


def alarms(pattern: CFAPattern, share: float) -> int:
    """How many of the scenes give the warning of `level_rows`."""
    found = [measure_rows(photo(pattern, seed, share)) for seed in range(SCENES)]
    assert None not in found
    return sum(one is not None and one.shown and one.share > WARNING_SHARE for one in found)


@pytest.mark.parametrize("kind", PATTERNS)
def test_scenes_without_row_noise_give_no_alarm(kind: str) -> None:
    assert alarms(PATTERNS[kind], 0.0) == 0


def test_blinds_give_no_alarm() -> None:
    """Rows that differ by more than the noise of a pixel are those of the scene."""
    blinds = photo(CFAPattern.RGGB, 0, 4.0)
    rows = measure_rows(blinds)
    assert rows is not None
    assert rows.shown
    assert rows.share > 1
    assert level_rows(blinds, remove=False)[1] == ()


@pytest.mark.parametrize("kind", PATTERNS)
def test_rows_of_a_third_of_the_noise_do(kind: str) -> None:
    """The twin of the test above; a quarter of the scenes may have too much texture to show it."""
    assert alarms(PATTERNS[kind], 0.33) >= 0.75 * SCENES


def test_rows_a_cell_apart_would_give_false_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other twin: six rows apart, the lines of the scene look like row noise."""
    far = [quad._replace(before=-6, next=6, after=12) for quad in quads_of(PATTERNS["xtrans"])]
    monkeypatch.setattr(rows, "quads_of", lambda _: far)
    assert alarms(PATTERNS["xtrans"], 0.0) >= 3


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (CFAPattern.RGGB, [(0, -2, 2, 4), (1, -2, 2, 4)]),
        (CFAPattern.MONO, [(0, -1, 1, 2), (1, -1, 1, 2)]),
        (CFAPattern.XTRANS, [(0, -2, 1, 3), (3, -2, 1, 3)]),
        (CFAPattern.XTRANS.shifted(2, 1), [(1, -2, 1, 3), (4, -2, 1, 3)]),
    ],
    ids=str,
)
def test_the_rows_that_are_compared(pattern: CFAPattern, expected: list[tuple[int, ...]]) -> None:
    assert [tuple(quad) for quad in quads_of(pattern)] == expected


@pytest.mark.parametrize("kind", PATTERNS)
def test_a_parabola_over_the_rows_is_no_row_noise(kind: str) -> None:
    """A bright sky or a vignette: flat along the rows, curved across them; white noise only."""
    flat = photo(PATTERNS[kind], 0, 0.0)
    rng = np.random.default_rng(7)
    curve = 400 + 2000 * np.square(np.linspace(-1, 1, HEIGHT))[:, None]
    frame = np.rint(rng.normal(BLACK_DN + curve, 12, (HEIGHT, WIDTH))).astype(np.uint16)
    found = measure_rows(replace(flat, frame=frame))
    assert found is not None
    # Chance: 1.4 / 30 of the pixel variance over the root of 128 quads x 60 pairs of used blocks, a share of 0.02.
    assert found.share < 0.05
    # The median of means of 20 squares lies 3 % low, and 540 blocks know it to 1.7 %; half of both for the root.
    assert found.pixel_sd_dn == pytest.approx(12, rel=0.017 + 4 * 0.009)
