"""The second look at a small scale: blotches go, detail and blown areas stay, clipping at black is allowed for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scenes_of_every_cfa import colours_of_scene, mosaicked

from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.students import load_family
from rawkd.inference.tiling import denoise_tiled
from rawkd.photo import CFAPattern, FloatArray
from rawkd.restore.blotches import BLOCK_CELLS, LEAST_BLOCKS, LEAST_GAIN, remove_blotches
from rawkd.sensor.ksigma import KSigma
from rawkd.sensor.noise import NoiseModel

GAIN, READ = 6e-3, 4.8e-5
FLOOR = -0.03
CELLS = [CFAPattern.RGGB, CFAPattern.XTRANS, CFAPattern.MONO]
ids = pytest.mark.parametrize("cell", CELLS, ids=["bayer", "xtrans", "mono"])


def noise_of(cell: CFAPattern) -> NoiseModel:
    """Noise of a high ISO."""
    return NoiseModel(np.array(GAIN), np.array(READ), "given").for_cfa(cell)


def small(mosaic: FloatArray, cell: CFAPattern) -> FloatArray:
    """The means of every site of each block, one by one."""
    side, edge = cell.side, cell.side * BLOCK_CELLS
    out = np.empty((len(mosaic) // edge * side, mosaic.shape[1] // edge * side), np.float32)
    for y in range(len(out)):
        for x in range(out.shape[1]):
            top, left = y // side * edge + y % side, x // side * edge + x % side
            out[y, x] = mosaic[top : top + edge : side, left : left + edge : side].mean(dtype=np.float64)
    return out


def oracle(clean: FloatArray, cell: CFAPattern) -> Callable[[FloatArray, NoiseModel], FloatArray]:
    """A network that knows the truth, and checks the noise that it is told."""

    def denoise(mosaic: FloatArray, noise: NoiseModel) -> FloatArray:
        assert noise.gain == pytest.approx(GAIN / BLOCK_CELLS**2)
        assert noise.read_variance == pytest.approx(READ / BLOCK_CELLS**2)
        assert mosaic.shape == small(clean, cell).shape
        return small(clean, cell)

    return denoise


def smooth(cell: CFAPattern, height: int = 290, width: int = 326) -> FloatArray:
    """A clean mosaic of soft waves, in whole cells but not in whole blocks."""
    whole = mosaicked(0.3 + (colours_of_scene(height, width) - 0.3) / 5, cell)
    return np.ascontiguousarray(whole[: height // cell.side * cell.side, : width // cell.side * cell.side])


@ids
def test_blotches_of_a_smooth_picture_go(cell: CFAPattern) -> None:
    clean = smooth(cell)
    y, x = np.mgrid[: len(clean), : clean.shape[1]]
    sigma = np.sqrt(GAIN * clean + READ)
    scale = 12 * cell.side
    blotches = 0.05 * sigma * np.sin(y / scale) * np.sin(x / scale)
    restored = (clean + blotches).astype(np.float32)
    remove_blotches(clean, restored, noise_of(cell), oracle(clean, cell), floor=FLOOR, saturation=1.0, cell=cell)
    assert np.std((restored - clean) / sigma) < 0.4 * np.std(blotches / sigma)


@ids
def test_noise_is_averaged_site_by_site(cell: CFAPattern) -> None:
    """The network sees the means of the noisy mosaic, and an answer without blotches changes nothing."""
    clean, seen = smooth(cell), []
    noisy = (clean + np.random.default_rng(1).normal(0, 0.03, clean.shape)).astype(np.float32)

    def denoise(mosaic: FloatArray, _noise: NoiseModel) -> FloatArray:
        seen.append(mosaic.copy())
        return small(clean, cell)

    restored = clean.copy()
    remove_blotches(noisy, restored, noise_of(cell), denoise, floor=FLOOR, saturation=1.0, cell=cell)
    np.testing.assert_allclose(seen[0], small(noisy, cell), atol=1e-6)
    np.testing.assert_allclose(restored, clean, atol=1e-6)


@ids
def test_detail_decides_for_the_large_photo(cell: CFAPattern) -> None:
    """Where the small photo is uneven, or the large one has detail that the small one cannot hold, little changes."""
    level = np.full((240, 288), 0.2, np.float32)
    sigma = float(np.sqrt(GAIN * 0.2 + READ))
    blocks = np.random.default_rng(2).choice(
        [-1, 1], (240 // (cell.side * BLOCK_CELLS), 288 // (cell.side * BLOCK_CELLS))
    )
    uneven = level + sigma * np.kron(blocks, np.ones((cell.side * BLOCK_CELLS,) * 2)).astype(np.float32)
    fine = level.copy()
    fine[(np.indices(fine.shape) // cell.side).sum(axis=0) % 2 > 0] += 2 * sigma
    for clean in (uneven, fine):
        restored = clean + np.float32(0.1 * sigma)
        remove_blotches(clean, restored, noise_of(cell), oracle(clean, cell), floor=FLOOR, saturation=1.0, cell=cell)
        assert np.median(restored - clean) == pytest.approx(0.1 * sigma, rel=0.15)
    restored = level + np.float32(0.1 * sigma)
    remove_blotches(level, restored, noise_of(cell), oracle(level, cell), floor=FLOOR, saturation=1.0, cell=cell)
    assert np.abs(restored - level).max() < 1e-3 * sigma  # the twin


@pytest.mark.parametrize(("level", "floor"), [(0.999, FLOOR), (0.01, -1e-4)], ids=["white", "black"])
def test_cut_off_noise_is_left_alone(level: float, floor: float) -> None:
    noisy = np.full((128, 128), level, np.float32)
    restored = np.full((128, 128), level - 0.01, np.float32)
    kept = restored.copy()
    cell = CFAPattern.RGGB
    remove_blotches(noisy, restored, noise_of(cell), oracle(noisy, cell), floor=floor, saturation=1.0, cell=cell)
    np.testing.assert_array_equal(restored, kept)


def test_what_clipping_at_black_adds_is_taken_off() -> None:
    """A black frame, cut off one deviation below black: its mean is 0.083 deviations too high, the network sees 0."""
    sigma, seen = np.sqrt(READ), []
    noisy = np.maximum(np.random.default_rng(3).normal(0, sigma, (512, 512)), -sigma).astype(np.float32)

    def denoise(mosaic: FloatArray, _noise: NoiseModel) -> FloatArray:
        seen.append(float(mosaic.mean(dtype=np.float64)))
        return np.zeros_like(mosaic)

    cell = CFAPattern.RGGB
    zeros = np.zeros_like(noisy)
    remove_blotches(noisy, zeros, noise_of(cell), denoise, floor=-float(sigma), saturation=1.0, cell=cell)
    error = 5 * sigma / 512
    assert seen[0] == pytest.approx(0, abs=error)
    assert float(noisy.mean(dtype=np.float64)) > 8 * error  # the twin


def test_noise_of_neighbours_that_are_alike() -> None:
    """The network is told the variance that the means of smoothed noise have."""
    own, next_to = 0.7, 0.3
    noise = np.random.default_rng(4).normal(0, 0.02, (2056, 2056))
    for axis in (0, 1):
        noise = own * noise + next_to * np.roll(noise, 2, axis)
    alike = own * next_to / (own**2 + next_to**2)
    noisy = (noise / (own**2 + next_to**2)).astype(np.float32)[:2048, :2048]
    told, seen = [], []

    def denoise(mosaic: FloatArray, noise: NoiseModel) -> FloatArray:
        told.append(float(noise.read_variance[0]))
        seen.append(float(mosaic.var(dtype=np.float64)))
        return mosaic

    model = NoiseModel(np.full(4, 1e-3), np.full(4, 4e-4), "given", correlation=(alike, alike))
    remove_blotches(noisy, np.zeros_like(noisy), model, denoise, floor=-1.0, saturation=1.0)
    assert told[0] / seen[0] == pytest.approx(1, abs=0.02)  # seven deviations
    assert seen[0] > 1.5 * 4e-4 / BLOCK_CELLS**2  # the twin: not that of white noise


@pytest.mark.parametrize(
    ("rows", "gain"),
    [(2 * BLOCK_CELLS * LEAST_BLOCKS - 2, GAIN), (400, 0.99 * LEAST_GAIN)],
    ids=["a tiny picture", "a low gain"],
)
def test_there_is_no_small_photo_of(rows: int, gain: float) -> None:
    noisy = np.zeros((rows, 400), np.float32)

    def never(_mosaic: FloatArray, _noise: NoiseModel) -> FloatArray:
        raise AssertionError

    noise = NoiseModel(np.full(4, gain), np.full(4, READ), "given")
    assert remove_blotches(noisy, noisy, noise, never, floor=-1.0, saturation=1.0) is noisy


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    cell = CFAPattern.RGGB
    clean, rng = smooth(cell, 600, 500), np.random.default_rng(5)
    noisy = (clean + rng.normal(0, 0.03, clean.shape)).astype(np.float32)
    rough = (clean + rng.normal(0, 0.002, clean.shape)).astype(np.float32)
    one, three = (
        remove_blotches(
            noisy, rough.copy(), noise_of(cell), oracle(clean, cell), floor=FLOOR, saturation=1.0, threads=threads
        )
        for threads in (1, 3)
    )
    np.testing.assert_array_equal(one, three)


def test_a_shipped_network_leaves_half_of_the_blotches_of_a_sky() -> None:
    card = load_family("fast")[-1]
    engine = OpenVINOEngine(card, threads=2, precision="f32")
    cell, noise, rng = card.cell, NoiseModel(np.full(4, 2.5e-2), np.full(4, 4e-4), "given"), np.random.default_rng(6)
    clean = mosaicked(np.broadcast_to(np.float32([0.15, 0.3, 0.4]), (768, 768, 3)), cell)
    noisy = (2.5e-2 * rng.poisson(clean / 2.5e-2) + rng.normal(0, 2e-2, clean.shape)).astype(np.float32)

    def denoise(mosaic: FloatArray, noise: NoiseModel) -> FloatArray:
        return denoise_tiled(engine, mosaic, KSigma.between(noise, card.anchor), card)

    restored = denoise(noisy, noise)
    before = np.square(small(restored - clean, cell)).mean()
    remove_blotches(noisy, restored, noise, denoise, floor=FLOOR, saturation=1.0)
    assert np.square(small(restored - clean, cell)).mean() < 0.45**2 * before


def test_greens_are_shifted_alike() -> None:
    """Gr and Gb whose means the small photo sees apart keep their distance."""
    cell = CFAPattern.RGGB
    level = np.full((128, 128), 0.2, np.float32)

    def denoise(mosaic: FloatArray, _noise: NoiseModel) -> FloatArray:
        apart = mosaic.copy()
        apart[0::2, 1::2] += 2e-3
        apart[1::2, 0::2] -= 1e-3
        return apart

    restored = remove_blotches(level, level.copy(), noise_of(cell), denoise, floor=FLOOR, saturation=1.0)
    np.testing.assert_allclose(restored[0::2, 1::2], restored[1::2, 0::2], atol=1e-7)
    assert restored[0::2, 1::2].mean() == pytest.approx(0.2005, abs=1e-5)


def test_what_is_no_noise_moves_by_three_deviations_at_most() -> None:
    """A wide hump that only one look has: no noise of a block is so high."""
    cell = CFAPattern.RGGB
    y, x = np.mgrid[:512, :512]
    level = np.full((512, 512), 0.2, np.float32)
    small_sigma = np.sqrt(GAIN * 0.2 + READ) / BLOCK_CELLS
    hump = 10 * small_sigma * np.exp(-((y - 256) ** 2 + (x - 256) ** 2) / (2 * 120**2))
    restored = (level + hump).astype(np.float32)
    before = restored.copy()
    remove_blotches(level, restored, noise_of(cell), oracle(level, cell), floor=FLOOR, saturation=1.0)
    most = 3 * np.sqrt(GAIN * before.max() + READ) / BLOCK_CELLS
    assert np.abs(restored - before).max() == pytest.approx(most, rel=0.05)


def test_blotches_on_a_ramp_go_as_on_flat_ground() -> None:
    """The step of a ramp from block to block is neither unevenness nor detail."""
    cell = CFAPattern.RGGB
    y, x = np.mgrid[:256, :256]
    ramp = (0.2 + 0.1 * x / 256 + 0.1 * y / 256).astype(np.float32)
    sigma = np.sqrt(GAIN * ramp + READ)
    blotch = 0.1 * sigma * np.sin(y / 30)
    restored = (ramp + blotch).astype(np.float32)
    remove_blotches(ramp, restored, noise_of(cell), oracle(ramp, cell), floor=FLOOR, saturation=1.0)
    inside = np.s_[32:-32, 32:-32]
    assert np.std(((restored - ramp) / sigma)[inside]) < 0.1 * np.std((blotch / sigma)[inside])
