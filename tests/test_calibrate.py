"""Calibration from synthetic frames: laws recovered within their errors, outliers found and named, files read back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_camera import (
    BLACK_DN,
    GAIN_LAW,
    QUANTISATION,
    RANGE_DN,
    READ_LAW,
    SHAPE,
    Camera,
    black,
    save,
    true_gain,
    true_read_variance,
    wedge,
)

from rawkd.calibration.calibrate import IsoNoise, noise_of_iso, odd_iso, read_law
from rawkd.calibration.calibration_file import Calibration, install_path
from rawkd.calibration.frame_sample import sample_frame
from rawkd.calibration.frames import calibrate
from rawkd.calibration.plot import calibration_chart
from rawkd.calibration.transfer import find_bursts, odd_frames, transfer_points
from rawkd.calibration.transfer_line import ClassPoints, fit_transfer_line
from rawkd.cli import main
from rawkd.errors import InputError, NoiseError, OutputError
from rawkd.photo import Capture, RawPhoto, Rect
from rawkd.restore.installed_calibration import (
    installed_files,
    installed_profile,
    known_defects,
    profile_folder,
    profile_name,
)
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import prepare
from rawkd.sensor.defects import DefectMap
from rawkd.sensor.masked import masked_offset_dn
from rawkd.sensor.profile import CameraProfile, profile_record, read_profile

ISOS = (100, 400, 1600, 6400)


def samples(photos: Sequence[RawPhoto]) -> list:
    return [sample_frame(photo, f"f{k}", 4096) for k, photo in enumerate(photos)]


def measure(camera: Camera, iso: float = 1600, count: int = 6) -> IsoNoise:
    bursts = [camera.burst(wedge(), iso, count), camera.burst(black(), iso, count, exposure_s=1e-3)]
    return noise_of_iso(iso, [transfer_points(samples(burst)) for burst in bursts])


def assert_explains(found: IsoNoise, gain: float, read: float, read_error: float = 0.02) -> None:
    """Both within 4 standard errors, and those are small enough to mean something."""
    assert (found.gain_error < 0.01 * gain).all()
    assert (found.read_error < read_error * read).all()
    assert (np.abs(found.gain - gain) < 4 * found.gain_error).all()
    assert (np.abs(found.read_variance - read) < 4 * found.read_error).all()


@pytest.mark.parametrize("iso", [100, 6400])
def test_a_line_is_recovered_within_its_errors(iso: int) -> None:
    found = measure(Camera(seed=iso), iso)
    assert_explains(found, true_gain(iso), true_read_variance(iso))
    # Each chi-square has about the number of blocks as degrees of freedom; four planes are averaged.
    num = len(found.level) / 2
    assert abs(found.chi_square - 1) < 4 * np.sqrt(2 / num / 4)


@pytest.mark.parametrize("num_dark", [484, 470])
def test_a_quiet_sensor_and_as_many_dark_blocks_as_bright_ones(num_dark: int) -> None:
    """The start of the fit must not rest on groups that hold some of both: all dark blocks would be outliers to it."""
    rng = np.random.default_rng(3)
    level = np.concatenate([np.zeros(num_dark), np.linspace(0.025, 0.7, 484)])
    variance = (1e-3 * level + 5e-7) * rng.chisquare(225, level.shape) / 225
    every, burst = np.ones_like(level), (level > 0).astype(int)
    points = ClassPoints(level, variance, 0 * every, 225 * every, 512 * every, burst, np.full(2, 1e-12))
    line = fit_transfer_line(points)
    error_gain, error_read = np.sqrt(np.diag(line.covariance))
    assert line.keep.mean() > 0.99
    assert abs(line.gain - 1e-3) < 4 * error_gain < 4e-5
    assert abs(line.read - 5e-7) < 4 * error_read < 4e-8


def test_a_wrong_line_is_not_within_the_errors() -> None:
    """The twin: a gain off by 4 % is told from the truth."""
    found = measure(Camera(seed=1))
    with pytest.raises(AssertionError):
        assert_explains(found, true_gain(1600) * 1.04, true_read_variance(1600))


def test_row_noise_and_drift_are_explained() -> None:
    iso, row_sd = 1600, 1.5 * np.sqrt(true_read_variance(1600))
    found = measure(Camera(drift=0.02, row_sd=row_sd, seed=2), iso)
    # The light of the dark burst is known to row_sd / sqrt(256 rows x 6 frames), which is 2.3 % of the read variance.
    assert_explains(found, true_gain(iso), true_read_variance(iso), read_error=0.03)
    num = len(found.level) / 2
    assert abs(found.chi_square - 1) < 4 * np.sqrt(2 / num / 4)
    # Row noise is shared by the blocks of a row: 2 bursts x 256 rows x 5 differences of frames, of neighbours.
    assert found.row_variance == pytest.approx(row_sd**2, rel=4 * np.sqrt(3 / (2 * 256 * 5)))
    assert abs(measure(Camera(seed=2), iso).row_variance) < 0.02 * row_sd**2


@pytest.mark.parametrize("later", [0.96, 1.04])
def test_drift_does_not_shift_the_variance(later: float) -> None:
    """A pair whose light changed by 4 %: a reference frame instead of the mean would be off by as much."""
    camera, scene = Camera(seed=13), np.full_like(wedge(), 0.4)
    points = transfer_points(samples([camera.take(scene, 100), camera.take(scene * later, 100)]))
    expected = true_gain(100) * points.level.mean() + true_read_variance(100)
    tolerance = 4 * np.sqrt(2 / (points.variance.size * points.dof[0]))
    assert points.variance.mean() == pytest.approx(expected, rel=tolerance)
    assert points.level.mean() == pytest.approx(0.4 * (1 + later) / 2, rel=1e-3)


def test_row_noise_would_spoil_a_plain_variance() -> None:
    """The twin: without taking rows out, the intercept would be read variance plus row variance."""
    row_sd = 1.5 * np.sqrt(true_read_variance(1600))
    burst = samples(Camera(row_sd=row_sd, seed=3).burst(black(), 1600, 4))
    plain = np.var([frame.blocks for frame in burst], axis=0, ddof=1).mean()
    assert plain > 2 * true_read_variance(1600)
    assert transfer_points(burst).variance.mean() == pytest.approx(true_read_variance(1600), rel=0.03)


def test_a_moved_frame_is_named() -> None:
    camera = Camera(seed=4)
    burst = samples(camera.burst(wedge(), 400, 5))
    assert odd_frames(burst) == (burst, {})
    moved = np.roll(wedge(), 3, axis=0)
    burst[2:2] = samples([camera.take(moved, 400)])
    kept, odd = odd_frames(burst)
    assert len(kept) == 5
    assert len(odd) == 1
    assert "moved" in odd[burst[2].name]


@pytest.mark.parametrize("true_iso", [3938, 2500])
def test_a_frame_of_another_iso_is_named(true_iso: int) -> None:
    camera = Camera(seed=5)
    photos = camera.burst(wedge(), 3200, 5)
    photos.append(camera.take(wedge(), true_iso, label=3200))
    kept, odd = odd_frames(samples(photos))
    assert len(kept) == 5
    ((name, reason),) = odd.items()
    assert name == "f5"
    times = float(reason.partition("its noise variance is ")[2].partition(" times")[0])
    assert "its ISO is probably mislabelled" in reason
    assert times == pytest.approx(true_gain(true_iso) / true_gain(3200), rel=0.08)


def test_frames_are_sorted_into_scenes() -> None:
    camera = Camera(drift=0.01, seed=6)
    scenes = [wedge(), wedge(0.3), black(), wedge(seed=9)[::-1], wedge()]
    found = find_bursts(samples([camera.take(scene, 800) for scene in scenes * 2]))
    assert [len(burst) for burst in found] == [4, 2, 2, 2]


def test_clipped_blocks_are_left_out() -> None:
    camera = Camera(seed=7)
    bright = wedge(2.0)
    points = transfer_points(samples(camera.burst(bright, 400, 6)))
    assert 0.05 < points.clipped_share < 0.5
    assert points.level.max() < 1
    assert (np.diff(bright[:, ::32], axis=0) != 0).any()
    found = noise_of_iso(400, [points, transfer_points(samples(camera.burst(black(), 400, 6)))])
    assert_explains(found, true_gain(400), true_read_variance(400))


def test_what_cannot_be_measured_is_refused() -> None:
    camera = Camera(seed=8)
    with pytest.raises(NoiseError, match="over- nor underexposed"):
        noise_of_iso(400, [transfer_points(samples(camera.burst(wedge(200.0), 400, 2)))])
    flat = np.full_like(wedge(), 0.3)
    with pytest.raises(NoiseError, match="dark frames with the lens cap on"):
        noise_of_iso(400, [transfer_points(samples(camera.burst(flat, 400, 2)))])
    for iso, count in ((400, 4), (1600, 2)):
        moving = [camera.take(np.roll(wedge(), 3 * k, axis=0), iso) for k in range(count)]
        dark = transfer_points(samples(camera.burst(black(), iso, count)))
        with pytest.raises(NoiseError, match="tripod"):
            noise_of_iso(iso, [transfer_points(samples(moving)), dark])


def iso_noise(iso: float, gain: float, read: float = 1e-6) -> IsoNoise:
    one, none = np.ones(4), np.empty(0)
    errors = (0.002 * gain * one, 0.01 * read * one)
    return IsoNoise(iso, gain * one, read * one, *errors, 1.0, none, none, none, 4, 0.0, 0.0, 1.0)


def test_a_mislabelled_iso_is_found_among_four() -> None:
    good = [iso_noise(iso, true_gain(iso)) for iso in ISOS]
    assert odd_iso(good) is None
    bad = [*good, iso_noise(3200, true_gain(3938))]
    iso, told = odd_iso(bad) or (0, "")
    assert iso == 3200
    assert float(told.partition("of ISO ")[2].partition(":")[0]) == pytest.approx(3938, rel=0.01)
    assert odd_iso(bad[2:]) is None  # three ISOs cannot outvote one


def test_the_read_law_is_never_negative_where_it_was_measured() -> None:
    exact = [iso_noise(iso, 1e-3, true_read_variance(iso)) for iso in ISOS]
    np.testing.assert_allclose(read_law(exact, 0), [*READ_LAW[:2], READ_LAW[2] + QUANTISATION], rtol=1e-6)
    dips = [iso_noise(iso, 1e-3, read) for iso, read in ((100, 3e-6), (800, 1e-8), (1600, 2e-6))]
    law = read_law(dips, 0)
    assert np.polyval(law, np.linspace(100, 1600, 50)).min() >= 0
    np.testing.assert_allclose(np.polyval(read_law(exact[:1], 0), 100), true_read_variance(100))
    np.testing.assert_allclose(np.polyval(read_law(exact[:2], 0), [100, 400]), [*map(true_read_variance, (100, 400))])


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four ISOs of a wedge and of darkness, with row noise, drift, a moved frame and two that cannot be used."""
    folder = tmp_path_factory.mktemp("frames")
    camera = Camera(drift=0.01, row_sd=2e-4, black_offset_dn=1.5, seed=11)
    paths = []
    for iso in ISOS:
        paths += [save(folder, f"wedge-{iso}-{k}", one) for k, one in enumerate(camera.burst(wedge(), iso, 5))]
        darks = camera.burst(black(), iso, 4, exposure_s=1e-3)
        paths += [save(folder, f"dark-{iso}-{k}", one) for k, one in enumerate(darks)]
    paths.append(save(folder, "moved", camera.take(np.roll(wedge(), 3, axis=0), 400)))
    paths.append(save(folder, "alone", camera.take(wedge(), 3200)))
    broken = folder / "broken.dng"
    broken.write_bytes(b"no photo")
    return [*paths, broken]


@pytest.fixture(scope="module")
def calibration(frames: list[Path]) -> Calibration:
    return calibrate(frames)


def test_the_laws_are_recovered(calibration: Calibration) -> None:
    """The aim: gain within 1 %, read variance within 5 %."""
    assert [one.iso for one in calibration.measured] == list(ISOS)
    for iso in (*ISOS, 200, 3200):
        noise = calibration.profile.noise_at(iso)
        assert noise.gain == pytest.approx(true_gain(iso), rel=0.01)
        assert noise.read_variance == pytest.approx(true_read_variance(iso), rel=0.05)
    assert calibration.range_dn == RANGE_DN
    for one in calibration.measured:
        # Of 256 rows with 3 differences; in the dark, 512 sums of 15 x 3 differences of means of 16 samples.
        error = true_read_variance(one.iso) / 16 * np.sqrt(3 / (15 * 3) / 512)
        assert one.row_variance == pytest.approx(4e-8, rel=4 * np.sqrt(3 / 256 / 3), abs=4 * error)
        # The mean of 131072 samples x 4 frames, and of 256 x 4 rows.
        error = RANGE_DN * np.sqrt(true_read_variance(one.iso) / 2**19 + 4e-8 / 2**10)
        assert calibration.black_offset_dn[one.iso] == pytest.approx(1.5, abs=4 * error)


def test_outliers_are_named(calibration: Calibration) -> None:
    told = "\n".join(calibration.remarks)
    assert len(calibration.remarks) == 3
    for name in ("broken.dng", "moved.dng (ISO 400)", "alone.dng (ISO 3200)"):
        assert name in told


def test_a_mislabelled_series_is_left_out(tmp_path: Path) -> None:
    camera = Camera(seed=12)
    paths = []
    for iso, true_iso in ((200, 200), (800, 800), (1600, 1600), (3200, 5000), (6400, 6400)):
        shots = [camera.take(wedge(), true_iso, label=iso) for _ in range(2)]
        shots += [camera.take(black(), true_iso, label=iso, exposure_s=1e-3) for _ in range(2)]
        paths += [save(tmp_path, f"{iso}-{k}", one) for k, one in enumerate(shots)]
    found = calibrate(paths)
    assert [one.iso for one in found.measured] == [200, 800, 1600, 6400]
    (told,) = found.remarks
    assert told.startswith("ISO 3200: left out, its gain is that of ISO ")
    assert float(told.split("that of ISO ")[1].split(":")[0]) == pytest.approx(5000, rel=0.03)


def test_the_frames_must_be_of_one_camera_and_enough(frames: list[Path], tmp_path: Path) -> None:
    other = save(tmp_path, frames[0].stem, Camera(model="Lab Two").take(wedge(), 400))
    with pytest.raises(InputError, match="one camera at a time") as caught:
        calibrate([frames[0], other])
    assert str(caught.value).startswith(f"{other} is from Rawkd Lab Two, {frames[0]} from another camera")
    for paths in ([tmp_path], [*frames[:2], tmp_path]):
        with pytest.raises(InputError) as caught:
            calibrate(paths)
        assert str(caught.value) == f"{tmp_path}: this is a folder. Give its files, such as {tmp_path}/*.dng"
    with pytest.raises(InputError, match="at least two"):
        calibrate(frames[:1])
    with pytest.raises(NoiseError, match="moved or is mislabelled"):
        calibrate([frames[0], frames[-2]])
    with pytest.raises(InputError, match="none of the 2 frames"):
        calibrate([frames[-1], frames[-1]])


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two frames of a wedge and two of darkness."""
    folder, camera = tmp_path_factory.mktemp("few"), Camera(seed=30)
    shots = [*camera.burst(wedge(), 800, 2), *camera.burst(black(), 800, 2, exposure_s=1e-3)]
    return [save(folder, f"few-{k}", shot) for k, shot in enumerate(shots)]


def test_bursts_that_are_wholly_clipped_are_left_out(few: list[Path], tmp_path: Path) -> None:
    camera = Camera(seed=31)
    blown = [camera.take(wedge(200.0), 800, exposure_s=1.0) for _ in range(2)]
    rng, dark = np.random.default_rng(0), camera.burst(black(), 1600, 2)
    for shot in dark:  # a read noise of 400 DN, five of which are more than the black level
        shot.frame[:] = rng.normal(BLACK_DN, 400, SHAPE).clip(0)
    lost = [save(tmp_path, f"lost-{k}", shot) for k, shot in enumerate([*blown, *dark])]
    found, plain = calibrate([*few, *lost]), calibrate(few)
    np.testing.assert_array_equal(found.profile.gain, plain.profile.gain)
    assert found.black_offset_dn == plain.black_offset_dn
    assert "NaN" not in json.dumps(found.record())
    named = [told.partition(":")[0] for told in found.remarks]
    assert named == ["lost-0.dng and 1 more (ISO 800)", "lost-2.dng and 1 more (ISO 1600)"]
    with pytest.raises(NoiseError, match="100% of the blocks are over- or underexposed"):
        calibrate(lost)


def test_copies_of_frames_are_left_out(few: list[Path], tmp_path: Path) -> None:
    copies = [shutil.copy(path, tmp_path / f"copy-{k}.dng") for k, path in enumerate(few)]
    found, plain = calibrate([*few, *copies]), calibrate(few)
    np.testing.assert_array_equal(found.profile.gain, plain.profile.gain)
    assert plain.remarks == ()
    expected = [f"copy-{k}.dng (ISO 800): left out, it has the same pixel values as few-{k}.dng" for k in range(4)]
    assert list(found.remarks) == expected


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("a.dng", 6, "this is one of the photos"),
        ("soft.json", 6, "this is one of the photos"),
        ("hard.json", 6, "this is one of the photos"),
        ("c.txt", 2, "c.txt: a calibration is a JSON file. Give a name that ends in .json."),
        ("c", 2, "c: a calibration is a JSON file. Give a name that ends in .json."),
    ],
)
def test_no_frame_is_overwritten_and_the_suffix_is_json(
    few: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, code: int, told: str
) -> None:
    shutil.copy(few[0], tmp_path / "a.dng")
    (tmp_path / "soft.json").symlink_to("a.dng")
    (tmp_path / "hard.json").hardlink_to(tmp_path / "a.dng")
    frames = [str(tmp_path / "a.dng"), *map(str, few[1:])]
    assert main(["calibrate", *frames, "-o", str(tmp_path / name), "--overwrite"]) == code
    assert told in capsys.readouterr().err
    assert (tmp_path / "a.dng").read_bytes() == few[0].read_bytes()
    assert not (tmp_path / "c.txt").exists()


def test_no_plot_overwrites_a_frame(few: list[Path], tmp_path: Path) -> None:
    (tmp_path / "l.svg").symlink_to(few[1])
    kept = few[1].read_bytes()
    outputs = ["-o", str(tmp_path / "c.json"), "--plot", str(tmp_path / "l.svg"), "--overwrite"]
    assert main(["calibrate", *map(str, few), *outputs]) == 6
    assert few[1].read_bytes() == kept
    assert not (tmp_path / "c.json").exists()


def test_the_command_writes_a_file_that_denoise_reads(
    frames: list[Path], calibration: Calibration, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, png, svg = (tmp_path / name for name in ("camera.json", "fit.png", "fit.svg"))
    arguments = ["calibrate", *map(str, frames), "--out", str(out), "--plot", str(png), "--plot", str(svg)]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert printed.out.split() == [str(out), str(png), str(svg)]
    assert "moved.dng" in printed.err
    record = json.loads(out.read_text())
    assert record["format"] == "rawkd-camera-noise"
    assert str(frames[0].parent) not in out.read_text()
    profile = read_profile(out)
    np.testing.assert_array_equal(profile.gain, calibration.profile.gain)
    assert Image.open(png).size == (1440, 2 * (420 + 3 * 300))
    assert svg.read_text().startswith("<svg")
    assert main(arguments) == 6  # nothing is replaced unasked
    photo = Camera(seed=20).take(wedge(), 1600)
    prepared = prepare(photo, DenoiseOptions(calibration=str(out)))  # type: ignore[arg-type]
    noise, warnings = prepared.noise, prepared.noise_warnings
    assert noise.source == "calibration"
    assert warnings == ()
    assert noise.green_gain == pytest.approx(true_gain(1600), rel=0.01)


def test_an_installed_file_is_picked_up(
    frames: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("XDG_CONFIG_HOME", "APPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    photo = Camera(seed=20).take(wedge(), 1600)
    assert prepare(photo, DenoiseOptions()).noise.source != "calibration"
    wanted = [str(path) for path in frames if "-1600-" in path.name]
    assert main(["calibrate", "-q", *wanted, "--install"]) == 0
    installed = Path(capsys.readouterr().out.strip())
    assert installed == profile_folder() / "rawkd-lab-one.json"
    prepared = prepare(photo, DenoiseOptions())
    noise, warnings = prepared.noise, prepared.noise_warnings
    assert (noise.source, warnings) == ("calibration", ())
    given = prepare(photo, DenoiseOptions(noise=(1e-3, 1e-6))).noise
    assert given.source == "given"
    stranger = Camera(model="Lab Two").take(wedge(), 1600)
    assert prepare(stranger, DenoiseOptions()).noise.source != "calibration"
    (profile_folder() / "aaa.json").write_text("{}")
    assert installed_profile(photo.capture)[0] == installed
    path, told = installed_profile(stranger.capture)
    assert path is None
    assert "aaa.json" in told[0]


def install(name: str, isos: tuple[float, float], gain: tuple[float, float], *, pixel: int = 0) -> Path:
    """A calibration of the synthetic camera, installed under a name, with one defective pixel."""
    defects = (DefectMap(*SHAPE, np.array([(pixel, pixel)])),)
    profile = CameraProfile("Rawkd", "Lab One", isos, np.tile(gain, (4, 1)), np.full((4, 3), 1e-9), defects)
    path = profile_folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(profile_record(profile)))
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without calibrations."""
    for name in ("XDG_CONFIG_HOME", "APPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("home")
def test_an_installed_file_with_an_absurd_gain_is_not_used() -> None:
    install("lab.json", (400, 6400), (1e9, 0))
    with pytest.raises(NoiseError, match=r"lab\.json: the calibration file states an impossible noise at ISO 400 "):
        read_profile(profile_folder() / "lab.json")
    path, told = installed_profile(Capture(make="Rawkd", model="Lab One", iso=800.0))
    assert path is None
    assert "impossible noise" in told[0]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("iso", [800.0, 0.0, None])
def test_the_defects_of_an_installed_file_need_no_iso(iso: float | None) -> None:
    install("one.json", (400, 6400), (2e-6, 0), pixel=7)
    capture = Capture(make="Rawkd", model="Lab One", iso=iso)
    assert [one.pixels.tolist() for one in known_defects(capture, None)] == [[[7, 7]]]
    assert (installed_profile(capture)[0] is None) == (not iso)


@pytest.mark.usefixtures("home")
def test_of_several_files_the_one_that_covers_the_iso_serves() -> None:
    high = install("a-high.json", (800, 6400), (2e-6, 0), pixel=1)
    low = install("b-low.json", (50, 640), (1e-6, 0), pixel=2)
    for iso, expected, pixel in (
        (50, low, 2),
        (640, low, 2),
        (700, low, 2),
        (750, high, 1),
        (3200, high, 1),
        (2e4, high, 1),
    ):
        capture = replace(Camera().take(black(), 100).capture, iso=iso)
        assert installed_profile(capture) == (expected, ())
        assert known_defects(capture, None)[0].pixels[0, 0] == pixel
    warnings = prepare(Camera().take(wedge(), 50), DenoiseOptions()).noise_warnings
    assert warnings == ()


@pytest.mark.usefixtures("home")
def test_a_file_that_says_nothing_of_the_iso_is_passed_over() -> None:
    path = install("high.json", (1600, 3200), (2e-6, -2e-4), pixel=1)
    photo = Camera(seed=20).take(wedge(), 50)
    prepared = prepare(photo, DenoiseOptions())
    noise, warnings = prepared.noise, prepared.noise_warnings
    assert noise.source != "calibration"
    assert warnings[0].startswith(f"{path}: the calibration file covers ISO 1600 to 3200 and is not used at ISO 50")
    assert len(known_defects(photo.capture, None)) == 1  # which do not hang on the ISO
    with pytest.raises(NoiseError, match=r"high\.json: the calibration file covers .* cannot be used at ISO 50 "):
        prepare(photo, DenoiseOptions(calibration=path))
    farther = install("higher.json", (6400, 12800), (1e-6, 0))
    assert installed_profile(photo.capture) == (farther, warnings[:1])


@pytest.mark.usefixtures("homeless")
def test_without_a_home_nothing_is_installed() -> None:
    photo = Camera(seed=20).take(wedge(), 50)
    assert installed_files() == []
    assert installed_profile(photo.capture) == (None, ())
    assert known_defects(photo.capture, None) == ()
    assert prepare(photo, DenoiseOptions()).noise.source != "calibration"
    with pytest.raises(OutputError, match=r"no home folder.*--out"):
        install_path(CameraProfile("Rawkd", "Lab One", (1, 2), np.ones((4, 2)), np.ones((4, 3))))


def test_profiles_round_trip(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    profile = CameraProfile("A", "B", (100.0, 3200.0), 1e-5 * rng.random((4, 2)), 1e-8 * rng.random((4, 3)))
    (tmp_path / "p.json").write_text(json.dumps(profile_record(profile)))
    again = read_profile(tmp_path / "p.json")
    assert (again.make, again.model, again.iso_range) == ("A", "B", (100.0, 3200.0))
    np.testing.assert_array_equal(again.gain, profile.gain)
    np.testing.assert_array_equal(again.read_variance, profile.read_variance)
    assert profile_name("Canon", "EOS 6D/Mark II") == "canon-eos-6d-mark-ii.json"


def test_the_chart_shows_every_iso(calibration: Calibration) -> None:
    svg = calibration_chart(calibration).svg()
    for iso in ISOS:
        assert f">ISO {iso}<" in svg
    assert "Lab One" in svg
    assert GAIN_LAW[0] > 0


def test_masked_pixels_tell_the_black_offset() -> None:
    photo = Camera(seed=21).take(wedge(), 800)
    assert masked_offset_dn(photo) is None
    area = Rect(0, 40, SHAPE[0], SHAPE[1])
    noise = np.random.default_rng(0).normal(BLACK_DN + 2.5, 6, (SHAPE[0], SHAPE[1] + 40))
    frame = np.rint(noise).astype(np.uint16)
    frame[area.slices] = photo.frame
    masked = replace(photo, frame=frame, active_area=area)
    # 256 x 32 pixels of 6 DN.
    assert masked_offset_dn(masked) == pytest.approx(2.5, abs=4 * 6 / np.sqrt(256 * 32))
    for value, columns in ((0, slice(0, 40)), (BLACK_DN, slice(0, 40)), (BLACK_DN + 60, slice(0, 20))):
        dummy = frame.copy()
        dummy[:, columns] = value
        assert masked_offset_dn(replace(masked, frame=dummy)) is None
