"""The lens in EXIF: from EXIF, DNG, XMP, maker notes and LibRaw, in this order, and never guessed."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maker_notes import (
    CANON,
    FUJIFILM,
    MAKERS,
    MINOLTA,
    NIKON,
    OLYMPUS,
    PANASONIC,
    PENTAX,
    SONY,
    Maker,
    directory,
    shorts,
    text,
    write_source,
)
from test_dng import photo_of, tree_of, write
from test_maker_notes import crw
from test_rendered import exif_of

from rawkd.files.read.decode import Decoder
from rawkd.files.read.maker.ciff import read_ciff
from rawkd.files.read.maker.keep import with_maker_notes
from rawkd.files.read.maker.lens import Lens, known_name, lens_fields, lens_of_libraw
from rawkd.files.read.maker.note_fields import lens_of_canon, lens_of_note
from rawkd.files.read.raw import read_raw
from rawkd.files.tiff.maker_note import MakerNote
from rawkd.files.write.rendered import write_image
from rawkd.photo import Tag
from rawkd.process import SOFTWARE

MODEL, SPECIFICATION, LENS_INFO, XMP, ADOBE_LENS = 42036, 42034, 50736, 700, 65002
AT = 4000


def ascii_tag(number: int, value: str) -> Tag:
    data = value.encode() + b"\0"
    return Tag(number, 2, len(data), data)


def fractions(number: int, *parts: int) -> Tag:
    return Tag(number, 5, len(parts) // 2, struct.pack(f"<{len(parts)}I", *parts))


KIT = fractions(SPECIFICATION, 18, 1, 55, 1, 35, 10, 56, 10)
PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" {0}>{1}</rdf:Description></rdf:RDF></x:xmpmeta>'
)


def xmp(attribute: str = "", element: str = "") -> Tag:
    data = PACKET.format(attribute, element).encode()
    return Tag(XMP, 1, len(data), data)


def found(exif: tuple[Tag, ...] = (), main: tuple[Tag, ...] = (), *others: Lens) -> tuple[str, tuple[int, ...]]:
    """LensModel and the integers of LensSpecification."""
    fields = lens_fields({tag.number: tag for tag in exif}, {tag.number: tag for tag in main}, *others)
    name = fields[MODEL].data[:-1].decode() if MODEL in fields else ""
    return name, struct.unpack("<8I", fields[SPECIFICATION].data) if SPECIFICATION in fields else ()


NOTE = Lens("from the notes", (24, 70), (2.8, 2.8))
LIBRAW = Lens("from LibRaw", (10, 20))


def test_the_best_source_is_used() -> None:
    every = (ascii_tag(MODEL, "from EXIF"), KIT, ascii_tag(ADOBE_LENS, "from Adobe's EXIF"))
    main = (fractions(LENS_INFO, 50, 1, 50, 1, 18, 10, 18, 10), xmp('aux:Lens="from XMP"'))
    assert found(every, main, NOTE, LIBRAW) == ("from EXIF", (18, 1, 55, 1, 35, 10, 56, 10))
    assert found(every[2:], main, NOTE, LIBRAW) == ("from Adobe's EXIF", (50, 1, 50, 1, 18, 10, 18, 10))
    assert found((), main, NOTE, LIBRAW) == ("from XMP", (50, 1, 50, 1, 18, 10, 18, 10))
    assert found((), (xmp("", "<aux:Lens>an element</aux:Lens>"),), NOTE)[0] == "an element"
    assert found((), (), NOTE, LIBRAW) == ("from the notes", (24, 1, 70, 1, 14, 5, 14, 5))
    assert found((), (), Lens(), LIBRAW) == ("from LibRaw", (10, 1, 20, 1, 0, 0, 0, 0))
    assert found((), (), Lens()) == ("", ())


@pytest.mark.parametrize(
    "name", ["", " ", "----", "n/a", "N/A", "None", "NO-LENS", "Unknown (255)", "\0\0", "bad\ufffd", "\1\2"]
)
def test_texts_that_name_no_lens(name: str) -> None:
    assert known_name(name) == ""
    assert found((ascii_tag(MODEL, name),), (), Lens("the lens"))[0] == "the lens"
    assert found((ascii_tag(MODEL, name),)) == ("", ())


@pytest.mark.parametrize(
    "parts",
    [
        (0, 1, 0, 1, 0, 1, 0, 1),
        (0, 0, 0, 0, 0, 0, 0, 0),
        (70, 1, 24, 1, 28, 10, 28, 10),
        (0, 1, 50, 1, 18, 10, 18, 10),
        (20_000, 1, 20_000, 1, 1, 1, 1, 1),
    ],
)
def test_focal_lengths_that_say_nothing(parts: tuple[int, ...]) -> None:
    assert found((fractions(SPECIFICATION, *parts),), (fractions(LENS_INFO, *parts),), NOTE)[1][:4] == (24, 1, 70, 1)
    assert found((fractions(SPECIFICATION, *parts),)) == ("", ())


@pytest.mark.parametrize("packet", [b"no XML, but Lens", b"<!DOCTYPE a><a>Lens</a>", b"<aux:Lens>", bytes(9) + b"Lens"])
def test_an_xmp_that_cannot_be_read_names_no_lens(packet: bytes) -> None:
    assert found((), (Tag(XMP, 1, len(packet), packet),)) == ("", ())


LENSES: list[tuple[Maker, Lens]] = [
    (CANON, Lens("EF18-70mm f/3.5", (18, 70))),
    (NIKON, Lens("", (18, 70), (3.5, 4.5))),
    (OLYMPUS, Lens("OLYMPUS M.17mm F1.2", (17, 17), (2 ** (269 / 512),) * 2)),
    (PANASONIC, Lens("LUMIX G VARIO 14-45/F3.5-5.6")),
    (SONY, Lens("", (18, 70), (3.5, 5.6))),
    (FUJIFILM, Lens("", (18, 55), (2.8, 4))),
    (PENTAX, Lens()),
    (MINOLTA, Lens()),
]


@pytest.mark.parametrize(("maker", "lens"), LENSES, ids=[maker.make.split()[0] for maker, _ in LENSES])
def test_lenses_of_maker_notes(maker: Maker, lens: Lens) -> None:
    assert lens_of_note(MakerNote(maker.note(AT), b"II", AT), maker.make) == lens


def test_older_olympus_notes_count_from_the_tiff_header_and_may_hold_a_directory_as_bytes() -> None:
    inner = [text(0x203, "ZUIKO 14-54mm"), shorts(0x205, 760), shorts(0x207, 14), shorts(0x208, 54)]
    size = len(directory(inner, 0))
    start = 8 + 2 + 12 + 4
    note = b"OLYMP\0\1\0" + directory([(0x2010, 7, size, directory(inner, AT + start))], AT + 8)
    lens = lens_of_note(MakerNote(note, b"II", AT), "OLYMPUS CORPORATION")
    assert lens == Lens("ZUIKO 14-54mm", (14, 54), (2 ** (760 / 512), 0.0))


@given(maker=st.sampled_from(MAKERS), at=st.integers(0, 200), value=st.integers(0, 255), cut=st.integers(0, 250))
def test_damaged_notes_raise_nothing(maker: Maker, at: int, value: int, cut: int) -> None:
    note = bytearray(maker.note(AT))
    note[at % len(note)] = value
    lens_of_note(MakerNote(bytes(note[: cut or None]), b"II", AT), maker.make)


def test_units_of_canons_settings() -> None:
    settings = [0.0] * 23 + [681, 227, 32]
    assert lens_of_canon(settings).focal_mm == (227 / 32, 681 / 32)
    assert lens_of_canon([0.0] * 26) == lens_of_canon(settings[:-1]) == Lens()


def test_what_libraw_says() -> None:
    assert lens_of_libraw({"lens": {"model": "a lens", "min_focal_mm": 10.0, "max_focal_mm": 20.0}}) == Lens(
        "a lens", (10.0, 20.0)
    )
    assert lens_of_libraw({"lens": {"model": "", "min_focal_mm": 0.0, "max_focal_mm": 0.0}}) == Lens()
    assert lens_of_libraw({}) == Lens()


def test_the_lens_reaches_every_output(tmp_path: Path, decoder: Decoder) -> None:
    source = tmp_path / "source.dng"
    write_source(source, CANON)
    photo = read_raw(source, decoder=decoder)
    outputs = [tree_of(write(tmp_path, photo)).main]
    for name, dtype in (("a.jpg", np.uint8), ("a.png", np.uint16), ("a.tif", np.uint16)):
        write_image(tmp_path / name, np.zeros((8, 9, 3), dtype), photo.capture, software=SOFTWARE)
        outputs.append(exif_of(tmp_path / name).main)
    for main in outputs:
        assert main.exif is not None
        assert main.exif.text(MODEL) == "EF18-70mm f/3.5"
        assert main.exif.tags[SPECIFICATION].data == struct.pack("<8I", 18, 1, 70, 1, 0, 0, 0, 0)


def test_dng_lens_info_becomes_exif(tmp_path: Path, decoder: Decoder) -> None:
    info = fractions(LENS_INFO, 18, 1, 55, 1, 35, 10, 56, 10)
    source = write(tmp_path, photo_of((120, 160), tags=(info,)))
    exif = tree_of(write(tmp_path, read_raw(source, decoder=decoder))).main.exif
    assert exif is not None
    assert exif.tags[SPECIFICATION] == replace(info, number=SPECIFICATION)
    assert MODEL not in exif.tags


def test_a_crw_states_its_focal_lengths(tmp_path: Path) -> None:
    path = tmp_path / "photo.crw"
    path.write_bytes(crw((0x102D, struct.pack("<26H", *[52] + [0] * 22, 681, 227, 32))))
    exif = {tag.number: tag for tag in with_maker_notes(photo_of(), path, None, read_ciff(path), {}).capture.exif}
    assert struct.unpack("<8I", exif[SPECIFICATION].data) == (227, 32, 681, 32, 0, 0, 0, 0)
