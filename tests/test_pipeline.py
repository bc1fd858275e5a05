"""The story from photo to photo, with students that need no training: an identity and a blur."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from noisy_scenes import leaves, noisy
from numpy.typing import NDArray
from small_photos import GAIN, READ_VARIANCE, clean_signal, noisy_photo
from tiny_models import even_blur, identity, make_model

from rawkd.errors import InputError, ModelError, OutputError, UsageError
from rawkd.files.naming import plan_outputs
from rawkd.files.read.raw import read_raw
from rawkd.files.read.sidecar import read_sidecar
from rawkd.files.write.dng import write_dng
from rawkd.inference.engine import Engine
from rawkd.inference.tiling import denoise_tiled
from rawkd.photo import BAYER_PHASES, Capture, CFAPattern, FloatArray, Levels, RawPhoto, Rect, Tag, camera_name
from rawkd.photo.orientation import orient
from rawkd.photo.region import sensor_rect
from rawkd.process import ProcessOptions, process_file
from rawkd.render.view import render
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import Prepared, denoise, restore
from rawkd.restore.region import part_with_context
from rawkd.restore.treatment import profile_left
from rawkd.sensor.estimate_warnings import LITTLE_SMOOTH_AREA, SHADOWS_UNKNOWN
from rawkd.sensor.ksigma import KSigma
from rawkd.sensor.noise import NoiseModel

NOISE = (GAIN, READ_VARIANCE)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF></rdf:RDF></x:xmpmeta>'


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def blurring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("blur")
    make_model(directory / "blur", even_blur, subrange=[1e-5, 1e-1], tile=64)
    return directory


@pytest.fixture(scope="module")
def keeping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("identity")
    make_model(directory / "identity", identity, subrange=[1e-5, 1e-1], tile=64)
    return directory


def rms_error(photo: RawPhoto) -> float:
    """RMS of mosaic - clean, away from the border."""
    error = photo.mosaic.data - clean_signal(*photo.mosaic.data.shape)
    return float(np.sqrt(np.mean(np.square(error[8:-8, 8:-8], dtype=np.float64))))


@pytest.mark.parametrize("pattern", BAYER_PHASES)
@pytest.mark.parametrize("ensemble", [1, 8])
def test_the_blur_denoises_every_phase(pattern: CFAPattern, ensemble: int, blurring: Path) -> None:
    """Two binomial blurs leave (sum of squared weights) = (70/256)^2 of the variance; the waves lose next to nothing.

    The estimate of a variance from n correlated samples, some 60 of them a blurred one, scatters by sqrt(2 * 60 / n)
    = 5 % at n = 53,000; five times that are allowed.
    """
    photo = noisy_photo(pattern=pattern)
    result = denoise(photo, DenoiseOptions(model=blurring, noise=NOISE, ensemble=ensemble, device="cpu"))
    before, after = rms_error(photo), rms_error(result.photo)
    assert after**2 == pytest.approx(before**2 * (70 / 256) ** 2, rel=0.25)
    assert result.student == "blur"
    change = (result.mosaic.data - photo.mosaic.data)[8:-8, 8:-8]
    assert abs(change.mean(dtype=np.float64)) < 5 * before / np.sqrt(change.size)


def test_a_network_that_keeps_everything_denoises_nothing(keeping: Path) -> None:
    """The twin of the test above: it fails there."""
    photo = noisy_photo()
    result = denoise(photo, DenoiseOptions(model=keeping, noise=NOISE, device="cpu"))
    assert rms_error(result.photo) == pytest.approx(rms_error(photo), rel=1e-3)


@pytest.mark.parametrize("pattern", BAYER_PHASES)
@pytest.mark.parametrize("ensemble", [1, 2, 4, 8])
def test_the_identity_gives_every_integer_back(pattern: CFAPattern, ensemble: int, keeping: Path) -> None:
    photo = noisy_photo(47, 62, pattern=pattern)
    result = denoise(photo, DenoiseOptions(model=keeping, noise=NOISE, ensemble=ensemble, device="cpu"))
    np.testing.assert_array_equal(result.photo.frame, photo.frame)


def test_noise_below_black_reaches_the_network_and_comes_back(keeping: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clipped at black, shadows would turn brighter: half of the noise of a dark frame lies below it."""
    photo = noisy_photo(64, 72)
    rng = np.random.default_rng(5)
    dark = np.clip(np.rint(rng.normal(512, 150, photo.frame.shape)), 0, None).astype(np.uint16)
    photo, seen = replace(photo, frame=dark), []

    def watched(engine: Engine, rggb: FloatArray, ksigma: KSigma, *others: Any, **more: Any) -> FloatArray:
        seen.append(rggb.min())
        return denoise_tiled(engine, rggb, ksigma, *others, **more)

    monkeypatch.setattr("rawkd.restore.mosaic.denoise_tiled", watched)
    result = denoise(photo, DenoiseOptions(model=keeping, noise=NOISE, device="cpu", ensemble=1))
    np.testing.assert_array_equal(result.photo.frame, photo.frame)
    assert seen[0] == photo.mosaic.data.min() < -0.02


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (5, 4)])
def test_tiny_photos(size: tuple[int, int], blurring: Path) -> None:
    height, width = size
    area = Rect(0, 0, height, width)
    whole = noisy_photo(20, 20).cut(Rect(3, 4, 12, 12))
    photo = replace(whole, frame=whole.frame[:height, :width].copy(), active_area=area, default_crop=area)
    result = denoise(photo, DenoiseOptions(model=blurring, noise=NOISE, device="cpu"))
    assert result.photo.mosaic.data.shape == size


@pytest.mark.parametrize("options", [{"strength": 0.0}, {"luma": 0.0, "chroma": 0.0}])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_nothing_removed_is_the_photo_itself(options: dict[str, float], bits: int) -> None:
    photo = noisy_photo(bits=bits)
    result = denoise(photo, DenoiseOptions(noise=NOISE, model="needs none", **options))
    assert result.photo is photo
    assert result.student is None


def test_half_the_strength_removes_half(blurring: Path) -> None:
    photo = noisy_photo()
    whole = denoise(photo, DenoiseOptions(model=blurring, noise=NOISE, device="cpu")).mosaic.data
    half = denoise(photo, DenoiseOptions(model=blurring, noise=NOISE, strength=0.5, device="cpu")).mosaic.data
    np.testing.assert_allclose(half, (whole + photo.mosaic.data) / 2, atol=1e-6)


@pytest.mark.parametrize(("bits", "factor"), [(8, 64), (10, 16), (12, 4), (13, 2), (14, 1), (16, 1)])
def test_finer_integers(bits: int, factor: int) -> None:
    photo = noisy_photo(bits=bits)
    fine = photo.in_finer_integers(14)
    assert fine.levels.bits == max(bits, 14)
    assert fine.levels.white_dn == photo.levels.white_dn * factor
    np.testing.assert_array_equal(fine.frame, photo.frame * factor)
    np.testing.assert_array_equal(fine.mosaic.data, photo.mosaic.data)


def test_finer_integers_never_overflow() -> None:
    photo = noisy_photo(bits=10)
    photo.frame[0, 0] = 9000
    assert photo.in_finer_integers(14).frame[0, 0] == 9000 * 4


def test_shadows_of_a_12_bit_source_are_not_posterised(blurring: Path) -> None:
    photo = noisy_photo(bits=12)
    result = denoise(photo, DenoiseOptions(model=blurring, noise=NOISE, device="cpu"))
    assert len(np.unique(result.photo.frame)) > 2 * len(np.unique(photo.frame))


def test_progress_rises_to_one(blurring: Path) -> None:
    seen: list[float] = []
    denoise(noisy_photo(), DenoiseOptions(model=blurring, noise=NOISE, ensemble=4, device="cpu"), seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert len(seen) >= 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"strength": 1.1},
        {"strength": "0.5"},
        {"luma": -0.1},
        {"chroma": float("nan")},
        {"ensemble": 3},
        {"ensemble": [1]},
        {"threads": 0},
        {"threads": "2"},
        {"noise": (5, 1)},
        {"noise": (1e-3,)},
        {"noise": (1e-3, 1e-5, 7)},
        {"noise": (0, 1e-5)},
        {"noise": (1e-3, float("nan"))},
        {"noise": "6e-3"},
        {"noise": 6e-3},
    ],
    ids=str,
)
def test_options_that_make_no_sense(wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(UsageError, match=f"^{re.escape(f'{name} {value!r}: give ')}"):
        DenoiseOptions(**wrong)


def test_options_of_other_programs_become_plain_values() -> None:
    """Numbers of NumPy, and text for a path, as a batch and the calibration reader take them."""
    found = DenoiseOptions(strength=np.float32(0.5), noise=np.array([1e-3, 1e-6]), calibration="camera.json")  # type: ignore[arg-type]
    assert found == DenoiseOptions(strength=0.5, noise=(1e-3, 1e-6), calibration=Path("camera.json"))
    assert json.loads(json.dumps([found.strength, found.noise])) == [0.5, [1e-3, 1e-6]]


@given(st.integers(0, 7), st.integers(0, 9), st.integers(1, 12), st.integers(1, 10), st.integers(0, 99))
def test_a_cut_keeps_colour_and_level_of_every_sample(top: int, left: int, height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels = Levels(rng.uniform(90, 110, (4, 2)), 4000.0, 4000.0, 12, rng.uniform(-2, 2, 20), rng.uniform(-2, 2, 20))
    photo = replace(noisy_photo(20, 20), levels=levels)
    rect = Rect(top, left, height, width)
    part = photo.cut(rect)
    np.testing.assert_array_equal(part.mosaic.data, photo.mosaic.data[rect.slices])
    sites = photo.pattern.class_of_site
    assert part.pattern.class_of_site[0, 0] == sites[top % 2, left % 2]


def test_a_cut_stays_inside() -> None:
    with pytest.raises(InputError, match="extends beyond the active area"):
        noisy_photo(20, 20).cut(Rect(10, 10, 11, 4))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_region_of_the_upright_picture_is_found_on_the_sensor(orientation: int) -> None:
    photo = noisy_photo(30, 44, orientation=orientation)
    positions = np.arange(30 * 44).reshape(30, 44)
    upright = orient(positions[photo.default_crop.slices], orientation)
    region = Rect(3, 5, 9, 7)
    found = positions[sensor_rect(region, photo).slices]
    np.testing.assert_array_equal(orient(found, orientation), upright[region.slices])


def test_a_region_outside_is_refused() -> None:
    with pytest.raises(UsageError, match="extends beyond the picture of 39 x 27 pixels"):
        sensor_rect(Rect(0, 30, 4, 10), noisy_photo(30, 44))


def written(tmp_path: Path, photo: RawPhoto) -> Path:
    path = tmp_path / "photo.dng"
    write_dng(path, photo, preview=None, software="test", noise_profile=photo.noise_profile)
    return path


def test_strength_0_copies_every_sample(tmp_path: Path) -> None:
    path = written(tmp_path, noisy_photo(bits=12))
    report = process_file(path, tmp_path / "out.dng", ProcessOptions(DenoiseOptions(strength=0.0, noise=NOISE)))
    before, after = read_raw(path), read_raw(report.output)
    np.testing.assert_array_equal(after.frame, before.frame)
    assert after.levels.white_dn == before.levels.white_dn
    assert after.noise_profile == pytest.approx(before.noise_profile)


def test_dng_to_dng(tmp_path: Path, blurring: Path) -> None:
    path = written(tmp_path, noisy_photo(bits=12, orientation=6))
    (tmp_path / "photo.xmp").write_bytes(XMP)
    options = ProcessOptions(DenoiseOptions(model=blurring, noise=NOISE, device="cpu"))
    report = process_file(path, tmp_path / "out.dng", options)
    before, after = read_raw(path), read_raw(tmp_path / "out.dng")
    assert after.pattern == before.pattern
    assert after.active_area == before.active_area
    assert after.default_crop == before.default_crop
    assert after.orientation == 6
    assert after.levels.white_dn == 4 * before.levels.white_dn
    assert after.noise_profile == ()
    assert rms_error(after) < 0.5 * rms_error(before)
    assert XMP in (tmp_path / "out.dng").read_bytes()
    assert (report.width, report.height) == (before.default_crop.width, before.default_crop.height)
    assert set(report.seconds) == {"read", "noise", "denoise", "render", "write", "total"}
    assert all(value > 0 for value in report.seconds.values())


def test_noise_profile_of_what_is_left(blurring: Path) -> None:
    photo = noisy_photo()
    options = DenoiseOptions(model=blurring, noise=NOISE, strength=0.5, device="cpu")
    half = denoise(photo, options)

    def left(**changes: float) -> tuple[float, ...]:
        return profile_left(replace(half, options=replace(options, **changes)))

    assert left() == pytest.approx(tuple(0.25 * value for value in NOISE * 3))
    assert left(strength=0.8) == pytest.approx(tuple(0.04 * value for value in NOISE * 3))
    assert left(strength=0.95) == ()
    assert left(strength=1.0, luma=0.5) == pytest.approx((0.25 * GAIN, 0.25 * READ_VARIANCE) * 3)
    assert left(strength=0.0) == photo.noise_profile
    assert profile_left(replace(half, noise=replace(half.noise, source="iso"))) == ()


def test_a_photo_with_next_to_no_noise_stays_as_it_is(blurring: Path, tmp_path: Path) -> None:
    """Far below its gains a network's answer is no picture: the family begins at 1e-5."""
    path = written(tmp_path, noisy_photo())
    options = ProcessOptions(DenoiseOptions(model=blurring, noise=(1e-5 / 4.1, 1e-12), device="cpu"))
    report = process_file(path, tmp_path / "out.dng", options)
    assert report.student is None
    assert "so nothing was removed: if you see grain, give more noise" in report.warnings[-1]
    before, after = read_raw(path), read_raw(tmp_path / "out.dng")
    np.testing.assert_array_equal(after.frame, before.frame)
    assert after.noise_profile == before.noise_profile
    noisier = replace(options, denoise=replace(options.denoise, noise=(1e-5 / 3.9, 1e-12)))
    assert process_file(path, tmp_path / "other.dng", noisier).student == "blur"


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_crop_is_that_part_of_the_whole_picture(tmp_path: Path, blurring: Path, orientation: int) -> None:
    from PIL import Image

    path = written(tmp_path, noisy_photo(orientation=orientation))
    options = ProcessOptions(DenoiseOptions(model=blurring, noise=NOISE, device="cpu"))
    region = Rect(top=81, left=50, height=60, width=70)
    process_file(path, tmp_path / "whole.jpg", replace(options, jpeg_quality=100))
    process_file(path, tmp_path / "part.jpg", replace(options, jpeg_quality=100, crop=region))
    whole = np.asarray(Image.open(tmp_path / "whole.jpg"), np.int16)
    part = np.asarray(Image.open(tmp_path / "part.jpg"), np.int16)
    assert part.shape == (60, 70, 3)
    # Both went through JPEG with another block grid: a level or two each.
    assert np.abs(part - whole[region.slices]).max() <= 6
    assert np.abs(part - whole[region.slices]).mean() < 0.7
    assert np.abs(part - np.roll(whole, 2, axis=1)[region.slices]).mean() > 1.0


def test_a_crop_of_the_shipped_students_is_that_part_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun elsewhere on the students' grid of pooled cells, a crop would show other leftovers of the noise."""
    photo, region = noisy_photo(1280, 1280), Rect(top=610, left=640, height=80, width=90)
    photo = photo.with_mosaic(noisy(leaves(1280, texture=0.5), GAIN, READ_VARIANCE, pattern=photo.pattern))
    options = DenoiseOptions(noise=NOISE, device="cpu", precision="f32")
    whole = denoise(photo, options).mosaic.data[sensor_rect(region, photo).slices]

    def difference() -> float:
        part = part_with_context(photo, region, options)
        assert part.mosaic.data.size < photo.mosaic.data.size / 2
        rows, columns = part.default_crop.slices
        return float(np.sqrt(np.mean((denoise(part, options).mosaic.data[rows, columns] - whole) ** 2)))

    noise = np.sqrt(GAIN * 0.3 + READ_VARIANCE)
    assert difference() < 5e-3 * noise
    monkeypatch.setattr("rawkd.restore.region.math.lcm", lambda *_cells: 2)
    assert difference() > 0.1 * noise


def test_a_picture_is_what_the_restoration_renders(tmp_path: Path, blurring: Path) -> None:
    import tifffile

    path = written(tmp_path, noisy_photo())
    options = ProcessOptions(
        DenoiseOptions(model=blurring, noise=NOISE, device="cpu"), exposure_ev=0.5, demosaic="bilinear"
    )
    process_file(path, tmp_path / "out.tif", options)
    restoration = denoise(read_raw(path), options.denoise)
    expected = render(
        restoration.photo, mosaic=restoration.mosaic, exposure_ev=0.5, demosaic="bilinear", dtype=np.uint16
    )
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), expected)


@pytest.mark.parametrize(
    ("make", "model", "name"),
    [
        ("Canon", "Canon EOS 6D", "Canon EOS 6D"),
        ("NIKON CORPORATION", "NIKON D3X", "NIKON D3X"),
        ("Panasonic", "DMC-G1 ", "Panasonic DMC-G1"),
        ("", "ILCE-7", "ILCE-7"),
        ("Sony", "", "Sony"),
        ("", "", ""),
    ],
)
def test_names_of_cameras(make: str, model: str, name: str) -> None:
    assert camera_name(Capture(make=make, model=model)) == name


def test_what_is_dropped_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = replace(noisy_photo(), dropped=("maker notes", "opcode list 1"))
    (tmp_path / "a.cr2").write_bytes(b"read by the next line")
    monkeypatch.setattr("rawkd.process.read_raw", lambda _path, **_named: photo)
    options = ProcessOptions(DenoiseOptions(strength=0.0, noise=NOISE))
    said = process_file(tmp_path / "a.cr2", tmp_path / "a.dng", options).warnings
    assert said == ("not copied to the DNG: maker notes, opcode list 1. Keep the original file.",)
    assert process_file(tmp_path / "a.cr2", tmp_path / "a.png", options).warnings == ()


def at_places(picture: NDArray[np.uint16], places: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """A picture interpolated along one axis, by numpy."""
    own = np.arange(picture.shape[axis])
    return np.apply_along_axis(lambda line: np.interp(places, own, line), axis, picture.astype(np.float64))


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("aspect", [1.5346, 0.5])
def test_a_picture_of_oblong_pixels_is_stretched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aspect: float, orientation: int
) -> None:
    """Along one axis, to its nearest size; a crop of it has the same pixels. A DNG states the ratio instead."""
    import tifffile

    photo = replace(noisy_photo(orientation=orientation), pixel_aspect=aspect)
    (tmp_path / "a.kdc").write_bytes(b"read by the next line")
    monkeypatch.setattr("rawkd.process.read_raw", lambda _path, **_named: photo)
    options = ProcessOptions(DenoiseOptions(strength=0.0, noise=NOISE))
    report = process_file(tmp_path / "a.kdc", tmp_path / "whole.tif", options)
    whole = tifffile.imread(tmp_path / "whole.tif")
    square = render(photo, dtype=np.uint16)
    axis = int((aspect > 1) == (orientation < 5))
    size = round(square.shape[axis] * max(aspect, 1 / aspect))
    assert (whole.shape[axis], whole.shape[1 - axis]) == (size, square.shape[1 - axis])
    assert (report.height, report.width) == photo.upright_size == whole.shape[:2]
    assert report.warnings == ()
    places = (np.arange(size) + 0.5) * square.shape[axis] / size - 0.5
    assert np.abs(whole - at_places(square, places, axis)).max() <= 0.51  # rounding, and that of float32 places
    region = Rect(top=71, left=50, height=60, width=77)
    process_file(tmp_path / "a.kdc", tmp_path / "part.tif", replace(options, crop=region))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "part.tif"), whole[region.slices])
    report = process_file(tmp_path / "a.kdc", tmp_path / "a.dng", options)
    assert (report.width, report.height) == (photo.default_crop.width, photo.default_crop.height)
    assert report.warnings == ()
    assert read_raw(tmp_path / "a.dng").pixel_aspect == pytest.approx(aspect)


@pytest.mark.parametrize("orientation", [1, 8])
def test_a_picture_shows_what_the_user_cropped_in_the_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: int
) -> None:
    """The DNG keeps all pixels and the field (DefaultUserCrop), so that an editor can show them all."""
    import tifffile

    crop = Rect(22, 14, 150, 266)  # of a default crop of 200 x 296 at 2, 4
    ends = np.array([20, 200, 10, 296, 170, 200, 276, 296], "<u4").tobytes()
    plain = noisy_photo(orientation=orientation)
    photo = replace(plain, user_crop=crop, tags=(Tag(51125, 5, 4, ends),))
    (tmp_path / "a.dng").write_bytes(b"read by the next line")
    monkeypatch.setattr("rawkd.process.read_raw", lambda _path, **_named: photo)
    options = ProcessOptions(DenoiseOptions(strength=0.0, noise=NOISE))
    process_file(tmp_path / "a.dng", tmp_path / "a.tif", options)
    shown = tifffile.imread(tmp_path / "a.tif")
    np.testing.assert_array_equal(shown, render(plain, dtype=np.uint16, rect=crop))
    assert shown.shape[:2] == ((150, 266) if orientation == 1 else (266, 150))
    region = Rect(top=30, left=40, height=50, width=60)
    process_file(tmp_path / "a.dng", tmp_path / "part.tif", replace(options, crop=region))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "part.tif"), shown[region.slices])
    process_file(tmp_path / "a.dng", tmp_path / "out.dng", options)
    again = read_raw(tmp_path / "out.dng")
    assert again.default_crop == plain.default_crop
    assert again.user_crop == Rect(22, 14, 150, 266)
    with tifffile.TiffFile(tmp_path / "out.dng") as tif:
        assert tif.pages[0].shape[:2] == (75, 133)  # the preview, in sensor orientation


def test_outputs_are_refused_before_any_work(tmp_path: Path) -> None:
    photo, missing = tmp_path / "not even raw.dng", tmp_path / "my photo.dng"
    photo.write_bytes(b"bytes")
    (tmp_path / "old.dng").write_bytes(b"old")
    with pytest.raises(OutputError, match="exists"):
        process_file(photo, tmp_path / "old.dng")
    with pytest.raises(OutputError, match="does not exist"):
        process_file(photo, tmp_path / "none" / "new.dng")
    with pytest.raises(UsageError, match=r"\.dng, \.tif"):
        process_file(photo, tmp_path / "new.gif")
    with pytest.raises(InputError, match=r"my photo\.dng: there is no such file\. Check the name; a name with spaces"):
        process_file(missing, tmp_path / "none" / "new.dng")


def test_a_missing_family_is_a_model_error(tmp_path: Path) -> None:
    path = written(tmp_path, noisy_photo())
    with pytest.raises(ModelError):
        process_file(path, tmp_path / "out.dng", ProcessOptions(DenoiseOptions(model=tmp_path, noise=NOISE)))
    assert not (tmp_path / "out.dng").exists()


def test_names_of_outputs(tmp_path: Path) -> None:
    a, b = tmp_path / "a.cr2", tmp_path / "b.DNG"
    assert plan_outputs([a, b], None, None) == {a: tmp_path / "a-denoised.dng", b: tmp_path / "b-denoised.dng"}
    assert plan_outputs([a], None, "jpeg") == {a: tmp_path / "a-denoised.jpg"}
    assert plan_outputs([a], None, None, cropped=True) == {a: tmp_path / "a-denoised-crop.png"}
    assert plan_outputs([a, b], str(tmp_path), "tiff") == {
        a: tmp_path / "a-denoised.tif",
        b: tmp_path / "b-denoised.tif",
    }
    assert plan_outputs([a], "new/", None) == {a: Path("new/a-denoised.dng")}
    assert plan_outputs([a], "x.JPG", None) == {a: Path("x.JPG")}
    with pytest.raises(UsageError, match=r"^out: for a folder write out/, for a file end the name in"):
        plan_outputs([a], "out", None)
    with pytest.raises(UsageError, match=r"one file for 2 photos\. Give a folder, such as clean/"):
        plan_outputs([a, b], "x.dng", None)
    with pytest.raises(UsageError, match=r"one file for 2 photos\. For a folder write clean/"):
        plan_outputs([a, b], "clean", None)
    with pytest.raises(UsageError, match="would both be written to"):
        plan_outputs([tmp_path / "a.cr2", tmp_path / "a.nef"], None, None)
    with pytest.raises(OutputError, match="never overwrites a photo"):
        plan_outputs([tmp_path / "a.dng"], str(tmp_path / "a.dng"), None)
    a.write_bytes(b"raw")
    (tmp_path / "A.DNG").hardlink_to(a)  # as a disk that knows no case finds it
    with pytest.raises(OutputError, match="never overwrites a photo"):
        plan_outputs([a], str(tmp_path / "A.DNG"), None)


def test_sidecars(tmp_path: Path) -> None:
    photo = tmp_path / "a.CR2"
    assert read_sidecar(photo) == (None, ())
    (tmp_path / "a.xmp").write_bytes(XMP)
    assert read_sidecar(photo) == (XMP, ())
    (tmp_path / "a.CR2.xmp").write_bytes(XMP)
    assert read_sidecar(photo) == (XMP, ())  # the same in both
    (tmp_path / "a.CR2.xmp").write_bytes(XMP + b" ")
    unused = "a.xmp was not used, since a.CR2.xmp is there too: delete the one that is out of date"
    assert read_sidecar(photo) == (XMP + b" ", (unused,))
    for broken in (b"something else", b""):
        (tmp_path / "a.CR2.xmp").write_bytes(broken)
        assert read_sidecar(photo) == (XMP, ("a.CR2.xmp contains no XMP and was not embedded",))
    (tmp_path / "a.xmp").unlink()
    assert read_sidecar(photo) == (None, ("a.CR2.xmp contains no XMP and was not embedded",))


@pytest.mark.parametrize("gain", [1e-5 / 4.1, 1e-5])
def test_effects_on_the_result_are_told_if_something_is_removed(blurring: Path, gain: float) -> None:
    told = (LITTLE_SMOOTH_AREA, SHADOWS_UNKNOWN, "the black level may be wrong")
    noise = NoiseModel(np.full(4, gain), np.full(4, 1e-12), "blind")
    restoration = restore(Prepared(noisy_photo(), noise, (), told), DenoiseOptions(model=blurring, device="cpu"))
    assert restoration.warnings[: -1 if restoration.student is None else None] == (
        told[2:] if restoration.student is None else told
    )


def test_nothing_is_said_about_noise_that_stays(blurring: Path) -> None:
    prepared = Prepared(noisy_photo(), NoiseModel(np.full(4, GAIN), np.full(4, READ_VARIANCE), "blind"), ("a",), ("b",))
    options = DenoiseOptions(model=blurring, device="cpu")
    assert restore(prepared, replace(options, strength=0)).warnings == ("a",)
    assert restore(prepared, options).warnings[:2] == ("a", "b")
