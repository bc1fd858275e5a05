"""Reading TIFF structures: values, byte orders, nesting, and the limits on what a damaged file may cost."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawkd.errors import InputError, UnsupportedRawError
from rawkd.files.tiff.tags import MAX_IFDS, SIZE_OF_TYPE, SKIPPED_TAGS, read_tiff, read_tiff_bytes, tag_numbers
from rawkd.photo import Tag

CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d"}


def tiff(entries: list[tuple[int, int, int, bytes]], order: str = "<", following: int = 0) -> bytes:
    """A TIFF of one directory at offset 8; values longer than four bytes follow it."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    at = 8 + 2 + 12 * len(entries) + 4
    table, values = struct.pack(order + "H", len(entries)), b""
    for number, kind, count, data in entries:
        table += struct.pack(order + "HHI", number, kind, count)
        if len(data) <= 4:
            table += data.ljust(4, b"\0")
        else:
            table += struct.pack(order + "I", at + len(values))
            values += data
    return head + table + struct.pack(order + "I", following) + values


@given(
    kind=st.sampled_from(sorted(CODES)),
    values=st.lists(st.integers(0, 100), min_size=1, max_size=9),
    order=st.sampled_from("<>"),
)
def test_values_of_both_byte_orders_come_out_little_endian(kind: int, values: list[int], order: str) -> None:
    code = CODES[kind]
    data = struct.pack(f"{order}{len(values)}{code}", *values)
    tree = read_tiff_bytes(tiff([(50714, kind, len(values), data)], order))
    assert tree is not None
    tag = tree.main.tags[50714]
    assert tag == Tag(50714, kind, len(values), struct.pack(f"<{len(values)}{code}", *values))
    assert tree.main.numbers(50714) == tuple(map(float, values))


@given(data=st.binary(max_size=400))
def test_any_bytes_end_in_a_tree_or_in_a_named_error(data: bytes) -> None:
    for head in (b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"):
        try:
            tree = read_tiff(io.BytesIO(head + data))
        except InputError:
            continue
        for ifd in tree.all_ifds() if tree is not None else ():
            for tag in ifd.tags.values():
                assert len(tag.data) == tag.count * SIZE_OF_TYPE[tag.type]
                assert tag.count > 0 or tag.number in SKIPPED_TAGS
                tag_numbers(tag)
                ifd.text(tag.number)


@pytest.mark.parametrize("order", "<>")
def test_rationals_and_division_by_zero(order: str) -> None:
    data = struct.pack(order + "4i", -1, 2, 3, 4)
    tree = read_tiff_bytes(tiff([(1, 10, 2, data), (2, 5, 1, struct.pack(order + "2I", 1, 0))], order))
    assert tree is not None
    assert tree.main.numbers(1) == (-0.5, 0.75)
    assert tree.main.numbers(2) == ()
    assert tree.main.number(2) is None


def test_numbers_that_are_not_finite_are_none() -> None:
    tree = read_tiff_bytes(tiff([(1, 12, 1, struct.pack("<d", float("nan"))), (2, 2, 3, b"ab\0")]))
    assert tree is not None
    assert tree.main.numbers(1) == ()
    assert tree.main.numbers(2) == ()
    assert tree.main.text(2) == "ab"


def test_exif_gps_and_sub_directories_are_found() -> None:
    blob = bytearray(tiff([(34665, 4, 1, b"\0" * 4), (34853, 4, 1, b"\0" * 4), (330, 4, 2, b"\0" * 8)]))
    values_at = len(blob) - 8
    for slot, number in enumerate((33434, 2, 256, 257)):
        offset = len(blob)
        blob += tiff([(number, 4, 1, struct.pack("<I", number))])[8:]
        at = (18 + 12 * slot) if slot < 2 else values_at + 4 * (slot - 2)
        blob[at : at + 4] = struct.pack("<I", offset)
    tree = read_tiff_bytes(bytes(blob))
    assert tree is not None
    assert tree.main.exif is not None
    assert tree.main.gps is not None
    assert tree.main.exif.number(33434) == 33434
    assert tree.main.gps.number(2) == 2
    assert [sorted(ifd.tags) for ifd in tree.main.sub] == [[256], [257]]
    assert len(list(tree.all_ifds())) == 3


def test_directories_that_point_at_each_other_end() -> None:
    tree = read_tiff_bytes(tiff([(330, 4, 1, struct.pack("<I", 8))], following=8))
    assert tree is not None
    assert len(list(tree.all_ifds())) == 1


def test_a_long_chain_is_cut() -> None:
    blob = b"II*\0\x08\0\0\0"
    for number in range(200):
        blob += tiff([(256, 4, 1, b"\1\0\0\0")], following=8 + 18 * (number + 1))[8:]
    tree = read_tiff_bytes(blob)
    assert tree is not None
    assert len(tree.chain) == MAX_IFDS


def test_values_outside_the_file_and_unknown_types_are_left_out() -> None:
    outside = struct.pack("<HHII", 1, 4, 100, 5000)
    unknown = struct.pack("<HHII", 2, 99, 1, 0)
    sound = struct.pack("<HHII", 3, 4, 1, 7)
    tree = read_tiff_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", 3) + outside + unknown + sound + bytes(4 + 500))
    assert tree is not None
    assert sorted(tree.main.tags) == [3]


def test_tags_that_claim_the_file_again_and_again_are_refused() -> None:
    size = 1 << 20
    entries = b"".join(struct.pack("<HHII", number, 1, size, 0) for number in range(1000, 1200))
    blob = b"II*\0\x08\0\0\0" + struct.pack("<H", 200) + entries
    with pytest.raises(InputError, match="more data than any camera writes"):
        read_tiff_bytes(blob.ljust(size, b"\0"))


@pytest.mark.parametrize("blob", [b"", b"II", b"XX*\0\x08\0\0\0", b"II\x07\0\x08\0\0\0"])
def test_what_is_no_tiff_is_none(blob: bytes) -> None:
    assert read_tiff_bytes(blob) is None


def test_a_tiff_without_a_directory_is_damaged() -> None:
    with pytest.raises(InputError, match="first directory"):
        read_tiff_bytes(b"II*\0\xff\xff\0\0")
    with pytest.raises(UnsupportedRawError, match="BigTIFF"):
        read_tiff_bytes(b"II+\0\x08\0\0\0")


@pytest.mark.parametrize("order", ["<", ">"])
def test_streams_of_bytes_keep_their_order_whatever_their_type(order: str) -> None:
    """IPTC has an order of its own; programs call it LONG."""
    stream = b"\x1c\x02\x00\x00\x02\x00\x04\0"
    table = struct.pack(order + "HHHIII", 1, 33723, 4, 2, 26, 0)
    blob = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8) + table + stream
    tree = read_tiff_bytes(blob)
    assert tree is not None
    assert tree.main.tags[33723] == Tag(33723, 7, 8, stream)
