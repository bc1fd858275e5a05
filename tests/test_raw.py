"""Reading raw files: synthetic DNGs for every trap, real files for every format at hand."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from synthetic_dng import ASCII, BYTE, DOUBLE, LONG, RATIONAL, SHORT, SRATIONAL, flat_frame, write_dng

from rawkd.errors import InputError, UnsupportedRawError
from rawkd.files.read.decode import Decoder
from rawkd.files.read.raw import libraw_levels, read_raw
from rawkd.files.tiff import dng_tags
from rawkd.files.tiff.tags import Ifd
from rawkd.photo import BAYER_PHASES, CFAPattern, Rect, Tag

REAL = {
    "blackmagic-pocket-gbrg.dng": ("GBRG", (1112, 1952), 256, 51080),
    "canon-g2-chart.crw": ("RGGB", (1720, 2312), 32, 1023),
    "canon-kiss-x4-hotpixels.dng": ("RGGB", (1156, 1734), 2056, 15000),
    "canon-s40-box-wide.crw": ("RGGB", (1720, 2312), 32, 1023),
    "canon-s40-box.crw": ("RGGB", (1720, 2312), 32, 1023),
    "gopro-hero7-chart-noiseprofile.dng": ("RGGB", (3000, 4000), 0, 16383),
    "kodak-dc120-a.kdc": ("GRBG", (976, 848), 0, 255),
    "kodak-dc120-compressed.kdc": ("GRBG", (976, 848), 0, 510),
    "kodak-dc50.kdc": ("GRBG", (512, 768), 0, 16383),
}
"""Phase, size of the active area, black and white of every file of the data folder."""


def mosaic_of_planes(pattern: str, values: dict[str, int], height: int, width: int) -> np.ndarray:
    """A noisy frame whose sites hold the given DN by colour of the row-major pattern."""
    frame = flat_frame(height, width, dn=0, noise=0).astype(np.int64)
    for site, colour in enumerate(pattern):
        frame[site // 2 :: 2, site % 2 :: 2] = values[colour]
    return (frame + np.random.default_rng(1).integers(-5, 6, frame.shape)).astype(np.uint16)


@pytest.mark.parametrize("pattern", BAYER_PHASES)
def test_every_phase_is_read_at_the_origin(read, pattern: CFAPattern) -> None:
    frame = mosaic_of_planes(pattern.colours, {"R": 2000, "G": 4000, "B": 8000}, 100, 120)
    photo = read(frame, pattern=pattern.colours)
    assert photo.pattern.name == str(pattern)
    assert photo.is_dng
    np.testing.assert_array_equal(photo.frame, frame)
    red = pattern.colours.index("R")
    assert photo.mosaic.data[red // 2 :: 2, red % 2 :: 2].mean() == pytest.approx(
        (2000 - 512) / (16383 - 512), abs=1e-4
    )


def test_an_odd_active_area_stays_where_the_tag_puts_it(read) -> None:
    frame = flat_frame(300, 400)
    photo = read(frame, pattern="GRBG", tags={50829: (LONG, (1, 1, 299, 399))})
    assert photo.active_area == Rect(1, 1, 298, 398)
    assert photo.default_crop == Rect(0, 0, 298, 398)
    assert photo.pattern.name == "GRBG"
    np.testing.assert_array_equal(photo.frame, frame)


@pytest.mark.parametrize("shape", [(33, 47), (22, 22), (65, 64), (23, 200)])
def test_odd_and_small_sizes(read, shape: tuple[int, int]) -> None:
    assert read(flat_frame(*shape)).mosaic.data.shape == shape


@pytest.mark.parametrize("shape", [(1, 1), (1, 64), (21, 64)])
def test_pictures_too_small_for_libraw_are_refused_by_name(read, shape: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="smaller than the 22"):
        read(flat_frame(*shape))


def test_an_active_area_of_one_pixel_is_refused_by_name(read) -> None:
    with pytest.raises(InputError, match="1 x 1 pixels is smaller than the 22"):
        read(flat_frame(64, 64), tags={50829: (LONG, (5, 7, 6, 8))})


def test_black_levels_of_4x4_sites_keep_their_places(read) -> None:
    black = np.arange(100.0, 116.0)
    photo = read(flat_frame(64, 64), tags={50713: (SHORT, (4, 4)), 50714: (RATIONAL, black)})
    np.testing.assert_array_equal(photo.levels.black_dn, black.reshape(4, 4))
    np.testing.assert_array_equal(photo.levels.black_map(6, 6)[4:, 4:], black.reshape(4, 4)[:2, :2])


@pytest.mark.parametrize("pattern", BAYER_PHASES)
def test_black_levels_of_2x2_sites_are_in_order_of_sites(read, pattern: CFAPattern) -> None:
    photo = read(
        flat_frame(64, 64), pattern=pattern.colours, tags={50713: (SHORT, (2, 2)), 50714: (SHORT, (10, 20, 30, 40))}
    )
    np.testing.assert_array_equal(photo.levels.black_dn, [[10, 20], [30, 40]])


def test_black_deltas_of_rows_and_columns_are_added(read) -> None:
    across, down = np.linspace(-4, 4, 48), np.linspace(0, 7.5, 32)
    tags = {50829: (LONG, (2, 4, 34, 52)), 50715: (SRATIONAL, across), 50716: (SRATIONAL, down)}
    photo = read(flat_frame(64, 64), tags=tags)
    np.testing.assert_allclose(photo.levels.black_map(32, 48), 512 + down[:, None] + across[None], atol=1e-6)


def test_black_deltas_of_the_wrong_length_are_refused(read) -> None:
    with pytest.raises(InputError, match="rows or columns"):
        read(flat_frame(64, 64), tags={50715: (SRATIONAL, np.ones(63))})


def test_a_neutral_above_1_is_normalised(read) -> None:
    photo = read(flat_frame(64, 64), tags={50728: (RATIONAL, (1.0, 2.477, 1.462))})
    np.testing.assert_allclose(photo.color.as_shot_neutral, np.array([1, 2.477, 1.462]) / 2.477, rtol=1e-6)


def test_a_white_point_stands_in_for_the_neutral(read) -> None:
    photo = read(flat_frame(64, 64), tags={50728: None, 50729: (RATIONAL, (0.3127, 0.3290))})
    expected = photo.color.camera_from_xyz @ [0.3127 / 0.3290, 1.0, 0.3583 / 0.3290]
    np.testing.assert_allclose(photo.color.as_shot_neutral, expected / expected.max(), rtol=1e-5)
    assert photo.warnings == ()


def test_what_is_missing_of_colour_is_a_warning(read) -> None:
    photo = read(flat_frame(64, 64), tags={50728: None, 50721: None})
    np.testing.assert_allclose(photo.color.as_shot_neutral, 1, atol=1e-3)
    assert len(photo.warnings) == 2
    assert "colour matrix" in photo.warnings[0]
    assert photo.warnings[1] == (
        "the file states no usable white balance, so rawkd assumed daylight. Photos in lamp light look orange: set the"
        " white balance in your editor."
    )


@pytest.mark.parametrize(("software", "own"), [("rawkd 0.1.0", True), ("rawkdown 2", False), ("darktable", False)])
def test_what_rawkd_wrote_is_known(read, software: str, own: bool) -> None:
    said = read(flat_frame(64, 64), tags={305: (ASCII, software)}).warnings
    assert said == ("rawkd wrote this file. Denoising it again removes detail. Use the original photo instead.",) * own


def test_the_matrix_of_d65_is_preferred_and_calibrated(read) -> None:
    warm, cool = np.eye(3) * 0.7, np.eye(3) * 0.9
    calibration = np.diag([1.1, 1.0, 0.9])
    tags = {
        50721: (SRATIONAL, warm),
        50722: (SRATIONAL, cool),
        50724: (SRATIONAL, calibration),
        50727: (RATIONAL, (1.0, 0.5, 1.0)),
        50778: (SHORT, 17),
        50779: (SHORT, 21),
        50730: (SRATIONAL, (-0.5,)),
    }
    color = read(flat_frame(64, 64), tags=tags).color
    np.testing.assert_allclose(color.camera_from_xyz, np.diag([0.99, 0.45, 0.81]), atol=1e-6)
    assert color.baseline_exposure == -0.5
    assert {tag.number for tag in color.tags} == {*tags, 50728}


@pytest.mark.parametrize("in_sub_ifd", [False, True])
@pytest.mark.parametrize("where", ["raw", "main"])
def test_a_noise_profile_is_found_in_either_directory(read, in_sub_ifd: bool, where: str) -> None:
    profile = {51041: (DOUBLE, (4e-4, 1e-7) * 3)}
    raw_tags, main_tags = (profile, {}) if where == "raw" or not in_sub_ifd else ({}, profile)
    photo = read(flat_frame(64, 64), tags=raw_tags, main_tags=main_tags, in_sub_ifd=in_sub_ifd)
    assert photo.noise_profile == (4e-4, 1e-7) * 3


def test_the_raw_directory_wins_over_ifd0(read) -> None:
    photo = read(
        flat_frame(64, 64),
        tags={51041: (DOUBLE, (4e-4, 1e-7))},
        main_tags={51041: (DOUBLE, (9e-4, 9e-7))},
        in_sub_ifd=True,
    )
    assert photo.noise_profile == (4e-4, 1e-7)
    assert photo.frame.shape == (64, 64)


@pytest.mark.parametrize("profile", [(np.nan, 0.0), (-1e-4, 0.0), (1e-4,), (2.0, 1e-6)])
def test_a_senseless_noise_profile_is_a_warning(read, profile: tuple[float, ...]) -> None:
    photo = read(flat_frame(64, 64), tags={51041: (DOUBLE, profile)})
    assert photo.noise_profile == ()
    assert "NoiseProfile" in photo.warnings[0]


def test_geometry_names_and_kept_tags(read) -> None:
    opcodes = (7, tuple(range(8)))
    tags = {
        50718: (RATIONAL, (1.5, 1.0)),
        50719: (RATIONAL, (4.0, 2.0)),
        50720: (RATIONAL, (40.0, 50.0)),
        274: (SHORT, 6),
        51009: opcodes,
        50781: (BYTE, tuple(range(16))),
        51111: (BYTE, tuple(range(16))),
        34855: (SHORT, 800),
    }
    photo = read(flat_frame(64, 64), tags=tags, byteorder=">")
    assert photo.default_crop == Rect(2, 4, 50, 40)
    assert photo.pixel_aspect == 1.5
    assert photo.upright_size == (60, 50)  # 50 rows of 40 pixels, stretched and turned
    assert photo.orientation == 6
    assert photo.capture.unique_camera_model == "Maker Model X"
    assert (photo.capture.make, photo.capture.model, photo.capture.iso) == ("Maker", "Model X", 800)
    assert {tag.number for tag in photo.tags} == {50707, 51009}
    assert next(tag.data for tag in photo.tags if tag.number == 51009) == bytes(range(8))


def test_pixels_that_no_sensor_has_are_taken_for_square() -> None:
    """LibRaw refuses to open a file that claims them, so a copy must not repeat the claim."""
    for scale, aspect in (((3_003_121_665, 1), 1.0), ((1, 50), 1.0), ((1, 0), 1.0), ((2, 1), 2.0)):
        raw = Ifd({50718: Tag(50718, 5, 2, struct.pack("<4I", scale[0], 1, scale[1], 1))})
        assert dng_tags.pixel_aspect(raw) == aspect


def test_the_crop_of_the_user_is_a_part_of_the_default_crop(read) -> None:
    """DefaultUserCrop: top, left, bottom, right, of a camera that was set to 16:9."""
    crop = {50719: (RATIONAL, (4.0, 2.0)), 50720: (RATIONAL, (56.0, 50.0))}
    photo = read(flat_frame(64, 64), tags=crop | {51125: (RATIONAL, (0.125, 0.25, 0.875, 1.0))})
    assert photo.default_crop == Rect(2, 4, 50, 56)
    assert photo.shown == photo.user_crop == Rect(2 + 6, 4 + 14, 38, 42)
    assert photo.upright_size == (38, 42)
    whole = read(flat_frame(64, 64), tags=crop | {51125: (RATIONAL, (0.0, 0.0, 1.0, 1.0))})
    assert (whole.user_crop, whole.shown) == (None, whole.default_crop)
    assert not any("user crop" in warning for warning in (*photo.warnings, *whole.warnings))


@pytest.mark.parametrize(
    "value", [(0.5, 0.0, 0.5, 1.0), (0.0, 0.0, 1.1, 1.0), (0.0, 0.0, 1.0), (0.5, 0.5, 0.501, 0.501)]
)
def test_an_impossible_crop_of_the_user_is_a_warning(read, value: tuple[float, ...]) -> None:
    photo = read(flat_frame(64, 64), tags={51125: (RATIONAL, value)})
    assert photo.user_crop is None
    assert any("user crop is invalid" in warning for warning in photo.warnings)


def test_a_linearisation_table_is_applied_and_opcode_list_1_goes(read) -> None:
    table = (np.arange(256, dtype=np.int64) ** 2 // 4).tolist()
    stored = np.random.default_rng(2).integers(60, 250, (64, 64), dtype=np.uint8)
    tags = {50712: (SHORT, table), 50717: (LONG, 16256), 50714: (RATIONAL, (100.0,)), 51008: (7, (0, 0, 0, 0))}
    photo = read(stored, tags=tags)
    np.testing.assert_array_equal(photo.frame, np.array(table)[stored])
    assert photo.levels.bits == 14
    assert 51008 not in {tag.number for tag in photo.tags}
    assert photo.dropped == ("opcode list 1",)


REFUSED = {
    "monochrome": ({"photometric": 1, "tags": {33421: None, 33422: None}}, "monochrome"),
    "linear": ({"photometric": 34892, "tags": {33421: None, 33422: None}}, "linear"),
    "x-trans": ({"tags": {33421: (SHORT, (6, 6)), 33422: (BYTE, (1, 0, 2, 1, 2, 0) * 6)}}, "X-Trans"),
    "quad": ({"tags": {33421: (SHORT, (4, 4)), 33422: (BYTE, (0, 0, 1, 1) * 4)}}, "4 x 4"),
    "cmyg": ({"tags": {33422: (BYTE, (3, 4, 5, 1)), 50710: (BYTE, (3, 4, 5, 1))}}, "four-colour"),
    "staggered": ({"tags": {50711: (SHORT, 2)}}, "Super-CCD"),
    "rows": ({"tags": {50975: (SHORT, 2)}}, "interleaved"),
    "columns": ({"tags": {52547: (SHORT, 4)}}, "interleaved"),
    "multi-raw": ({"in_sub_ifd": True, "copies": 4}, "4 raw pictures"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_mosaics_are_refused_by_name(read, kind: str) -> None:
    options, word = REFUSED[kind]
    frame = np.repeat(flat_frame(64, 64)[..., None], 3, axis=2) if kind == "linear" else flat_frame(64, 64)
    with pytest.raises(UnsupportedRawError, match=word) as caught:
        read(frame, **options)
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_floating_point_is_refused(read, dtype: type) -> None:
    with pytest.raises(UnsupportedRawError, match="floating-point"):
        read(flat_frame(64, 64).astype(dtype) / 16383)


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (5, "LZW"),
        (8, "deflate"),
        (9, "VC-5"),
        (32773, "PackBits"),
        (32946, "deflate"),
        (34892, "lossy JPEG"),
        (34925, "LZMA"),
        (50000, "Zstandard"),
        (52546, "JPEG XL"),
        (12345, "code 12345"),
    ],
)
def test_compressions_that_no_decoder_has_are_refused_by_name(tmp_path: Path, code: int, word: str) -> None:
    path = write_dng(tmp_path / "made.dng", flat_frame(64, 64))
    data = path.read_bytes()
    entry = bytes((3, 1, 3, 0, 1, 0, 0, 0))  # tag 259, SHORT, one value
    assert data.count(entry) == 1
    at = data.index(entry) + len(entry)
    path.write_bytes(data[:at] + code.to_bytes(2, "little") + data[at + 2 :])
    with pytest.raises(UnsupportedRawError, match=word):
        read_raw(path)


@pytest.mark.parametrize("name", REAL)
def test_real_files(data: Path, decoder: Decoder, name: str) -> None:
    pattern, shape, black, white = REAL[name]
    photo = read_raw(data / "raw" / name, decoder=decoder)
    assert photo.pattern.name == str(pattern)
    assert photo.mosaic.data.shape == shape
    assert float(photo.levels.black_dn.mean()) == black
    assert photo.levels.white_dn == white
    assert photo.levels.saturation_dn == white
    assert int(photo.frame.max()) < 2**photo.levels.bits
    np.testing.assert_array_equal(photo.levels.to_dn(photo.mosaic.data), photo.frame[photo.active_area.slices])


def test_the_linearisation_table_of_a_real_file(data: Path, decoder: Decoder) -> None:
    import imagecodecs
    import tifffile

    path = data / "raw" / "blackmagic-pocket-gbrg.dng"
    photo = read_raw(path, decoder=decoder)
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[0]
        table = np.array(page.tags[50712].value)
        handle = tif.filehandle
        tiles = []
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            handle.seek(offset)
            tiles.append(imagecodecs.ljpeg_decode(handle.read(count)))
    stored = np.concatenate([tile.reshape(1112, 976) for tile in tiles], axis=1)
    np.testing.assert_array_equal(photo.frame, table[stored])
    assert photo.levels.bits == 16


def test_a_missing_matrix_and_white_balance_are_stated(data: Path, decoder: Decoder) -> None:
    photo = read_raw(data / "raw" / "kodak-dc120-a.kdc", decoder=decoder)
    assert photo.pixel_aspect == pytest.approx(1.5346, abs=1e-3)
    assert [word in warning for word, warning in zip(("matrix", "white balance"), photo.warnings, strict=True)] == [
        True
    ] * 2
    np.testing.assert_allclose(photo.color.as_shot_neutral, 1, atol=1e-3)


@pytest.mark.parametrize("pattern", BAYER_PHASES)
def test_blacks_in_order_of_colour_return_to_their_sites(tmp_path: Path, decoder: Decoder, pattern: CFAPattern) -> None:
    """LibRaw gives blacks as R, G, B, G2: for other formats than DNG they are all that there is."""
    tags = {50713: (SHORT, (2, 2)), 50714: (SHORT, (10, 20, 30, 40))}
    path = write_dng(tmp_path / "made.dng", flat_frame(64, 64), pattern=pattern.colours, tags=tags)
    levels = libraw_levels(decoder.decode(path, 30), pattern)
    np.testing.assert_array_equal(levels.black_dn, [[10, 20], [30, 40]])


def test_what_people_wrote_of_a_raw_that_is_no_dng_is_kept(tmp_path: Path) -> None:
    """A NEF by its tags: rating and caption are in IFD0, where programs put them."""
    no_dng = dict.fromkeys((50706, 50707, 50708, 50721, 50728, 50778))
    words = {700: (BYTE, tuple(b"<x:xmpmeta/>")), 33723: (7, tuple(b"\x1c\x02\x78\0\5hello")), 18246: (SHORT, 4)}
    names = {271: (ASCII, "NIKON CORPORATION"), 272: (ASCII, "NIKON D700")}
    photo = read_raw(write_dng(tmp_path / "made.nef", flat_frame(256, 320), tags={**no_dng, **names, **words}))
    assert not photo.is_dng
    assert {tag.number: tag.data for tag in photo.tags} == {
        number: bytes(value) if isinstance(value, tuple) else b"\4\0" for number, (_, value) in words.items()
    }


@pytest.mark.parametrize("zone", ["UTC0", "Asia/Tokyo", "America/New_York"])
def test_a_cameras_clock_is_told_as_it_stood(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    photo = read_raw(Path(__file__).parents[1] / "examples" / "canon-s40-box.crw")
    assert photo.capture.datetime == "2021:03:26 21:16:32"  # as exiftool has it
