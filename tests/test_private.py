"""--strip-private: serial numbers, the owner's name and maker notes are in no output."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest
from test_dng import CAPTURE, photo_of, tree_of
from test_dng import write as write_dng_of
from test_rendered import exif_of, xmp_of
from test_rendered import write as write_picture

from rawkd.cli.app import main
from rawkd.files.tiff.maker_note import DNG_PRIVATE_DATA, MakerNote, note_record, private_data
from rawkd.files.write.dng import write_dng
from rawkd.files.write.private import PRIVATE, without_private_xmp
from rawkd.files.write.xmp import without_location
from rawkd.photo import Tag
from rawkd.process import ProcessOptions, process_file
from rawkd.restore.options import DenoiseOptions


def text(number: int, value: str) -> Tag:
    data = value.encode() + b"\0"
    return Tag(number, 2, len(data), data)


SECRET = b"s3cret"
EXIF = (*(text(number, "s3cret") for number in (42016, 42032, 42033, 42037, 65000, 65001)), text(42036, "a lens"))
CREDIT = (text(315, "the artist"), text(33432, "the copyright"))
NOTES = private_data([note_record(MakerNote(SECRET * 3, b"II", 1000))])
TAGS = (text(50735, "s3cret"), NOTES, Tag(50741, 3, 1, b"\1\0"), Tag(18246, 3, 1, struct.pack("<H", 4)))
PACKET = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" xmlns:exifEX="http://cipa.jp/exif/1.0/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:d="http://www.dji.com/drone-dji/1.0/" xmlns:exif="e" xmlns:ext="x"
 xmp:Rating="4" aux:SerialNumber="s3cret" aux:LensSerialNumber='s3cret' aux:OwnerName = "s3cret" aux:Lens="a lens"
 d:CameraSerialNumber="s3cret" exif:ImageUniqueID="s3cret"><exifEX:BodySerialNumber>s3cret</exifEX:BodySerialNumber>
<exifEX:CameraOwnerName><rdf:Alt><rdf:li xml:lang="x-default">s3cret</rdf:li></rdf:Alt></exifEX:CameraOwnerName>
<ext:DigitalImageGUID>s3cret</ext:DigitalImageGUID><exif:MakerNote>s3cret</exif:MakerNote><aux:LensID>61</aux:LensID>
</rdf:Description></rdf:RDF></x:xmpmeta>"""
NAMES = ("a.tif", "a.PNG", "a.jpg")


@pytest.mark.parametrize("strip", [False, True])
def test_a_dng_without_private_fields(tmp_path: Path, strip: bool) -> None:
    photo = photo_of(capture=replace(CAPTURE, exif=(*EXIF, *CREDIT)), tags=TAGS)
    path = write_dng_of(tmp_path, photo, xmp=PACKET, strip_private=strip)
    assert (SECRET in path.read_bytes()) != strip
    tree = tree_of(path).main
    assert tree.exif is not None
    assert not strip or not PRIVATE & (tree.tags.keys() | tree.exif.tags.keys())
    assert (tree.text(315), tree.text(33432), tree.exif.text(42036)) == ("the artist", "the copyright", "a lens")
    assert tree.number(18246) == 4
    assert tree.gps is not None
    for kept in (b'aux:Lens="a lens"', b"<aux:LensID>61</aux:LensID>", b'xmp:Rating="4"'):
        assert kept in tree.tags[700].data


@pytest.mark.parametrize("strip", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_picture_without_private_fields(tmp_path: Path, name: str, strip: bool) -> None:
    capture = replace(CAPTURE, exif=(*EXIF, *CREDIT))
    path = write_picture(tmp_path, name, capture=capture, tags=TAGS, xmp=PACKET, strip_private=strip)
    assert (SECRET in path.read_bytes()) != strip
    found = exif_of(path).main
    assert found.exif is not None
    assert not strip or not PRIVATE & (found.tags.keys() | found.exif.tags.keys())
    assert (found.text(315), found.text(33432), found.exif.text(42036)) == ("the artist", "the copyright", "a lens")
    assert b'xmp:Rating="4"' in xmp_of(path)


STRIPPED = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" xmlns:exifEX="http://cipa.jp/exif/1.0/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:d="http://www.dji.com/drone-dji/1.0/" xmlns:exif="e" xmlns:ext="x"
 xmp:Rating="4" aux:Lens="a lens">

<aux:LensID>61</aux:LensID>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
def test_only_private_properties_leave_the_packet(encoding: str) -> None:
    packet = PACKET.decode().encode(encoding) + bytes(8)
    assert without_private_xmp(packet) == (STRIPPED.decode().encode(encoding) + bytes(8), ())


@pytest.mark.parametrize(
    ("packet", "kept"),
    [
        (b'<a xmp:Rating="4"/>', b'<a xmp:Rating="4"/>'),
        (b"<a b='x c:serial=\"5\"'><!-- <a:serial>5</a:serial> --></a>", b"<a b='x c:serial=\"5\"'></a>"),
        (b'<a xmlns:serial="x"><SerialNumber xmlns="y"/><b/></a>', b'<a xmlns:serial="x"><b/></a>'),
        (b"<a><a:serial><a:serial><c/></a:serial></a:serial ><b/></a>", b"<a><b/></a>"),
        (b"<a><b><a:serial/></b></a>", b"<a><b></b></a>"),
        (b"<a><![CDATA[<a:serial>]]></a>", b"<a><![CDATA[<a:serial>]]></a>"),
    ],
)
def test_names_are_those_of_properties(packet: bytes, kept: bytes) -> None:
    assert without_private_xmp(packet) == (kept, ())


@pytest.mark.parametrize("text", ["makernotes", "SerialNumber 5", "my gps walk", "State: latitude"])
def test_keywords_are_no_names(text: str) -> None:
    """A caption or keyword that reads like the name of a property does not discard the packet."""
    packet = f'<a xmlns:b="urn:b" b:c="{text}"><b>{text}</b></a>'.encode()
    assert without_private_xmp(packet) == (packet, ())
    assert without_location(packet) == (packet, ())


@pytest.mark.parametrize(
    "packet", [b"<a:serial>5", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", "<a".encode("utf-16-le") + b"\x00\xd8"]
)
@pytest.mark.parametrize("option", ["strip_location", "strip_private"])
def test_an_xmp_that_cannot_be_read_is_left_out_with_a_warning(tmp_path: Path, option: str, packet: bytes) -> None:
    warnings = write_dng(tmp_path / "a.dng", photo_of(), preview=None, software="test", xmp=packet, **{option: True})
    assert 700 not in tree_of(tmp_path / "a.dng").main.tags
    (warning,) = warnings
    assert warning.startswith("the XMP of the photo was left out: ")


@pytest.mark.parametrize("tag", [b"<a:serial>", b"<a:gps>", b'<a b="'])
def test_unclosed_tags_are_refused_at_once(tag: bytes) -> None:
    """2 MB of them: a search for each end would take more than 10 ** 11 steps."""
    for strip in (without_private_xmp, without_location):
        packet, (warning,) = strip(tag * 200_000)
        assert packet == b""
        assert warning.startswith("the XMP of the photo was left out")


@pytest.mark.parametrize("option", ["strip_location", "strip_private"])
def test_maker_notes_go_with_either_option(tmp_path: Path, option: str) -> None:
    """They may hold coordinates as well as serial numbers, in each maker's own form."""
    assert DNG_PRIVATE_DATA in tree_of(write_dng_of(tmp_path, photo_of(tags=TAGS))).main.tags
    left = tree_of(write_dng_of(tmp_path, photo_of(tags=TAGS), **{option: True})).main.tags
    assert not {DNG_PRIVATE_DATA, 50741} & left.keys()


@pytest.mark.parametrize("name", ["out.dng", "out.jpg"])
def test_the_option_reaches_every_file(tmp_path: Path, name: str) -> None:
    photo = photo_of((60, 96), capture=replace(CAPTURE, exif=EXIF), tags=TAGS)
    write_dng(tmp_path / "in.dng", photo, preview=None, software="test", xmp=PACKET)
    keep = DenoiseOptions(strength=0, noise=(1e-3, 1e-6))
    for strip in (False, True):
        options = ProcessOptions(keep, strip_private=strip, overwrite=True)
        process_file(tmp_path / "in.dng", tmp_path / name, options)
        assert (SECRET in (tmp_path / name).read_bytes()) != strip


def test_the_option_of_a_batch(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    photo = photo_of((60, 96), capture=replace(CAPTURE, exif=EXIF), tags=TAGS)
    write_dng(tmp_path / "in" / "a.dng", photo, preview=None, software="test", xmp=PACKET)
    command = ["batch", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--strength", "0", "--noise", "1e-3,1e-6"]
    assert main([*command, "--jobs", "1", "--strip-private"]) == 0
    (output,) = (tmp_path / "out").rglob("*.dng")
    assert SECRET not in output.read_bytes()
