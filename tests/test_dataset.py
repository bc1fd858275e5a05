"""Training data: the same batch for the same number, and the very input that inference makes of the same photo."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: rawkd[torch]")

from small_photos import noisy_photo  # noqa: E402
from tiny_models import make_card  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from rawkd.inference.tiling import denoise_tiled  # noqa: E402
from rawkd.photo import CFAPattern, Levels, RawPhoto, Rect  # noqa: E402
from rawkd.sensor.cfa import unify, unpack  # noqa: E402
from rawkd.sensor.ksigma import KSigma  # noqa: E402
from rawkd.training.config import Recipe  # noqa: E402
from rawkd.training.data import dataset  # noqa: E402
from rawkd.training.data.clean import CleanSet, find_pictures  # noqa: E402
from rawkd.training.data.clean_crops import linear_half_size, picture_crop  # noqa: E402
from rawkd.training.data.dataset import Batch, NoisyBatches  # noqa: E402
from rawkd.training.data.leaves import leaves_scene  # noqa: E402
from rawkd.training.data.synthesize import Camera, NoiseShare, camera_at  # noqa: E402
from rawkd.training.data.unprocess import linearise  # noqa: E402
from rawkd.training.losses.terms import to_signal  # noqa: E402
from rawkd.training.strategies.teacher import estimated_noise_of  # noqa: E402

SMALL = Recipe("small", "fanet", {}, batch=2, crop_px=16)
LIMIT = 1 << 30


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Coarse random patches, (height, width, 3) uint8."""
    patches = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return patches.repeat(8, 0).repeat(8, 1)[:height, :width]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> CleanSet:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(3):
        iio.imwrite(folder / f"{number}.png", photograph(90, 120, number))
    return CleanSet(sorted(folder.iterdir()), 32, LIMIT)


def equal(first: Batch, second: Batch) -> bool:
    tensors = zip(first[:-2], second[:-2], strict=True)
    return (
        all(torch.equal(a, b) for a, b in tensors)
        and first.cfa == second.cfa
        and (first.weaker is second.weaker or equal(first.weaker, second.weaker))
    )


def test_training_takes_the_best_of_places_and_validation_any(pictures: CleanSet) -> None:
    one, three = (replace(SMALL, tries=tries) for tries in (1, 3))
    trained = [NoisyBatches(pictures, recipe, 1, seed=1, length=1)[0] for recipe in (one, three)]
    judged = [NoisyBatches(pictures, recipe, 1, seed=1, length=1, exact=True)[0] for recipe in (one, three)]
    assert not equal(*trained)
    assert equal(*judged)


def test_validation_sees_pictures_alone(pictures: CleanSet) -> None:
    recipes = [replace(SMALL, leaves=leaves) for leaves in (0.0, 0.5)]
    assert equal(*(NoisyBatches(pictures, recipe, 1, seed=1, length=1, exact=True)[0] for recipe in recipes))


@pytest.mark.parametrize("leaves", [0.0, 0.5, 1.0])
def test_a_batch_depends_on_seed_and_number_alone(pictures: CleanSet, leaves: float) -> None:
    recipe = replace(SMALL, leaves=leaves)

    def batches(seed: int = 1) -> NoisyBatches:
        return NoisyBatches(pictures, recipe, 1, seed=seed, length=100)

    wanted = batches()[70]
    busy = batches()
    for index in (3, 71, 99, 2):
        busy[index]
    assert equal(busy[70], wanted)
    assert not equal(batches()[71], wanted)
    assert not equal(batches(2)[70], wanted)


@pytest.mark.parametrize("leaves", [0.0, 1.0])
def test_processes_make_the_same_batches(pictures: CleanSet, leaves: float) -> None:
    batches = NoisyBatches(pictures, replace(SMALL, leaves=leaves), 1, seed=1, length=5)
    loader = DataLoader(batches, batch_size=None, num_workers=2)
    for made, index in zip(loader, range(5), strict=True):
        assert equal(made, batches[index])


def test_shapes_and_ranges(pictures: CleanSet) -> None:
    batches = NoisyBatches(pictures, SMALL, 2, seed=1, length=10)
    assert len(batches) == 10
    batch = batches[0].to(torch.device("cpu"))
    assert batch.noisy.shape == batch.clean.shape == (2, 4, 16, 16)
    assert batch.scale.shape == batch.offset.shape == (2, 4)
    assert batch.white_balance.shape == (2, 3)
    assert batch.rgb_from_camera.shape == (2, 3, 3)
    assert batch.weaker is None
    assert all(tensor.dtype == torch.float32 for tensor in batch[:-2])
    assert batch.noisy.is_contiguous(memory_format=torch.channels_last)
    clean = (batch.clean - batch.offset[:, :, None, None]) / batch.scale[:, :, None, None]
    assert clean.min() > -1e-4
    assert clean.max() < 1 + 1e-4
    np.testing.assert_array_equal(batch.white_balance[:, 1], 1)
    torch.testing.assert_close(batch.rgb_from_camera.sum(2), torch.ones(2, 3), atol=1e-5, rtol=0)


QUARTER = NoiseShare(0.25, 0.25)


def test_a_second_noise_leaves_the_first_as_it_is(pictures: CleanSet) -> None:
    recipe = replace(SMALL, leaves=0.5)
    alone = NoisyBatches(pictures, recipe, 1, seed=1, length=100)
    both, again = (NoisyBatches(pictures, recipe, 1, seed=1, length=100, weaker=QUARTER) for _ in range(2))
    again[3]
    first, second = both[70], both[70].weaker
    assert equal(first._replace(weaker=None), alone[70])
    assert equal(first, again[70])
    assert not torch.equal(second.noisy, both[71].weaker.noisy)
    moved = first.to(torch.device("cpu")).weaker
    assert moved.noisy.is_contiguous(memory_format=torch.channels_last)
    assert equal(first.first(1).weaker, second.first(1))
    assert len(first.first(1).weaker.noisy) == 1


def test_the_second_noise_is_of_the_same_crops(pictures: CleanSet) -> None:
    batch = NoisyBatches(pictures, SMALL, 1, seed=1, length=1, weaker=QUARTER)[0]
    weaker = batch.weaker
    torch.testing.assert_close(to_signal(weaker.clean, weaker), to_signal(batch.clean, batch), atol=1e-5, rtol=0)
    # the estimate is a quarter, errors included: four times the electrons
    torch.testing.assert_close(weaker.scale, 4 * batch.scale)
    pairs = zip(estimated_noise_of(weaker, SMALL.anchor(1)), estimated_noise_of(batch, SMALL.anchor(1)), strict=True)
    for own, full in pairs:
        torch.testing.assert_close(own, full / 4, rtol=1e-3, atol=1e-12)
    noise, other = ((seen.noisy - seen.clean).flatten() for seen in (batch, weaker))
    # fresh noise has no correlation but by chance, five standard errors of it; the same noise would have 1
    assert abs(float(torch.corrcoef(torch.stack((noise, other)))[0, 1])) < 5 / len(noise) ** 0.5


def test_sigma_is_the_rms_noise(pictures: CleanSet) -> None:
    recipe = replace(SMALL, batch=6, crop_px=16)
    batch = NoisyBatches(pictures, recipe, 1, seed=1, length=1, exact=True)[0]
    measured = (batch.noisy - batch.clean).square().mean((1, 2, 3)).sqrt()
    # 1024 samples of level-dependent noise: the rms has a relative deviation of about 1 / sqrt(2 * 1024) * 1.5 = 3.3 %
    np.testing.assert_allclose(batch.sigma, measured, rtol=0.17)
    assert not np.allclose(2 * batch.sigma, measured, rtol=0.17)


def test_validation_is_told_the_truth(pictures: CleanSet, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = camera_at(1e-3)
    monkeypatch.setattr(dataset, "draw_camera", lambda *_, **__: camera)
    exact, erring = (NoisyBatches(pictures, SMALL, 2, seed=1, length=1, exact=truth)[0] for truth in (True, False))
    ksigma = KSigma.between(camera.noise_model(), SMALL.anchor(2))
    np.testing.assert_array_equal(exact.scale, np.tile(ksigma.scale, (2, 1)).astype(np.float32))
    assert not np.allclose(erring.scale, exact.scale)


class Recorder:
    """An engine that gives back what it is given, and keeps it."""

    device, precision, streams = "cpu", "f32", 1

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def run(self, planes: np.ndarray) -> np.ndarray:
        self.seen.append(planes.copy())
        return planes


def photo_of(signal: np.ndarray, camera: Camera, cut: int) -> RawPhoto:
    """The (H, W) signal as the file of that camera would hold it, without `cut` rows and columns at the top left."""
    black, white = float(camera.black_dn), float(camera.white_dn + camera.black_dn)
    levels = Levels(np.array([[black]]), white, white, 14)
    frame = np.rint(signal.astype(np.float64) * camera.white_dn + black).astype(np.uint16)
    height, width = frame.shape
    photo = replace(
        noisy_photo(), frame=frame, levels=levels, pattern=CFAPattern.RGGB,
        active_area=Rect(0, 0, height, width), default_crop=Rect(0, 0, height, width),
    )  # fmt: skip
    return photo.cut(Rect(cut, cut, height - cut, width - cut)) if cut else photo


@pytest.mark.parametrize("cut", [0, 1], ids=["RGGB", "BGGR"])
def test_training_sees_what_inference_sees(pictures: CleanSet, monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    camera, signals = camera_at(1e-3), []

    def remember(*arguments: Any) -> np.ndarray:
        noisy = add_noise(*arguments)
        signals.append(noisy)
        return noisy

    add_noise = dataset.add_noise
    monkeypatch.setattr(dataset, "draw_camera", lambda *_, **__: camera)
    monkeypatch.setattr(dataset, "add_noise", remember)
    recipe = replace(SMALL, batch=1)
    batch = NoisyBatches(pictures, recipe, 2, seed=3, length=1, exact=True)[0]

    photo = photo_of(unpack(signals[0]), camera, cut)
    assert photo.pattern == (CFAPattern.BGGR if cut else CFAPattern.RGGB)
    unified, _ = unify(photo.mosaic)
    engine, card = Recorder(), make_card("whole", 1e-5, 1e-2, stride=2, halo=0, tile=32)
    denoise_tiled(engine, unified, KSigma.between(camera.noise_model(), recipe.anchor(2)), card)
    (seen,) = engine.seen
    inner = np.s_[..., cut : 16 - cut, cut : 16 - cut]  # a cut cell is reflected, not seen
    np.testing.assert_array_equal(seen[inner], batch.noisy.numpy()[inner])
    assert not np.array_equal(seen[inner], NoisyBatches(pictures, recipe, 1, seed=3, length=1)[0].noisy.numpy()[inner])


def test_pictures_are_drawn_by_area(tmp_path: Path) -> None:
    iio.imwrite(tmp_path / "large.png", np.full((120, 120, 3), 255, np.uint8))
    iio.imwrite(tmp_path / "small.png", np.zeros((60, 60, 3), np.uint8))
    clean = CleanSet(sorted(tmp_path.iterdir()), 32, LIMIT)
    rng = np.random.default_rng(0)
    large = np.mean([clean.draw(rng).shape == (120, 120, 3) for _ in range(1000)])
    assert large == pytest.approx(0.8, abs=5 * 0.4 / np.sqrt(1000))


def test_memory_changes_no_crop(pictures: CleanSet) -> None:
    forgetful = CleanSet(pictures.paths, 32, 90 * 120 * 3)
    assert len(forgetful._decoded) == 1
    for seed in range(4):
        first, second = (picture_crop(clean, 16, np.random.default_rng(seed)) for clean in (pictures, forgetful))
        np.testing.assert_array_equal(first.planes, second.planes)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_16_bits_are_8_bits_made_finer(tmp_path: Path, dtype: type) -> None:
    scale = 257 if dtype == np.uint16 else 1
    picture = photograph(70, 80).astype(dtype) * dtype(scale)
    path = tmp_path / "photo.tif"
    iio.imwrite(path, picture)
    clean = CleanSet([path], 32, LIMIT)
    assert clean.draw(np.random.default_rng(0)).dtype == dtype
    np.testing.assert_allclose(linearise(picture), linearise(photograph(70, 80)), atol=1e-7)
    for seed in range(6):  # whole and half size
        assert picture_crop(clean, 16, np.random.default_rng(seed)).planes.shape == (4, 16, 16)


def test_half_size_is_the_mean_of_four() -> None:
    picture = photograph(16, 24)
    picture[0, 0], picture[0, 1], picture[1, 0], picture[1, 1] = 10, 11, 11, 12
    half = linear_half_size(picture)
    assert half.shape == (8, 12, 3)
    np.testing.assert_allclose(half[0, 0], linearise(np.full(3, 11 / 255)), rtol=1e-6)
    np.testing.assert_allclose(half[4:, 4:], linearise(picture)[8::2, 8::2], rtol=1e-6)  # patches of eight
    finer = linear_half_size(np.full((2, 2, 3), 10, np.uint8) + np.eye(2, dtype=np.uint8)[:, :, None])
    np.testing.assert_allclose(finer[0, 0], linearise(np.full(3, 10.5 / 255)), rtol=1e-6)


def test_crops_of_raw_files_are_their_binned_samples(tmp_path: Path) -> None:
    from rawkd.files.write.dng import write_dng

    photo = noisy_photo(pattern=CFAPattern.GRBG)
    write_dng(tmp_path / "photo.dng", photo, preview=None, software="rawkd test")
    training, _ = find_pictures([tmp_path], 32)
    planes = training.draw(np.random.default_rng(0))
    assert planes.dtype == np.float32
    mosaic = photo.mosaic.data[:, 1:]  # GRBG without its first column is RGGB
    np.testing.assert_allclose(planes[0, 0, 0], mosaic[:4:2, :4:2].mean(), rtol=1e-5)
    np.testing.assert_allclose(planes[2, 3, 5], mosaic[13:17:2, 20:24:2].mean(), rtol=1e-5)
    crop = picture_crop(training, 16, np.random.default_rng(1))
    assert crop.planes.shape == (4, 16, 16)
    assert 0 < crop.planes.mean() < 1
    batch = NoisyBatches(training, SMALL, 1, seed=1, length=1)[0]
    assert torch.isfinite(batch.noisy).all()


class Scenes(CleanSet):
    """Arrays instead of files."""

    def __init__(self, *arrays: np.ndarray) -> None:
        self.paths = [Path(str(number)) for number in range(len(arrays))]
        self._decoded = dict(zip(self.paths, arrays, strict=True))
        self._ends = np.arange(1.0, len(arrays) + 1)


def test_turned_raws_keep_their_colours() -> None:
    planes = np.empty((4, 17, 17), np.float32)
    planes[:] = np.array([0.1, 0.2, 0.3, 0.4], np.float32)[:, None, None]
    for seed in range(16):
        crop = picture_crop(Scenes(planes), 16, np.random.default_rng(seed)).planes
        assert crop.shape == (4, 16, 16)
        np.testing.assert_allclose(np.ptp(crop, axis=(1, 2)), 0, atol=1e-7)
        ratios = crop[:, 0, 0] / crop[0, 0, 0]
        if crop.max() < 1:
            # a transpose swaps the greens
            assert np.allclose(ratios, [1, 2, 3, 4], rtol=1e-5) or np.allclose(ratios, [1, 3, 2, 4], rtol=1e-5)


def test_scenes_of_leaves_are_repeatable_pictures() -> None:
    for seed in range(30):
        scene = leaves_scene(64, np.random.default_rng(seed))
        assert scene.shape == (64, 64, 3)
        assert scene.dtype == np.float32
        assert scene.min() >= 0
        assert scene.max() <= 1
        np.testing.assert_array_equal(scene, leaves_scene(64, np.random.default_rng(seed)))
    assert not np.array_equal(scene, leaves_scene(64, np.random.default_rng(99)))


def spectrum_slope(picture: np.ndarray) -> float:
    """Slope of log power over log frequency, from 4 cycles a picture to 1/4 cycle a pixel."""
    grey = picture.mean(axis=2, dtype=np.float64)
    side = len(grey)
    window = np.hanning(side)[:, None] * np.hanning(side)
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    edges = np.geomspace(4 / side, 0.25, 9)
    bands = [power[(radius >= low) & (radius < high)].mean() for low, high in pairwise(edges)]
    return float(np.polyfit(np.log(np.sqrt(edges[1:] * edges[:-1])), np.log(bands), 1)[0])


def test_leaves_fall_off_as_photographs_do() -> None:
    scenes = [leaves_scene(192, np.random.default_rng(seed)) for seed in range(24)]
    slopes = np.array([spectrum_slope(scene) for scene in scenes if scene.mean(axis=2).std() > 0.01])
    assert len(slopes) > 12
    assert -3.0 < np.median(slopes) < -1.6
    noise = np.random.default_rng(0).random((192, 192, 3))
    assert spectrum_slope(noise) > -0.5
    y, x = np.mgrid[0:192, 0:192] / 192
    assert spectrum_slope(np.stack([np.exp(-30 * ((x - 0.5) ** 2 + (y - 0.5) ** 2))] * 3, -1)) < -5


def test_real_photographs_have_such_slopes(data: Path) -> None:
    paths = sorted((data / "photos").glob("*.jpg"))[:8]
    slopes = [spectrum_slope(linearise(iio.imread(path)[:192, :192])) for path in paths]
    assert -3.0 < np.median(slopes) < -1.6


def test_scenes_follow_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def scene(side_px: int, _: np.random.Generator) -> np.ndarray:
        made.append(side_px)
        return np.full((side_px, side_px, 3), 0.2, np.float32)

    monkeypatch.setattr(dataset, "leaves_scene", scene)
    batches = NoisyBatches(None, replace(SMALL, batch=16, crop_px=8), 1, seed=1, length=1000)
    for index in range(400):
        batches[index]
        assert len(batches._scenes) <= dataset.LEAVES_SCENES
    assert len(made) <= 400 / dataset.LEAVES_BATCHES + dataset.LEAVES_SCENES
    assert set(made) == {32}
