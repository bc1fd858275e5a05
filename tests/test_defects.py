"""Hot and dead pixels: replaced exactly where the surroundings tell, named by DNGs, gone before denoising."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from defect_pictures import mosaic_of, places_of
from hypothesis import given
from hypothesis import strategies as st
from small_photos import GAIN, READ_VARIANCE, noisy_photo
from synthetic_dng import flat_frame
from synthetic_dng import write_dng as write_foreign_dng
from tiny_models import even_blur, make_model

from rawkd.errors import InputError, UsageError
from rawkd.files.read.raw import read_raw
from rawkd.files.tiff.opcodes import Opcode, read_opcodes, write_opcodes
from rawkd.files.write.dng import write_dng
from rawkd.photo import BAYER_PHASES, CFAPattern, Mosaic, RawPhoto, Rect, Tag
from rawkd.process import ProcessOptions, process_file
from rawkd.report import replaced_pixels
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import denoise
from rawkd.restore.region import part_with_context
from rawkd.sensor.defect_search import border_px
from rawkd.sensor.defects import DefectCount, replaced

UNDEFINED = 7
COLOURS = np.array([0.5, 1.0, 0.7])
patterns = st.sampled_from(BAYER_PHASES)


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
            (opcode_list((4, (4000, 0))), "pixels as bad"),
            (opcode_list((5, (0, 0, 1, 0, 0, 80, 100))), "pixels as bad"),
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
    assert (report.defects, report.record()["defects"]) == (2, 2)
    after = read_raw(tmp_path / "out.dng")
    assert halo(after, whole) < 3
    # The list stays; that every sample of DN 3 is bad does not.
    kept = [tag.data for tag in after.tags if tag.number == 51008]
    assert kept == ([opcode_list((5, (0, 2, 0, 63, 95, 123, 206)))] if named else [])
    part = process_file(
        path, tmp_path / "part.png", ProcessOptions(chosen, crop=Rect(top=100, left=180, height=40, width=40))
    )
    assert part.defects == 2  # the surroundings that a crop is computed with hold both


def test_they_are_replaced_where_the_noise_is_left_alone(blurring: Path) -> None:
    sound, broken = broken_photo(named=True)
    defects = np.array([(60, 90), (120, 201)])
    low = replace(options(blurring, defects="map"), noise=(1e-5 / 4.1, 1e-12))
    result = denoise(replace(broken, defects=defects), low)
    assert (result.student, result.defects) == (None, 2)
    assert halo(result.photo, sound) < 5
    elsewhere = np.ones(broken.frame.shape, bool)
    elsewhere[defects[:, 0] + 3, defects[:, 1] + 5] = False
    np.testing.assert_array_equal(result.photo.frame[elsewhere], broken.frame[elsewhere])


@pytest.mark.parametrize(("opcode", "finer"), [(1, True), (3, True), (6, True), (7, False), (8, False), (10, False)])
def test_opcodes_that_count_stored_numbers_keep_them_as_they_are(
    tmp_path: Path, blurring: Path, opcode: int, finer: bool
) -> None:
    """A table of 4,096 entries says nothing of numbers four times as large; a warp holds for any."""
    data = opcode_list((5, (0, 1, 0, 63, 95)), (4, (3, 0)), (opcode, (0, 0, 8, 8)))
    path = tmp_path / "photo.dng"
    photo = replace(noisy_photo(bits=12), tags=(Tag(51008, UNDEFINED, len(data), data),))
    write_dng(path, photo, preview=None, software="test")
    assert denoise(read_raw(path), options(blurring)).photo.levels.bits == (14 if finer else 12)


def test_unnamed_ones_stay_if_nobody_looks_for_them(blurring: Path) -> None:
    """The twin: what is not replaced spreads."""
    sound, broken = broken_photo(named=False)
    assert denoise(broken, options(blurring)).defects == 2
    result = denoise(broken, options(blurring, defects="map"))
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


def test_a_crop_is_searched_as_far_as_it_depends_on_its_surroundings(blurring: Path) -> None:
    """The search leaves the outermost pixels, so a crop takes that many more."""
    photo = noisy_photo(700, 400)

    def around(top: int, defects: str) -> int:
        region = Rect(top=top, left=180, height=50, width=60)
        return int(part_with_context(photo, region, options(blurring, defects=defects)).default_crop.top)

    tight = min(range(400, 470), key=lambda top: around(top, "map"))
    assert around(tight, "auto") >= around(tight, "map") + border_px(2)


@pytest.mark.parametrize(("found", "warned"), [(0, False), (10, False), (11, True)])
def test_a_warning_if_unusually_many_are_found(found: int, warned: bool) -> None:
    (*sentence,) = DefectCount(known=5000, found=found, pixels=90_000).warnings()
    assert len(sentence) == warned
    assert not warned or sentence[0].startswith("11 pixels were taken")


def test_summaries_count_them() -> None:
    assert [replaced_pixels(number) for number in (0, 1, 2)] == [
        "", "1 hot or dead pixel replaced", "2 hot or dead pixels replaced"
    ]  # fmt: skip


def test_there_are_two_ways() -> None:
    with pytest.raises(UsageError, match="auto, map"):
        DenoiseOptions(defects="off")
