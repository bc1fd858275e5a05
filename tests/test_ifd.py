from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from rawkd.errors import OutputError
from rawkd.files.tiff import ifd, tags
from rawkd.files.tiff.ifd import OutputIfd
from rawkd.photo import Tag


@st.composite
def fields(draw: st.DrawFn) -> Tag:
    kind = draw(st.sampled_from(sorted(set(tags.SIZE_OF_TYPE) - {13})))
    count = draw(st.integers(1, 9))
    data = draw(st.binary(min_size=count * tags.SIZE_OF_TYPE[kind], max_size=count * tags.SIZE_OF_TYPE[kind]))
    number = draw(st.integers(1000, 30000))
    return Tag(number, kind, count, data)


FIELD_LISTS = st.lists(fields(), max_size=8, unique_by=lambda tag: tag.number)


def written(root: OutputIfd) -> bytes:
    stream = io.BytesIO()
    ifd.write_tiff(stream, root)
    return stream.getvalue()


def read(root: OutputIfd) -> tags.Ifd:
    tree = tags.read_tiff_bytes(written(root))
    assert tree is not None
    assert len(tree.chain) == 1
    return tree.main


def closed(tag: Tag) -> Tag:
    """Texts end with a zero in every file of ours (TIFF 6.0, section 2), also where the source lacks it."""
    is_open = tag.type == ifd.ASCII and tag.data[-1:] != b"\0"
    return Tag(tag.number, tag.type, tag.count + 1, tag.data + b"\0") if is_open else tag


@given(FIELD_LISTS, FIELD_LISTS, FIELD_LISTS, st.lists(st.binary(max_size=7), min_size=1, max_size=4))
def test_nested_directories_come_back(main: list[Tag], exif: list[Tag], gps: list[Tag], blocks: list[bytes]) -> None:
    some = Tag(31000, 3, 1, b"\1\0")
    raw = OutputIfd([some], {}, blocks, ifd.TILES)
    children = {
        tags.SUB_IFDS: (raw, OutputIfd([some])),
        tags.EXIF_IFD: (OutputIfd([*exif, some]),),
        tags.GPS_IFD: (OutputIfd([*gps, some]),),
    }
    root = OutputIfd([*main, some], children, (b"preview",))
    data = written(root)
    found = tags.read_tiff_bytes(data)
    assert found is not None
    top = found.main
    for given_tags, seen in ((main, top), (exif, top.exif), (gps, top.gps)):
        assert seen is not None
        assert [seen.tags[tag.number] for tag in given_tags] == [closed(tag) for tag in given_tags]
    assert len(top.sub) == 2
    offsets, counts = top.sub[0].numbers(324), top.sub[0].numbers(325)
    assert [data[int(o) : int(o + n)] for o, n in zip(offsets, counts, strict=True)] == blocks
    start, size = int(top.number(273) or 0), int(top.number(279) or 0)
    assert data[start : start + size] == b"preview"


def test_directories_are_sorted_and_aligned() -> None:
    root = OutputIfd(
        [ifd.ascii_text(305, "odd"), ifd.short(256, [7]), ifd.ascii_text(271, "even!")], {}, (b"abc", b"de")
    )
    data = written(root)
    count = struct.unpack_from("<H", data, 8)[0]
    entries = [struct.unpack_from("<HHII", data, 10 + 12 * i) for i in range(count)]
    numbers = [entry[0] for entry in entries]
    assert numbers == sorted(numbers) == [256, 271, 273, 279, 305]
    places = [value for number, kind, n, value in entries if n * tags.SIZE_OF_TYPE[kind] > 4]
    assert places
    assert all(place % 2 == 0 for place in places)


def test_tifffile_reads_it(tmp_path: Path) -> None:
    picture = np.arange(6 * 8, dtype="<u2").reshape(6, 8)
    base = [ifd.integers(256, [8]), ifd.integers(257, [6]), ifd.short(258, [16]), ifd.short(259, [1])]
    base += [ifd.short(262, [1]), ifd.short(277, [1]), ifd.integers(278, [4]), ifd.rational(282, [72.5])]
    root = OutputIfd(
        base,
        {tags.EXIF_IFD: (OutputIfd([ifd.rational(33434, [1 / 125])]),)},
        (picture[:4].tobytes(), picture[4:].tobytes()),
    )
    path = tmp_path / "a.tif"
    path.write_bytes(written(root))
    with tifffile.TiffFile(path) as file:
        assert np.array_equal(file.asarray(), picture)
        assert file.pages[0].tags["XResolution"].value == (145, 2)
        assert file.pages[0].tags["ExifTag"].value["ExposureTime"] == (1, 125)


@given(st.integers(0, 2**32 - 1), st.integers(1, 10**6))
def test_fractions_come_back(numerator: int, denominator: int) -> None:
    value = numerator / denominator
    tag = ifd.rational(1, [value])
    top, bottom = struct.unpack("<II", tag.data)
    if (2**32 - 1) / (value + 1) >= denominator:
        assert top * denominator == numerator * bottom
    assert abs(top / bottom - value) <= max(1e-9, 1e-9 * value)


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**4))
def test_signed_fractions_come_back(numerator: int, denominator: int) -> None:
    top, bottom = struct.unpack("<ii", ifd.srational(1, [numerator / denominator]).data)
    assert top * denominator == numerator * bottom


@pytest.mark.parametrize(
    "make",
    [
        lambda: ifd.rational(1, [-0.5]),
        lambda: ifd.rational(1, [2.0**33]),
        lambda: ifd.rational(1, [float("nan")]),
        lambda: ifd.srational(1, [float("inf")]),
        lambda: ifd.short(1, [70000]),
        lambda: ifd.long(1, [-1]),
        lambda: OutputIfd([ifd.short(1, [1]), ifd.short(1, [2])]),
        lambda: OutputIfd([ifd.long(330, [1])], {330: ()}),
        lambda: OutputIfd([Tag(1, 3, 2, b"\0\0")]),
        lambda: OutputIfd([Tag(1, 99, 1, b"\0")]),
        lambda: OutputIfd([Tag(1, 2, 0, b"")]),
    ],
)
def test_what_no_field_can_hold_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(OutputError, match="TIFF field"):
        make()


def test_integers_take_the_smaller_type() -> None:
    assert ifd.integers(1, [0, 65535]).type == ifd.SHORT
    assert ifd.integers(1, [65536]).type == ifd.LONG


class Huge(bytes):
    """A strip that claims two gigabytes."""

    def __len__(self) -> int:
        return 2**31


def test_more_than_four_gigabytes_are_refused_before_writing() -> None:
    stream = io.BytesIO()
    with pytest.raises(OutputError, match="limit of 4 GiB"):
        ifd.write_tiff(stream, OutputIfd([ifd.short(256, [1])], {}, (Huge(), Huge())))
    assert stream.getvalue() == b""
