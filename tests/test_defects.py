"""Hot and dead pixels: replaced exactly where the surroundings tell, found without taking stars or texture for them."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_photos import GAIN, READ_VARIANCE, noisy_photo
from synthetic_camera import RANGE_DN, SHAPE, Camera, black, save, wedge
from synthetic_dng import flat_frame
from synthetic_dng import write_dng as write_foreign_dng
from tiny_models import even_blur, make_model

from rawkd.cli import main
from rawkd.errors import InputError, NoiseError, UsageError
from rawkd.files.dng import write_dng
from rawkd.files.opcodes import Opcode, read_opcodes, write_opcodes
from rawkd.files.raw import read_raw
from rawkd.photo import CFAPattern, Mosaic, RawPhoto, Rect, Tag
from rawkd.pipeline import DenoiseOptions, denoise, noise_of, prepare
from rawkd.process import ProcessOptions, process_file
from rawkd.sensor.dark_frames import DarkFrames, outstanding
from rawkd.sensor.defect_search import BORDER_PX, LEAST_SIGMAS, find_defects
from rawkd.sensor.defects import DefectMap, replaced, with_known_defects, without_defects
from rawkd.sensor.noise import NoiseModel
from rawkd.sensor.profile import CameraProfile, profile_record, read_profile
from rawkd.sensor.profile_folder import profile_folder

UNDEFINED = 7
NOISE = NoiseModel(np.array(GAIN), np.array(READ_VARIANCE), "given")
COLOURS = np.array([0.5, 1.0, 0.7])
patterns = st.sampled_from(list(CFAPattern))


def mosaic_of(rgb: np.ndarray, pattern: CFAPattern) -> Mosaic:
    """Samples of a (H, W, 3) picture."""
    data = np.empty(rgb.shape[:2], np.float32)
    for site, colour in enumerate(pattern.value):
        row, column = divmod(site, 2)
        data[row::2, column::2] = rgb[row::2, column::2, "RGB".index(colour)]
    return Mosaic(data, pattern)


def noisy(mosaic: Mosaic, noise: NoiseModel, seed: int = 0) -> Mosaic:
    rng = np.random.default_rng(seed)
    gain, read = noise.green_gain, noise.green_read_variance
    data = gain * rng.poisson(np.maximum(mosaic.data, 0) / gain) + rng.normal(0, np.sqrt(read), mosaic.data.shape)
    return Mosaic(np.minimum(data, 1).astype(np.float32), mosaic.pattern)


def places_of(pixels: np.ndarray) -> set[tuple[int, int]]:
    return {(int(row), int(column)) for row, column in pixels}


# replacing


@given(patterns, st.integers(6, 20), st.integers(6, 20), st.data())
def test_linear_planes_are_restored_exactly(pattern: CFAPattern, height: int, width: int, data: st.DataObject) -> None:
    """Every colour its own slope: the mean of two samples on either side is exact, whatever else is broken."""
    inner = st.tuples(st.integers(2, height - 3), st.integers(2, width - 3))
    pixels = np.array(data.draw(st.lists(inner, min_size=1, max_size=3, unique=True)))
    y, x = np.mgrid[0:height, 0:width]
    whole = mosaic_of((y[..., None] * [1, 2, 3] + x[..., None] * [3, 1, -2] + 50.0) / 64, pattern)
    broken = whole.data.copy()
    broken[pixels[:, 0], pixels[:, 1]] = 9.0
    mended = replaced(Mosaic(broken, pattern), pixels)
    apart = [p for p in pixels if (np.abs(pixels - p).max(axis=1) <= 2).sum() == 1]
    for row, column in apart:
        assert mended.data[row, column] == pytest.approx(whole.data[row, column], abs=1e-6)
    untouched = np.ones((height, width), bool)
    untouched[pixels[:, 0], pixels[:, 1]] = False
    np.testing.assert_array_equal(mended.data[untouched], whole.data[untouched])


@given(patterns, st.integers(5, 24), st.integers(5, 24), st.integers(0, 999), st.floats(0, 0.6))
def test_flat_colours_are_restored_whatever_is_broken(
    pattern: CFAPattern, height: int, width: int, seed: int, part: float
) -> None:
    whole = mosaic_of(np.broadcast_to(COLOURS, (height, width, 3)), pattern)
    bad = np.random.default_rng(seed).random((height, width)) < part
    bad[:2, :2] = bad[-2:, -2:] = False  # a sound sample of each colour remains
    broken = np.where(bad, np.float32(9), whole.data)
    mended = replaced(Mosaic(broken, pattern), np.argwhere(bad)).data
    done = mended != 9
    assert done[~bad].all()
    np.testing.assert_allclose(mended[done], whole.data[done], atol=1e-6)
    assert done.mean() > 0.9 or part > 0.4


def test_an_edge_is_followed() -> None:
    """A bright bar three samples wide: across it the mean would be half its height."""
    rgb = np.full((20, 20, 3), 0.1)
    rgb[:, 9:12] = 0.9
    whole = mosaic_of(rgb, CFAPattern.RGGB)
    for place in ((10, 10), (10, 11), (9, 10), (9, 9)):
        broken = whole.data.copy()
        broken[place] = 0.0
        assert replaced(Mosaic(broken, whole.pattern), np.array([place])).data[place] == pytest.approx(0.9)


def test_what_nothing_surrounds_is_left() -> None:
    mosaic = Mosaic(np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), CFAPattern.RGGB)
    every = np.argwhere(np.ones((2, 2), bool))
    np.testing.assert_array_equal(replaced(mosaic, every).data, mosaic.data)
    assert replaced(mosaic, np.empty((0, 2), np.int64)) is mosaic


# finding


def star_field(fwhm_px: float, noise: NoiseModel, seed: int) -> tuple[Mosaic, np.ndarray]:
    """400 stars of four colours between the noise and ten times saturation, their light integrated over samples."""
    from scipy.special import erf

    rng = np.random.default_rng(seed)
    size, reach, scale = 500, 9, fwhm_px / 2.3548 * np.sqrt(2)
    sky = np.full((size, size, 3), 0.01)
    colours = np.array([(0.45, 1, 0.75), (0.8, 1, 0.4), (0.6, 1, 0.5), (0.35, 1, 0.9)])
    centres = rng.uniform(12, size - 12, (400, 2))
    for y, x in centres:
        top, left = int(y) - reach, int(x) - reach
        edges = np.arange(2 * reach + 2)
        across, along = (np.diff(erf((first + edges - centre) / scale)) for first, centre in ((top, y), (left, x)))
        spread = across[:, None] * along / np.square(2 * erf(0.5 / scale))
        peak = 10 ** rng.uniform(-2, 1)
        sky[top : top + 2 * reach + 1, left : left + 2 * reach + 1] += spread[..., None] * peak * colours[rng.integers(4)]
    return noisy(mosaic_of(sky, CFAPattern.GRBG), noise, seed), centres


@pytest.mark.parametrize("fwhm_px", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("gain", [1e-5, 1e-4, 1e-3, 6e-3])
def test_no_star_is_lost(fwhm_px: float, gain: float) -> None:
    noise = NoiseModel(np.array(gain), np.array(gain / 1000), "given")
    field, _ = star_field(fwhm_px, noise, seed=int(1 / gain))
    assert len(find_defects(field, noise)) == 0


def test_a_star_of_one_sample_would_be_lost() -> None:
    """The twin: what spreads over less than a sample is no star but a defect."""
    noise = NoiseModel(np.array(1e-4), np.array(1e-7), "given")
    field, _ = star_field(0.4, noise, seed=1)
    assert len(find_defects(field, noise)) > 20


def test_hot_and_dead_pixels_among_stars_and_waves_are_found() -> None:
    rng = np.random.default_rng(3)
    noise = NoiseModel(np.array(1e-4), np.array(1e-6), "given")
    field, centres = star_field(2.0, noise, seed=4)
    y, x = np.mgrid[0:500, 0:500]
    data = field.data + (0.2 + 0.1 * np.sin(x / 30) * np.cos(y / 20)).astype(np.float32)
    pixels = rng.integers(BORDER_PX, 500 - BORDER_PX, (60, 2))
    far = np.abs(pixels[:, None] - centres[None]).max(axis=2).min(axis=1) > 12
    crowd = (np.abs(pixels[:, None] - pixels[None]).max(axis=2) <= 12).sum(axis=1) > 1
    wanted = pixels[far & ~crowd]
    assert len(wanted) > 15
    data[wanted[::2, 0], wanted[::2, 1]] += 0.3
    data[wanted[1::2, 0], wanted[1::2, 1]] = 0.0
    found = places_of(find_defects(Mosaic(data, field.pattern), noise))
    assert found == places_of(wanted)


def test_noise_alone_shows_none_even_if_it_is_understated() -> None:
    """Nine deviations, of noise that is sqrt(2) times what it is said to be: 6.4 true ones above eight samples."""
    flat = Mosaic(np.full((1000, 1000), 0.05, np.float32), CFAPattern.BGGR)
    half = NoiseModel(np.array(GAIN / 2), np.array(READ_VARIANCE / 2), "given")
    assert len(find_defects(noisy(flat, NOISE), half)) == 0
    assert LEAST_SIGMAS == 9
    tenth = NoiseModel(np.array(GAIN / 30), np.array(READ_VARIANCE / 30), "given")
    assert len(find_defects(noisy(flat, NOISE), tenth)) < 20


@pytest.mark.parametrize("gain", [1e-4, 1e-3, 6e-3])
def test_clean_pictures_have_less_than_one_in_a_million(data: Path, gain: float) -> None:
    noise = NoiseModel(np.array(gain), np.array(gain / 1000), "given")
    found = samples = 0
    for number, path in enumerate(sorted((data / "testsets" / "Kodak24").glob("*.png"))):
        pattern = list(CFAPattern)[number % 4]
        with Image.open(path) as picture:
            rgb = (np.asarray(picture.convert("RGB"), np.float32) / 255) ** 2.2 * COLOURS
        mosaic = mosaic_of(rgb, pattern)
        found += len(find_defects(mosaic, noise))
        samples += mosaic.data.size
    assert samples > 5e6
    assert found < samples / 1e6


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("canon-kiss-x4-hotpixels.dng", {(235, 1362), (573, 1273), (676, 468), (868, 671)}),
        ("canon-s40-box.crw", {(36, 1006), (222, 938)}),
        ("canon-s40-box-wide.crw", {(36, 1006), (222, 938)}),
    ],
)
def test_real_ones(data: Path, name: str, known: set[tuple[int, int]]) -> None:
    """Looked at one by one; the second camera has the same ones in both of its photos."""
    photo = read_raw(data / "raw" / name)
    noise, _ = noise_of(photo, DenoiseOptions())
    found = find_defects(photo.mosaic, noise)
    assert known <= places_of(found)
    assert len(found) < 60
    mended, count = without_defects(photo, noise, search=True)
    assert (count.known, count.found) == (0, len(found))
    assert len(find_defects(mended, noise)) <= 0.1 * len(found)


@pytest.mark.parametrize("size", [(1, 1), (2, 40), (20, 20), (21, 23)])
def test_small_pictures_are_searched_as_far_as_they_go(size: tuple[int, int]) -> None:
    data = np.full(size, 0.1, np.float32)
    inside = min(size) > 2 * BORDER_PX
    data[size[0] // 2, size[1] // 2] = 0.9
    assert len(find_defects(Mosaic(data, CFAPattern.RGGB), NOISE)) == inside


# named by the file


def opcode_list(*opcodes: tuple[int, tuple[int, ...]]) -> bytes:
    """Number and parameters, written without the code that reads them."""
    data = struct.pack(">I", len(opcodes))
    for number, values in opcodes:
        data += struct.pack(f">4I{len(values)}I", number, 0x01030000, 1, 4 * len(values), *values)
    return data


POINTS_AND_RECT = (5, (0, 2, 1, 12, 20, 2, 3, 40, 30, 42, 33))
"""Points (12, 20), and (2, 3) outside the active area; the rectangle of rows 40 to 42 and columns 30 to 33."""
LISTED = {(8, 14), (36, 24), (36, 25), (36, 26), (37, 24), (37, 25), (37, 26)}


def foreign(path: Path, lists: dict[int, bytes], byteorder: str = "<") -> Path:
    frame = flat_frame(80, 100)
    frame[50, 60] = 7
    tags = {50829: (4, (4, 6, 78, 98))} | {number: (UNDEFINED, tuple(data)) for number, data in lists.items()}
    return write_foreign_dng(path, frame, tags=tags, byteorder=byteorder)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_opcodes_name_bad_pixels(tmp_path: Path, byteorder: str) -> None:
    data = opcode_list(POINTS_AND_RECT, (9, (1, 2)), (4, (7, 0)))
    photo = read_raw(foreign(tmp_path / "a.dng", {51008: data}, byteorder))
    assert places_of(photo.defects) == LISTED | {(46, 54)}
    assert photo.warnings == ()
    second = read_raw(foreign(tmp_path / "b.dng", {51009: opcode_list(POINTS_AND_RECT)}, byteorder))
    assert places_of(second.defects) == {(row + 4, column + 6) for row, column in LISTED} | {(2, 3)}


def test_opcodes_that_cannot_be_believed(tmp_path: Path) -> None:
    good = opcode_list(POINTS_AND_RECT)
    for number, (data, said) in enumerate(
        [
            (good[:-1], "length"),
            (good + b"\0", "length"),
            (b"\xff\xff\xff\xff", "length"),
            (opcode_list((5, (0, 1 << 31, 1, 12))), "length"),
            (opcode_list((5, (0, 0))), "length"),
            (opcode_list((4, (7,))), "cannot be read"),
            (opcode_list((4, (4000, 0))), "pixels named as bad"),
            (opcode_list((5, (0, 0, 1, 0, 0, 80, 100))), "pixels named as bad"),
        ]
    ):
        photo = read_raw(foreign(tmp_path / f"{number}.dng", {51008: data}))
        if number == 6:
            assert len(photo.defects) < 80  # the value is rarer than thought: those few that have it
            continue
        assert len(photo.defects) == 0
        assert said in photo.warnings[0]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 2**32 - 1), st.integers(0, 3), st.binary(max_size=40))))
def test_opcode_lists_round_trip(entries: list[tuple[int, int, int, bytes]]) -> None:
    opcodes = tuple(Opcode(*entry) for entry in entries)
    assert read_opcodes(write_opcodes(opcodes)) == opcodes


def test_a_list_cut_short_is_refused() -> None:
    data = opcode_list(POINTS_AND_RECT)
    for end in range(len(data)):
        with pytest.raises(InputError):
            read_opcodes(data[:end])


# all together


@pytest.fixture(scope="module")
def blurring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("blur")
    make_model(directory / "blur", even_blur, subrange=[1e-5, 1e-1], tile=64)
    return directory


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "APPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


def broken_photo(*, named: bool) -> tuple[RawPhoto, RawPhoto]:
    """A photo, and the same with a hot and a dead pixel that an opcode list names, or nothing."""
    sound = noisy_photo()
    frame = sound.frame.copy()
    frame[60 + 3, 90 + 5], frame[120 + 3, 201 + 5] = 16000, 0
    points = opcode_list((5, (0, 2, 0, 63, 95, 123, 206)), (4, (3, 0)))
    tags = (Tag(51008, UNDEFINED, len(points), points),) if named else ()
    return sound, replace(sound, frame=frame, tags=tags)


def options(model: Path, **named: object) -> DenoiseOptions:
    return DenoiseOptions(model=model, noise=(GAIN, READ_VARIANCE), device="cpu", **named)


def halo(photo: RawPhoto, other: RawPhoto) -> float:
    """Largest difference around the broken pixels, in deviations of the noise."""
    difference = np.abs(photo.mosaic.data - other.mosaic.data)
    near = max(difference[50:71, 80:101].max(), difference[110:131, 191:212].max())
    return float(near / np.sqrt(GAIN * 0.3 + READ_VARIANCE))


@pytest.mark.parametrize(("named", "defects"), [(True, "map"), (True, "auto"), (False, "auto")])
def test_they_are_replaced_before_denoising(tmp_path: Path, blurring: Path, named: bool, defects: str) -> None:
    sound, broken = broken_photo(named=named)
    path = tmp_path / "photo.dng"
    write_dng(path, broken, preview=None, software="test")
    whole = denoise(sound, options(blurring)).photo
    chosen = options(blurring, defects=defects)
    report = process_file(path, tmp_path / "out.dng", ProcessOptions(chosen))
    assert report.defects == 2
    assert f"2 defective pixels were replaced ({2 * named} known, {2 * (not named)} found in the photo)" in report.warnings
    after = read_raw(tmp_path / "out.dng")
    assert halo(after, whole) < 3
    # The list stays; that every sample of DN 3 is bad does not.
    kept = [tag.data for tag in after.tags if tag.number == 51008]
    assert kept == ([opcode_list((5, (0, 2, 0, 63, 95, 123, 206)))] if named else [])
    part = process_file(
        path, tmp_path / "part.png", ProcessOptions(chosen, crop=Rect(top=100, left=180, height=40, width=40))
    )
    assert part.defects == 1


def test_unnamed_ones_stay_unless_they_are_looked_for(blurring: Path) -> None:
    """The twin: what is not replaced spreads."""
    sound, broken = broken_photo(named=False)
    result = denoise(broken, options(blurring))
    assert result.defects == 0
    assert halo(result.photo, denoise(sound, options(blurring)).photo) > 3


@pytest.mark.parametrize("defects", ["map", "auto"])
def test_strength_0_keeps_every_sample(tmp_path: Path, defects: str) -> None:
    _, broken = broken_photo(named=True)
    path = tmp_path / "photo.dng"
    write_dng(path, broken, preview=None, software="test")
    chosen = DenoiseOptions(strength=0, defects=defects, rows=True, noise=(GAIN, READ_VARIANCE))
    report = process_file(path, tmp_path / "out.dng", ProcessOptions(chosen))
    before, after = read_raw(path), read_raw(tmp_path / "out.dng")
    np.testing.assert_array_equal(after.frame, before.frame)
    assert [tag.data for tag in after.tags if tag.number == 51008] == [tag.data for tag in broken.tags]
    assert report.defects == 0


def test_there_are_two_ways() -> None:
    with pytest.raises(UsageError, match="map, auto"):
        DenoiseOptions(defects="off")


# learned from dark frames

HOT = np.array([(3, 4), (100, 200), (101, 200), (255, 511), (30, 31)])


def dark_frame(camera: Camera, *, ray: tuple[int, int] | None = None) -> RawPhoto:
    photo = camera.take(black(), 800, exposure_s=1.0)
    photo.frame[HOT[:, 0], HOT[:, 1]] += np.array([300, 2000, 700, 15000, 400], np.uint16)
    if ray is not None:
        photo.frame[ray] += 5000
    return photo


def test_a_map_is_learned_from_dark_frames() -> None:
    camera, dark = Camera(seed=1), DarkFrames()
    for ray in ((50, 60), (70, 80), None):
        frame = dark_frame(camera, ray=ray)
        assert (outstanding(frame) == (50, 60)).all(axis=1).any() == (ray == (50, 60))
        dark.add(frame, (800, 1.0))
    (found,), told = dark.maps()
    assert places_of(found.pixels) == places_of(HOT)
    assert (found.height, found.width) == SHAPE
    assert told == ()


def test_one_frame_makes_no_map() -> None:
    dark = DarkFrames()
    dark.add(dark_frame(Camera(seed=2)), (800, 1.0))
    dark.add(dark_frame(Camera(seed=3)), (800, 2.0))
    assert dark.maps() == ((), ())


def test_a_picture_is_no_dark_frame() -> None:
    dark = DarkFrames()
    scene = np.where(np.random.default_rng(0).random(SHAPE) < 0.05, 0.5, 0.0)
    for seed in (4, 5):
        dark.add(Camera(seed=seed).take(scene, 800), 0)
    maps, (told,) = dark.maps()
    assert maps == ()
    assert "no defects were noted" in told


def test_a_map_holds_for_frames_of_its_size() -> None:
    photo = noisy_photo(40, 50)  # of 47 x 59 with masked pixels, active from (3, 5)
    pixels = np.array([(3, 5), (10, 20), (2, 5), (43, 5), (42, 54)])
    marked = with_known_defects(photo, (DefectMap(1, 1, np.array([(0, 0)])), DefectMap(47, 59, pixels)))
    assert places_of(marked.defects) == {(0, 0), (7, 15), (39, 49)}
    assert with_known_defects(photo, (DefectMap(59, 60, pixels),)) is photo
    part = marked.cut(Rect(7, 15, 5, 6))
    assert places_of(part.defects) == {(0, 0)}
    with pytest.raises(InputError, match="leaves its frame"):
        DefectMap(42, 59, pixels)


def test_calibration_writes_a_map_that_denoise_uses(
    tmp_path: Path, blurring: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    camera = Camera(seed=6)
    shots = [*camera.burst(wedge(), 800, 3), *(dark_frame(camera) for _ in range(3))]
    paths = [save(tmp_path, f"{number}", shot) for number, shot in enumerate(shots)]
    out = tmp_path / "camera.json"
    assert main(["calibrate", *map(str, paths), "--out", str(out)]) == 0
    assert "5 defective pixels" in capsys.readouterr().err
    (found,) = read_profile(out).defects
    assert places_of(found.pixels) == places_of(HOT)
    photo = camera.take(np.full(SHAPE, 0.2), 800)
    photo.frame[HOT[:, 0], HOT[:, 1]] += np.uint16(3000)
    result = denoise(photo, options(blurring, calibration=out))
    assert result.defects == len(HOT)
    sigma = np.sqrt(result.noise.variance(np.full((4, 1, 1), 0.2)).max())
    assert np.abs(result.mosaic.data[HOT[:, 0], HOT[:, 1]] - 0.2).max() < 5 * sigma < 3000 / RANGE_DN
    stranger = replace(photo, capture=replace(photo.capture, model="Lab Two"))
    assert len(prepare(stranger, options(blurring, calibration=out))[0].defects) == 0
    profile_folder().mkdir(parents=True)
    out.rename(profile_folder() / "lab.json")
    assert denoise(photo, options(blurring)).defects == len(HOT)


def test_maps_are_read_strictly(tmp_path: Path) -> None:
    one = np.ones((4, 3))
    record = profile_record(CameraProfile("A", "B", (100.0, 200.0), one[:, :2], one))
    path = tmp_path / "camera.json"
    sound = [{"width": 5, "height": 4, "pixels": [[0, 0], [3, 4]]}, {"width": 4, "height": 5, "pixels": []}]
    path.write_text(json.dumps(record | {"defects": sound}))
    assert [len(one.pixels) for one in read_profile(path).defects] == [2, 0]
    assert profile_record(read_profile(path))["defects"] == sound
    path.write_text(json.dumps({name: value for name, value in record.items() if name != "defects"}))
    assert read_profile(path).defects == ()
    for defects in (
        [{"width": 5, "height": 4, "pixels": [[4, 0]]}],
        [{"width": 5, "height": 4, "pixels": [[-1, 0]]}],
        [{"width": 5, "height": 4, "pixels": [[0.5, 0]]}],
        [{"width": 5, "height": 4, "pixels": [[True, 0]]}],
        [{"width": 5, "height": 4, "pixels": [[1, 2, 3]]}],
        [{"width": 5, "height": 4, "pixels": [1, 2]}],
        [{"width": 5.0, "height": 4, "pixels": []}],
        [{"width": 5, "height": 4}],
        [sound[0], sound[0]],
        {"width": 5},
        7,
    ):
        path.write_text(json.dumps(record | {"defects": defects}))
        with pytest.raises(NoiseError, match="lacks or garbles"):
            read_profile(path)
