"""Maker notes: the output's decode like the source's, and notes that cannot be kept are named and left out."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from maker_notes import CANON, MAKERS, MINOLTA, NIKON, Maker, write_source, write_with_note
from test_dng import photo_of, tree_of, write
from test_metadata import box
from test_tags import tiff

from rawkd.files.read.containers import CANON_UUID, MAX_MRW_BLOCKS, read_mrw_blocks, read_tag_tree
from rawkd.files.read.decode import Decoder
from rawkd.files.read.maker.ciff import MAX_DEPTH, _Heaps, read_ciff
from rawkd.files.read.maker.keep import with_maker_notes
from rawkd.files.read.raw import read_raw
from rawkd.files.tiff.maker_note import MAX_NOTE_BYTES, MakerNote, note_record, private_data, record, record_names
from rawkd.files.tiff.tags import Ifd, TagTree, read_tiff_bytes
from rawkd.photo import Tag

needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")
PRIVATE_DATA, SAFETY, NOTE = 50740, 50741, 37500


def decoded(path: Path) -> dict[str, Any]:
    """What exiftool reads from the maker notes of a file."""
    done = subprocess.run(
        ["exiftool", "-j", "-G1", "-a", "-s", "-q", "-MakerNotes:all", "-Warning", str(path)],
        capture_output=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)[0] if done.stdout.strip() else {}
    return {name: value for name, value in found.items() if name != "SourceFile"}


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.make.split()[0])
def maker(request: pytest.FixtureRequest) -> Maker:
    found: Maker = request.param
    return found


@needs_exiftool
def test_exiftool_decodes_the_same_from_the_output(tmp_path: Path, maker: Maker, decoder: Decoder) -> None:
    source = tmp_path / "source.dng"
    at = write_source(source, maker)
    photo = read_raw(source, decoder=decoder)
    assert photo.dropped == ()
    output = write(tmp_path, photo)
    stated = decoded(source)
    plain = {name.split(":")[1]: str(value).strip() for name, value in stated.items()}
    assert maker.shown.items() <= plain.items()
    assert decoded(output) == stated
    tree = tree_of(output)
    assert tree.main.exif is not None
    assert NOTE not in tree.main.exif.tags  # it would break at its new place
    assert tree.main.tags[PRIVATE_DATA].data == b"Adobe\0MakN" + struct.pack(">I", 6 + len(maker.note(at))) + b"II" + (
        struct.pack(">I", at) + maker.note(at) + b"\0" * (len(maker.note(at)) % 2)
    )
    wrong = replace(photo, tags=(private_data([note_record(MakerNote(maker.note(at), b"II", at + 64))]),))
    assert (decoded(write(tmp_path, wrong)) == stated) == maker.is_relative  # the old offset matters


def test_the_record_of_big_endian_notes() -> None:
    """Layout: Adobe, NUL, MakN, length of what follows, byte order, old offset, the notes, a NUL to make it even."""
    tree = read_tiff_bytes(tiff([(NOTE, 7, 7, b"SECRETS")], ">"))
    assert tree is not None
    note = tree.main.maker_note
    assert note == MakerNote(b"SECRETS", b"MM", 8 + 2 + 12 + 4)
    assert private_data([note_record(note)]) == Tag(PRIVATE_DATA, 1, 28, b"Adobe\0MakN\0\0\0\x0dMM\0\0\0\x1aSECRETS\0")
    assert record_names(private_data([note_record(note), record(b"MRW ", b"")])) == (b"MakN", b"MRW ")


@pytest.mark.parametrize(
    ("length", "offset"),
    [(50_000, 8), (20, 0xFFFFFF00), (0xFFFFFFFF, 0xFFFFFFFF)],
    ids=["longer than the file", "outside the file", "largest"],
)
def test_notes_outside_the_file_are_named_and_left_out(
    tmp_path: Path, decoder: Decoder, length: int, offset: int
) -> None:
    path = tmp_path / "source.dng"
    write_with_note(path, CANON, Tag(NOTE, 7, 20, bytes(range(20))))
    data = path.read_bytes()
    at = data.index(struct.pack("<HHI", NOTE, 7, 20))
    path.write_bytes(data[:at] + struct.pack("<HHII", NOTE, 7, length, offset) + data[at + 12 :])
    photo = read_raw(path, decoder=decoder)
    assert photo.dropped == ("maker notes (they extend beyond the end of the file)",)
    main = tree_of(write(tmp_path, photo)).main
    assert PRIVATE_DATA not in main.tags
    assert main.text(271) == "Canon"


@pytest.mark.parametrize(("size", "is_kept"), [(MAX_NOTE_BYTES, True), (10_000_000, False)])
def test_notes_of_10_mb_are_named_and_left_out(tmp_path: Path, decoder: Decoder, size: int, is_kept: bool) -> None:
    path = tmp_path / "source.dng"
    write_with_note(path, CANON, Tag(NOTE, 7, size, bytes(size)))
    photo = read_raw(path, decoder=decoder)
    assert photo.dropped == (() if is_kept else ("maker notes (they have 10.0 MB, more than any camera writes)",))
    field = tree_of(write(tmp_path, photo)).main.tags.get(PRIVATE_DATA)
    assert (0 if field is None else field.count) == (6 + 8 + 6 + size if is_kept else 0)


@pytest.mark.parametrize("make", ["Phase One A/S", "Leaf", "GEDSC IMAGING CORP.", "General Imaging Co."])
def test_notes_that_lose_their_meaning_are_not_kept(tmp_path: Path, decoder: Decoder, make: str) -> None:
    path = tmp_path / "source.dng"
    write_with_note(path, replace(CANON, make=make), Tag(NOTE, 7, 8, b"notes..."))
    photo = read_raw(path, decoder=decoder)
    assert photo.dropped == ("maker notes",)
    assert PRIVATE_DATA not in {tag.number for tag in photo.tags}


def test_a_dngs_own_private_data_and_safety_stay(tmp_path: Path, decoder: Decoder) -> None:
    """Data of another maker stay byte by byte; a record of Adobe's is extended if it has no maker notes yet."""
    path, note = tmp_path / "source.dng", Tag(NOTE, 7, 8, b"notes...")
    safety = Tag(SAFETY, 3, 1, b"\1\0")
    other = Tag(PRIVATE_DATA, 1, 20, b"PENTAX \0MM0123456789")
    write_with_note(path, CANON, note, tags=(other, safety))
    photo = read_raw(path, decoder=decoder)
    assert photo.dropped == ("maker notes",)
    main = tree_of(write(tmp_path, photo)).main
    assert (main.tags[PRIVATE_DATA], main.tags[SAFETY]) == (other, safety)
    copied = Tag(PRIVATE_DATA, 1, 16, b"PENTAX \0notes...")
    write_with_note(path, CANON, note, tags=(copied,))
    assert read_raw(path, decoder=decoder).dropped == ()
    for own, names in (
        (private_data([record(b"SR2 ", b"12")]), (b"SR2 ", b"MakN")),
        (private_data([record(b"MakN", b"II\0\0\0\0older")]), (b"MakN",)),
    ):
        write_with_note(path, CANON, note, tags=(own,))
        photo = read_raw(path, decoder=decoder)
        field = tree_of(write(tmp_path, photo)).main.tags[PRIVATE_DATA]
        assert field.data.startswith(own.data)
        assert record_names(field) == names
        assert (photo.dropped == ()) == (names[0] == b"SR2 ")


def test_damaged_private_data_have_no_records() -> None:
    whole = private_data([record(b"MakN", b"12345678")]).data
    for cut in range(len(whole)):
        names = record_names(Tag(PRIVATE_DATA, 1, cut, whole[:cut]))
        assert names == (() if cut == 6 else None)


def test_notes_of_a_cr3_have_a_tiff_header_of_their_own(tmp_path: Path) -> None:
    notes = tiff([(6, 2, 13, b"Canon EOS R6\0")])
    parts = ((b"CMT1", tiff([(271, 2, 6, b"Canon\0")])), (b"CMT2", tiff([(34855, 3, 1, b"\x64\0")])), (b"CMT3", notes))
    canon = CANON_UUID + b"".join(box(kind, blob) for kind, blob in parts)
    path = tmp_path / "photo.cr3"
    path.write_bytes(box(b"ftyp", b"crx \0\0\0\1crx isom") + box(b"moov", box(b"uuid", canon)))
    tree = read_tag_tree(path)
    assert tree is not None
    assert tree.main.exif is not None
    assert tree.main.exif.maker_note == MakerNote(notes[8:], b"II", 8)


def test_notes_of_a_rw2_are_in_its_jpeg(tmp_path: Path) -> None:
    exif = tiff([(NOTE, 7, 9, b"Panasonic"), (42036, 2, 8, b"LUMIX G\0")])
    main = tiff([(34665, 4, 1, struct.pack("<I", 8 + 2 + 12 + 4))])
    inner = bytearray(main + exif[8:])
    for entry in (len(main) + 2, len(main) + 14):
        (offset,) = struct.unpack_from("<I", inner, entry + 8)
        struct.pack_into("<I", inner, entry + 8, offset - 8 + len(main))
    segment = b"Exif\0\0" + bytes(inner)
    jpeg = b"\xff\xd8\xff\xe1" + struct.pack(">H", 2 + len(segment)) + segment + b"\xff\xd9"
    path = tmp_path / "photo.rw2"
    path.write_bytes(b"IIU\0" + tiff([(46, 7, len(jpeg), jpeg)])[4:])
    tree = read_tag_tree(path)
    assert tree is not None
    assert tree.main.exif is not None
    note = tree.main.exif.maker_note
    assert note is not None
    assert note.data == b"Panasonic"
    assert segment[6 + note.offset :].startswith(b"Panasonic")
    assert tree.main.exif.text(42036) == "LUMIX G"


@needs_exiftool
def test_blocks_of_a_minolta_raw(tmp_path: Path) -> None:
    """PRD and the like go into a record of their own; EXIF, which the DNG has anyway, does not."""
    prd = b"27200001" + struct.pack(">8H", 2456, 3272, 2448, 3264, 0x0C0C, 0x5900, 0, 1)
    main = tiff([(271, 2, 18, b"Minolta Co., Ltd.\0"), (NOTE, 7, 10, MINOLTA.note(0)[:10])])
    blocks = [(b"\0PRD", prd), (b"\0TTW", main)]
    content = b"".join(kind + struct.pack(">I", len(data)) + data for kind, data in blocks)
    path = tmp_path / "photo.mrw"
    path.write_bytes(b"\0MRM" + struct.pack(">I", len(content)) + content)
    photo = with_maker_notes(photo_of(), path, read_tag_tree(path), None, {})
    assert photo.dropped == ()
    output = write(tmp_path, photo)
    assert record_names(tree_of(output).main.tags[PRIVATE_DATA]) == (b"MakN", b"MRW ")
    assert decoded(output)["MinoltaRaw:FirmwareID"] == decoded(path)["MinoltaRaw:FirmwareID"] == 27200001


def heap(values: list[tuple[int, bytes]]) -> bytes:
    """A CIFF heap: values, then the directory, then where the directory is."""
    body, table = b"", struct.pack("<H", len(values))
    for tag, data in values:
        if tag & 0x4000:
            table += struct.pack("<H", tag) + data.ljust(8, b"\0")
        else:
            table += struct.pack("<HII", tag, len(data), len(body))
            body += data
    return body + table + struct.pack("<I", len(body))


def crw(*inner: tuple[int, bytes]) -> bytes:
    camera = heap([(0x080A, b"Canon\0Canon PowerShot S40\0"), (0x580E, struct.pack("<II", 0x1110000, 0)), *inner])
    return b"II\x1a\0\0\0HEAPCCDR" + bytes(12) + heap([(0x2005, bytes(100)), (0x300A, heap([(0x2807, camera)]))])


@needs_exiftool
def test_the_heap_of_a_crw_becomes_a_record(tmp_path: Path) -> None:
    settings = struct.pack("<26H", *[52] + [0] * 22, 681, 227, 32)
    path = tmp_path / "photo.crw"
    path.write_bytes(crw((0x102D, settings), (0x0810, b"the owner\0")))
    photo = with_maker_notes(photo_of(), path, None, read_ciff(path), {})
    assert photo.dropped == ()
    output = write(tmp_path, photo)
    stated = decoded(path)
    del stated["CanonRaw:RawData"]
    assert (stated["CanonRaw:OwnerName"], stated["Canon:MaxFocalLength"]) == ("the owner", "21.28125 mm")
    assert decoded(output) == stated


def test_a_crw_that_nests_without_end_is_read_to_a_depth(tmp_path: Path) -> None:
    inner = heap([(0x0810, b"deep")])
    for _ in range(MAX_DEPTH):
        inner = heap([(0x080A, b"Canon\0"), (0x2807, inner)])
    path = tmp_path / "photo.crw"
    path.write_bytes(b"II\x1a\0\0\0HEAPCCDR" + bytes(12) + inner)
    ciff = read_ciff(path)
    assert ciff is not None
    assert [one.number for one in ciff.records] == [0x080A] * MAX_DEPTH


class CountedReads(io.BytesIO):
    """A file that counts how often it is read."""

    reads = 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        return super().read(size)


def test_a_heap_that_contains_itself_is_read_once() -> None:
    """Each of 100 entries leads back to the heap; without a limit that is 100 ** 3 heaps."""
    size = 2 + 101 * 10 + 4
    table = struct.pack("<HII", 0x2807, size, 0) * 100 + struct.pack("<H8s", 0x580E, b"abcdefgh")
    stream = CountedReads(struct.pack("<H", 101) + table + bytes(4))
    assert [one.data for one in _Heaps(stream, "<").records(0, size, MAX_DEPTH)] == [b"abcdefgh"]
    assert stream.reads == 3  # the directory's place, its length and its entries


def test_all_heaps_share_one_budget() -> None:
    """Ten heaps of 300 entries without values, of which the first two use the budget up."""
    beyond = struct.pack("<HII", 0x0810, 100_000, 0)
    inner = struct.pack("<H", 300) + beyond * 300 + bytes(4)
    stream = CountedReads(heap([(0x2807, inner)] * 10))
    heaps = _Heaps(stream, "<")
    assert list(heaps.records(0, len(stream.getvalue()), MAX_DEPTH)) == []
    assert heaps.entries_left == 0
    assert stream.reads == 3 * 3  # three reads for each of three heaps


def test_a_minolta_raw_of_zeros_has_few_blocks(tmp_path: Path) -> None:
    """Zeros read as blocks without name or content, far more than the 65535 that a record can count."""
    path = tmp_path / "photo.mrw"
    path.write_bytes(b"\0MRM" + struct.pack(">I", 1 << 20) + bytes(1 << 20))
    assert len(read_mrw_blocks(path)) == MAX_MRW_BLOCKS
    photo = replace(photo_of(), tags=())
    note = MakerNote(MINOLTA.note(0), b"MM", 1000)
    tree = TagTree((Ifd({}, exif=Ifd({}, maker_note=note)),))
    (tag,) = with_maker_notes(photo, path, tree, None, {}).tags
    assert record_names(tag) == (b"MakN", b"MRW ")


def test_blocks_of_a_minolta_raw_end_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "photo.mrw"
    path.write_bytes(b"\0MRM" + struct.pack(">I", 1 << 20) + b"\0PRD" + struct.pack(">I", 4) + b"abcd")
    assert read_mrw_blocks(path) == ((b"\0PRD", b"abcd"),)


def test_a_cut_crw_is_no_error(tmp_path: Path) -> None:
    whole = crw((0x102D, bytes(52)))
    path = tmp_path / "photo.crw"
    for cut in range(14, len(whole), 7):
        path.write_bytes(whole[:cut])
        assert with_maker_notes(photo_of(), path, None, read_ciff(path), {}).dropped in ((), ("maker notes",))


def test_real_crws_keep_their_notes(data: Path, decoder: Decoder) -> None:
    photo = read_raw(data / "raw" / "canon-s40-box.crw", decoder=decoder)
    assert photo.dropped == ()
    assert [record_names(tag) for tag in photo.tags if tag.number == PRIVATE_DATA] == [(b"CRW ",)]


def test_notes_change_no_pixel(tmp_path: Path, decoder: Decoder) -> None:
    path = tmp_path / "source.dng"
    write_source(path, NIKON)
    photo = read_raw(path, decoder=decoder)
    output = write(tmp_path, photo)
    np.testing.assert_array_equal(read_raw(output, decoder=decoder).frame, photo.frame)
    again = read_raw(output, decoder=decoder)
    assert [tag for tag in again.tags if tag.number == PRIVATE_DATA] == [
        tag for tag in photo.tags if tag.number == PRIVATE_DATA
    ]
