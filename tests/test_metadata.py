"""Capture fields of every format, and the spelling of camera names."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from synthetic_dng import RATIONAL, SRATIONAL, flat_frame
from synthetic_dng import write_dng as write_with_tags
from test_tags import tiff

from rawkd.files.read.containers import CANON_UUID, read_ciff_make_model, read_tag_tree
from rawkd.files.read.metadata import MAKER_NOTE, read_capture, unique_camera_model
from rawkd.files.read.raw import read_raw
from rawkd.files.tiff.tags import Ifd, TagTree, read_tiff_bytes
from rawkd.photo import Tag
from rawkd.process import ProcessOptions, process_file
from rawkd.restore.options import DenoiseOptions


def ascii_entry(number: int, text: str) -> tuple[int, int, int, bytes]:
    data = text.encode() + b"\0"
    return number, 2, len(data), data


def rational_entry(number: int, numerator: int, denominator: int) -> tuple[int, int, int, bytes]:
    return number, 5, 1, struct.pack("<II", numerator, denominator)


MAIN = tiff([ascii_entry(271, "Canon"), ascii_entry(272, "Canon EOS R6")])
EXIF = tiff([rational_entry(33434, 1, 250), (34855, 3, 1, struct.pack("<H", 6400)), (MAKER_NOTE, 7, 6, b"secret")])
GPS = tiff([(0, 1, 4, bytes((2, 3, 0, 0))), ascii_entry(1, "N")])


@pytest.mark.parametrize(
    ("make", "model", "name"),
    [
        ("Canon", "Canon EOS 6D", "Canon EOS 6D"),
        ("NIKON CORPORATION", "NIKON D850", "Nikon D850"),
        ("NIKON", "E8800", "Nikon E8800"),
        ("SONY", "ILCE-7M3", "Sony ILCE-7M3"),
        ("FUJIFILM", "X-T3", "Fujifilm X-T3"),
        ("OLYMPUS IMAGING CORP.", "E-M5", "Olympus E-M5"),
        ("OM Digital Solutions", "OM-1", "OM Digital Solutions OM-1"),
        ("Panasonic", "DMC-LX3", "Panasonic DMC-LX3"),
        ("RICOH IMAGING COMPANY, LTD.", "PENTAX K-1", "Pentax K-1"),
        ("Eastman Kodak Company", "Kodak DC120 ZOOM Digital Camera", "Kodak DC120 ZOOM Digital Camera"),
        ("", "", ""),
        ("", "X1", "X1"),
    ],
)
def test_camera_names_as_adobe_spells_them(make: str, model: str, name: str) -> None:
    assert unique_camera_model(make, model) == name


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def cr3() -> bytes:
    canon = CANON_UUID + b"".join(box(kind, blob) for kind, blob in ((b"CMT1", MAIN), (b"CMT2", EXIF), (b"CMT4", GPS)))
    return box(b"ftyp", b"crx \0\0\0\1crx isom") + box(b"moov", box(b"uuid", canon)) + box(b"mdat", bytes(64))


def raf() -> bytes:
    main = tiff([ascii_entry(271, "Canon"), ascii_entry(272, "Canon EOS R6"), (34665, 4, 1, bytes(4))])
    pointer = main.index(struct.pack("<HHI", 34665, 4, 1)) + 8
    block = main[:pointer] + struct.pack("<I", len(main)) + main[pointer + 4 :]
    exif = bytearray(EXIF[8:])
    for at in range(2, 2 + 36, 12):
        count_bytes = 4 if at == 14 else 8
        if count_bytes > 4:
            (offset,) = struct.unpack("<I", exif[at + 8 : at + 12])
            exif[at + 8 : at + 12] = struct.pack("<I", offset - 8 + len(main))
    segment = b"Exif\0\0" + block + bytes(exif)
    jpeg = b"\xff\xd8\xff\xe1" + struct.pack(">H", 2 + len(segment)) + segment + b"\xff\xd9"
    head = b"FUJIFILMCCD-RAW 0201".ljust(84, b"\0") + struct.pack(">II", 148, len(jpeg))
    return head.ljust(148, b"\0") + jpeg


def mrw() -> bytes:
    blocks = b"\0PRD" + struct.pack(">I", 8) + bytes(8) + b"\0TTW" + struct.pack(">I", len(MAIN)) + MAIN
    return b"\0MRM" + struct.pack(">I", len(blocks)) + blocks


@pytest.mark.parametrize("make", [cr3, raf, mrw])
def test_tags_hidden_in_other_containers(tmp_path: Path, make) -> None:
    path = tmp_path / "photo.raw"
    path.write_bytes(make())
    tree = read_tag_tree(path)
    capture = read_capture(tree, {})
    assert (capture.make, capture.model, capture.unique_camera_model) == ("Canon", "Canon EOS R6", "Canon EOS R6")
    if make is not mrw:
        assert (capture.iso, capture.exposure_s) == (6400, 1 / 250)
        assert tree.main.exif.maker_note.data == b"secret"
        assert MAKER_NOTE not in {tag.number for tag in capture.exif}
    assert len(capture.gps) == (2 if make is cr3 else 0)


@pytest.mark.parametrize("make", [cr3, raf, mrw])
@pytest.mark.parametrize("cut", [0, 20, 90, 150, -40])
def test_cut_containers_hold_nothing_rather_than_fail(tmp_path: Path, make, cut: int) -> None:
    path = tmp_path / "photo.raw"
    path.write_bytes(make()[:cut])
    read_capture(read_tag_tree(path), {})
    assert read_ciff_make_model(path) == ("", "")


def test_a_real_crw_names_its_camera(data: Path) -> None:
    assert read_ciff_make_model(data / "raw" / "canon-s40-box.crw") == ("Canon", "Canon PowerShot S40")


def test_a_real_cr3_and_raf_have_their_tags(data: Path) -> None:
    for name, model in (("exiv2--Canon-R6-pruned.CR3", "Canon EOS R6"), ("exiftool--FujiFilm.raf", "FinePix S5Pro")):
        capture = read_capture(read_tag_tree(data / "damaged" / name), {})
        assert capture.model == model
        assert capture.iso is not None
        assert capture.exposure_s is not None


def tree_of(*exif: Tag) -> TagTree:
    return TagTree((Ifd({}, exif=Ifd({tag.number: tag for tag in exif})),))


def test_what_the_tags_call_unknown_is_not_taken_from_elsewhere() -> None:
    zero = Tag(34855, 3, 1, b"\0\0")
    assert read_capture(tree_of(zero), {"iso": 100.0}).iso is None
    assert read_capture(tree_of(), {"iso": 100.0}).iso == 100
    assert read_capture(None, {"iso": 0.0, "exposure_s": float("inf")}).exposure_s is None


def test_what_only_libraw_found_becomes_exif() -> None:
    """A CRW has no EXIF directory: without this its DNG would tell neither ISO nor exposure nor date."""
    libraw = {
        "iso": 50.0,
        "exposure_s": 0.25,
        "aperture": 2.8,
        "focal_length_mm": 7.1,
        "datetime": "2021:03:26 21:16:32",
    }
    exif = Ifd({tag.number: tag for tag in read_capture(None, libraw).exif})
    assert [exif.number(number) for number in (34855, 33434, 33437, 37386)] == [50, 0.25, 2.8, 7.1]
    assert exif.text(36867) == libraw["datetime"]
    stated = Tag(34855, 3, 1, struct.pack("<H", 800))
    assert Ifd({tag.number: tag for tag in read_capture(tree_of(stated), libraw).exif}).number(34855) == 800
    nonsense = {"iso": 0.0, "exposure_s": 1e30, "aperture": float("nan"), "datetime": None}
    assert read_capture(None, nonsense).exif == ()


def test_an_iso_beyond_16_bits_is_in_another_tag() -> None:
    short, wide = Tag(34855, 3, 1, b"\xff\xff"), Tag(34866, 4, 1, struct.pack("<I", 102400))
    assert read_capture(tree_of(short, wide), {}).iso == 102400
    assert read_capture(tree_of(short), {}).iso == 65535


def test_exif_fields_of_ifd0_are_exif() -> None:
    blob = tiff([ascii_entry(315, "Ann"), rational_entry(33434, 1, 30), (34855, 3, 1, struct.pack("<H", 200))])
    capture = read_capture(read_tiff_bytes(blob), {})
    assert [tag.number for tag in capture.exif] == [315, 33434, 34855]
    assert (capture.iso, capture.exposure_s) == (200, 1 / 30)


def test_a_real_file_agrees_with_exiftool(data: Path) -> None:
    capture = read_capture(read_tag_tree(data / "raw" / "gopro-hero7-chart-noiseprofile.dng"), {})
    assert (capture.iso, capture.aperture, capture.focal_length_mm) == (267, 2.8, 3.0)
    assert capture.exposure_s == pytest.approx(0.004166666667)
    assert capture.datetime == "2020:10:28 08:54:19"


@pytest.mark.parametrize(
    ("value", "expected"),
    [((RATIONAL, (0.0,)), 1), ((SRATIONAL, (-0.01,)), 1), ((RATIONAL, (0.01,)), 0), (None, 0)],
)
def test_an_exposure_time_of_0_or_less_is_left_out_with_a_warning(
    tmp_path: Path, value: tuple[int, tuple[float]] | None, expected: int
) -> None:
    """Adobe's SDK calls it an error; the aperture of a lens without contacts is 0 so often that it gives no warning."""
    tags = {33434: value, 33437: (RATIONAL, (0.0,))}
    source = write_with_tags(tmp_path / "a.dng", flat_frame(128, 128), tags=tags)
    options = ProcessOptions(DenoiseOptions(strength=0.0, noise=(1e-3, 1e-6)))
    for name in ("out.dng", "out.png"):
        report = process_file(source, tmp_path / name, options)
        said = [one for one in report.warnings if "exposure time" in one]
        assert said == ["the file states an exposure time that is not above 0 s, so the output states none"] * expected
    found = read_raw(tmp_path / "out.dng").capture
    assert (found.exposure_s is not None) == (value is not None and not expected)
    assert {tag.number for tag in found.exif} & {33434, 33437} == ({33434} if found.exposure_s else set())
