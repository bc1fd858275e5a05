"""A DNG that does not say how its raw picture is stored, or what its levels are, is refused; padding is not."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from synthetic_dng import BYTE, LONG, RATIONAL, SHORT, SRATIONAL, TagValue, flat_frame, write_dng
from test_bad_raws import levels_of, night, refusal_of

from rawkd.errors import InputError
from rawkd.files.read.decode import Decoder
from rawkd.files.read.raw import read_raw
from rawkd.files.sanity import check_frame
from rawkd.files.tiff.layout import DECISIVE, refuse_unreadable
from rawkd.files.tiff.tags import Ifd
from rawkd.photo import Tag
from rawkd.sensor.blind.least_squares import inverse, non_negative

FLOAT = 11
FRAME = flat_frame(64, 96)
STRIP_OFFSETS, STRIP_BYTES, TILE_OFFSETS = 273, 279, 324


def entry_of(data: bytes, number: int) -> int:
    """The place of a field in IFD0 of a little-endian TIFF."""
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    places = {struct.unpack_from("<H", data, start)[0]: start for start in range(at + 2, at + 2 + 12 * count, 12)}
    return places[number]


def edited(path: Path, number: int, *, as_number: int | None = None, count: int | None = None, value: int) -> Path:
    """The file with another number, count or short value of a field; its type stays."""
    data = bytearray(path.read_bytes())
    at = entry_of(data, number)
    kind, old_count = struct.unpack_from("<HI", data, at + 2)
    layout = "<HHIHH" if kind == SHORT else "<HHII"
    rest = (value, 0) if kind == SHORT else (value,)
    struct.pack_into(layout, data, at, as_number or number, kind, old_count if count is None else count, *rest)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ({50714: (7, (1, 2, 3, 4))}, "BlackLevel"),
        ({50714: (FLOAT, (float("nan"),))}, "BlackLevel"),
        ({50713: (FLOAT, (float("inf"),) * 2)}, "BlackLevelRepeatDim"),
        ({50717: (FLOAT, (float("nan"),))}, "WhiteLevel"),
        ({50712: (7, (1, 2, 3, 4))}, "LinearizationTable"),
        ({50715: (FLOAT, (float("nan"),) * 96)}, "BlackLevelDeltaH"),
        ({50716: (FLOAT, (float("nan"),) * 64)}, "BlackLevelDeltaV"),
        ({50829: (7, (0, 0, 64, 96))}, "ActiveArea"),
        ({33421: (7, (2, 2))}, "CFARepeatPatternDim"),
        ({50711: (FLOAT, (float("nan"),))}, "CFALayout"),
    ],
    ids=str,
)
def test_a_tag_that_decides_pixels_is_readable_or_refused(
    tmp_path: Path, decoder: Decoder, tags: dict[int, TagValue], name: str
) -> None:
    error = refusal_of(write_dng(tmp_path / "made.dng", FRAME, tags=tags), decoder)
    assert f"its {name} (tag {next(iter(tags))}) cannot be read" in str(error)


def test_a_black_level_of_256_over_0_is_refused(tmp_path: Path, decoder: Decoder) -> None:
    path = write_dng(tmp_path / "made.dng", FRAME)
    data = bytearray(path.read_bytes())
    (at,) = struct.unpack_from("<I", data, entry_of(data, 50714) + 8)
    assert struct.unpack_from("<II", data, at) == (512, 1)
    struct.pack_into("<II", data, at, 256, 0)
    path.write_bytes(data)
    assert "its BlackLevel (tag 50714) cannot be read" in str(refusal_of(path, decoder))


@pytest.mark.parametrize("number", [50714, 50717])
@pytest.mark.parametrize("count", [0, 2**30])
def test_a_level_with_a_senseless_count_is_refused(tmp_path: Path, decoder: Decoder, number: int, count: int) -> None:
    path = edited(write_dng(tmp_path / "made.dng", FRAME), number, count=count, value=16)
    assert f"(tag {number}) cannot be read" in str(refusal_of(path, decoder))


@given(number=st.sampled_from(sorted(DECISIVE)), is_damaged=st.booleans())
def test_every_decisive_tag_is_named(number: int, is_damaged: bool) -> None:
    text = {} if is_damaged else {number: Tag(number, 2, 3, b"ab\0")}
    with pytest.raises(InputError, match=f"tag {number}"):
        refuse_unreadable(Ifd(text, damaged=frozenset({number} if is_damaged else ())))


def test_what_is_absent_has_its_default(tmp_path: Path, decoder: Decoder) -> None:
    refuse_unreadable(Ifd({}))
    tags = {50713: None, 50714: None, 50717: None}
    levels = read_raw(write_dng(tmp_path / "made.dng", FRAME, tags=tags), decoder=decoder).levels
    assert (levels.mean_black_dn, levels.white_dn) == (0, 65535)


def test_a_negative_black_level_is_refused(tmp_path: Path, decoder: Decoder) -> None:
    tags: dict[int, TagValue] = {50714: (SRATIONAL, (-256.0,))}
    assert "black level -256 is negative" in str(
        refusal_of(write_dng(tmp_path / "made.dng", FRAME, tags=tags), decoder)
    )


def test_a_crop_that_cannot_be_read_is_a_warning(tmp_path: Path, decoder: Decoder) -> None:
    tags: dict[int, TagValue] = {50719: (7, (1, 2)), 50720: (RATIONAL, (60.0, 40.0))}
    photo = read_raw(write_dng(tmp_path / "made.dng", FRAME, tags=tags), decoder=decoder)
    assert (photo.default_crop.height, photo.default_crop.width) == FRAME.shape
    assert "cannot be read" in photo.warnings[0]


@pytest.mark.parametrize(("bits", "words"), [(0, "bits of a pixel"), (8, "states 8 bits"), (12, "states 12 bits")])
def test_bits_that_contradict_the_bytes_are_refused(tmp_path: Path, decoder: Decoder, bits: int, words: str) -> None:
    path = edited(write_dng(tmp_path / "made.dng", FRAME), 258, value=bits)
    assert words in str(refusal_of(path, decoder))


def test_missing_bits_are_refused(tmp_path: Path, decoder: Decoder) -> None:
    path = edited(write_dng(tmp_path / "made.dng", FRAME), 258, as_number=255, value=16)
    assert "bits of a pixel" in str(refusal_of(path, decoder))


@pytest.mark.parametrize("more", [-12288, -100, 1, 4096])
def test_byte_counts_that_fit_no_number_of_bits_are_left_to_the_decoder(
    tmp_path: Path, decoder: Decoder, more: int
) -> None:
    """Cameras pad, and some state no byte counts at all; the picture is whole."""
    path = edited(write_dng(tmp_path / "made.dng", FRAME), STRIP_BYTES, value=FRAME.nbytes + more)
    path.write_bytes(path.read_bytes() + bytes(4096))
    np.testing.assert_array_equal(read_raw(path, decoder=decoder).frame, FRAME)


def tiled(path: Path) -> Path:
    """A DNG of 2 x 2 uncompressed tiles; its tags are those of `write_dng`."""
    extra = [
        (50706, BYTE, 4, (1, 4, 0, 0), True),
        (33421, SHORT, 2, (2, 2), True),
        (33422, BYTE, 4, (0, 1, 1, 2), True),
    ]
    extra += [(50714, SHORT, 1, 512, True), (50717, LONG, 1, 16383, True)]
    frame = flat_frame(64, 128)
    tifffile.imwrite(path, frame, photometric=32803, tile=(32, 64), subfiletype=0, metadata=None, extratags=extra)
    return path


def test_tiles_are_read(tmp_path: Path, decoder: Decoder) -> None:
    np.testing.assert_array_equal(read_raw(tiled(tmp_path / "made.dng"), decoder=decoder).frame, flat_frame(64, 128))


@pytest.mark.parametrize(
    ("offsets", "words"),
    [
        (lambda at: [0 * at[0]] * 4, "overlap its header"),
        (lambda at: [at[0]] * 4, "overlap one another"),
        (lambda at: [at[0], at[1], at[2], at[2]], "overlap one another"),
        (lambda at: [at[0], at[1] - 2, at[2], at[3]], "overlap one another"),
    ],
)
def test_tiles_that_overlap_are_refused(tmp_path: Path, decoder: Decoder, offsets, words: str) -> None:
    path = tiled(tmp_path / "made.dng")
    data = bytearray(path.read_bytes())
    (at,) = struct.unpack_from("<I", data, entry_of(data, TILE_OFFSETS) + 8)
    struct.pack_into("<4I", data, at, *offsets(struct.unpack_from("<4I", data, at)))
    path.write_bytes(data)
    assert words in str(refusal_of(path, decoder))


def test_a_strip_in_the_header_is_refused(tmp_path: Path, decoder: Decoder) -> None:
    path = edited(write_dng(tmp_path / "made.dng", FRAME), STRIP_OFFSETS, value=0)
    assert "strips of its raw picture overlap its header" in str(refusal_of(path, decoder))


def test_a_picture_below_black_is_refused(tmp_path: Path, decoder: Decoder) -> None:
    tags: dict[int, TagValue] = {50714: (SHORT, (9000,))}
    assert "far below black" in str(refusal_of(write_dng(tmp_path / "made.dng", FRAME, tags=tags), decoder))


def test_noise_around_black_is_not_below_it() -> None:
    """Noise as large as a tenth of the range: more than a quarter of the pixels lie far below black."""
    frame = night(4096, 1230)
    levels = levels_of(4096)
    assert np.mean(frame < 4096 - 0.05 * levels.range_dn) > 0.25
    check_frame(frame, levels)
    with pytest.raises(InputError, match="far below black"):
        check_frame(np.maximum(frame, 700) - 700, levels)


def test_least_squares_without_data_for_an_unknown() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solution = non_negative(np.diag([0.0, 4.0]), np.array([0.0, 8.0]))
        covariance = inverse(np.diag([0.0, 4.0]))
    np.testing.assert_allclose(solution, [0, 2], rtol=1e-12)
    assert np.isfinite(covariance).all()
    assert covariance[0, 0] > 1e12
    assert covariance[1, 1] == pytest.approx(0.25)
