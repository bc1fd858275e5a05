"""The XMP of a photo and of its sidecar as one: the sidecar counts, and what only the photo has stays."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from small_photos import noisy_photo

from rawkd.files.tiff.tags import read_tiff
from rawkd.files.write.dng import write_dng
from rawkd.files.write.rendered import write_image
from rawkd.files.write.xmp import packet_of
from rawkd.files.xmp.combine import combined
from rawkd.files.xmp.packet import RDF, parsed
from rawkd.photo import Capture, Tag
from rawkd.process import ProcessOptions, process_file
from rawkd.restore.options import DenoiseOptions

CRS = "http://ns.adobe.com/camera-raw-settings/1.0/"
XAP = "http://ns.adobe.com/xap/1.0/"
DC = "http://purl.org/dc/elements/1.1/"
DARKTABLE = "http://darktable.sf.net/"
OWN = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="{RDF}">
<r:Description r:about="" xmlns:xmp="{XAP}" xmlns:crs="{CRS}" xmp:Rating="3"
 xmp:Label="R&#38;D &#34;1&#34;" crs:Exposure2012="+0.5">
<dc:creator xmlns:dc="{DC}"><r:Seq><r:li>J\u00fcrgen</r:li></r:Seq></dc:creator><crs:Tint>4</crs:Tint><xmp:Nickname/>
</r:Description>
<r:Description r:about="" xmlns:d="{DC}"><d:subject><r:Bag><r:li>own</r:li></r:Bag></d:subject></r:Description>
</r:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()
SIDECAR = f"""<?xml version="1.0" encoding="UTF-8"?>
<!-- a comment --><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">
<rdf:Description rdf:about="uuid:1" xmlns:xmp="{XAP}" xmlns:darktable="{DARKTABLE}" xmlns:dc="{DC}" xmp:Rating="5"
 darktable:history_end="3"><dc:subject><rdf:Bag><rdf:li>sidecar</rdf:li></rdf:Bag></dc:subject></rdf:Description>
</rdf:RDF></x:xmpmeta>
""".encode()


def properties(packet: bytes) -> dict[str, str]:
    """All properties of a packet by name, as text; a property that is there twice is an error."""
    found: dict[str, str] = {}
    for top in parsed(packet).iter(f"{{{RDF}}}Description"):
        here = {name: value for name, value in top.attrib.items() if not name.startswith(f"{{{RDF}}}")}
        here |= {one.tag: "".join(one.itertext()) for one in top}
        assert not here.keys() & found.keys()
        found |= here
    return found


def test_the_sidecar_counts_and_what_it_lacks_stays() -> None:
    packet = combined(SIDECAR, OWN)
    assert properties(packet) == {
        f"{{{XAP}}}Rating": "5",
        f"{{{XAP}}}Label": 'R&D "1"',
        f"{{{XAP}}}Nickname": "",
        f"{{{DARKTABLE}}}history_end": "3",
        f"{{{DC}}}subject": "sidecar",
        f"{{{DC}}}creator": "J\u00fcrgen",
        f"{{{CRS}}}Exposure2012": "+0.5",
        f"{{{CRS}}}Tint": "4",
    }
    assert {top.get(f"{{{RDF}}}about") for top in parsed(packet).iter(f"{{{RDF}}}Description")} == {"uuid:1"}
    assert packet.startswith(SIDECAR[: SIDECAR.index(b"</rdf:RDF>")])  # its bytes stay
    assert packet.endswith(SIDECAR[SIDECAR.index(b"</rdf:RDF>") :])


def test_a_second_time_changes_nothing() -> None:
    once = combined(SIDECAR, OWN)
    assert combined(once, OWN) == once
    assert combined(OWN, OWN) == OWN


def described(*descriptions: str) -> bytes:
    """A packet with these attributes and elements in a description each."""
    tops = "".join(f'<rdf:Description rdf:about="" {one}</rdf:Description>' for one in descriptions)
    return f'<rdf:RDF xmlns:rdf="{RDF}" xmlns:xmp="{XAP}" xmlns:dc="{DC}">{tops}</rdf:RDF>'.encode()


LABELLED = described('xmp:Label="Red">')


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        (described('xmp:Rating="3">', 'xmp:Rating="4">'), {"Rating": "3"}),
        (described('xmp:Rating="3"><xmp:Rating>4</xmp:Rating>'), {"Rating": "3"}),
        (described("><xmp:Rating>3</xmp:Rating>", 'xmp:Rating="4">'), {"Rating": "3"}),
        (described(f'xmlns:a="{XAP}" a:Rating="3" xmp:Rating="4">'), {"Rating": "3"}),
        (
            described('xmp:Rating="3">', f'xmlns:a="{XAP}" a:Rating="4" a:Nickname="a">'),
            {"Rating": "3", "Nickname": "a"},
        ),
        (described('xml:lang="en"><xmp:Nickname xml:lang="en">a</xmp:Nickname>'), {"Nickname": "a"}),
    ],
)
def test_of_a_property_that_is_there_twice_the_first_counts(own: bytes, wanted: dict[str, str]) -> None:
    found = properties(combined(LABELLED, own))
    assert found == {f"{{{XAP}}}{name}": value for name, value in {"Label": "Red", **wanted}.items()}


UNDECLARED = (
    described('odd:Rating="3">'),
    described("><odd:Rating>3</odd:Rating>"),
    described('><xmp:Rating odd:to="5">3</xmp:Rating>'),
)
"""Packets with a prefix that they do not declare."""
TWO_PREFIXES = described(f'xmlns:a="{XAP}"><xmp:Nickname a:by="me" xmp:by="you">a</xmp:Nickname>')
"""Two prefixes for one namespace give one element an attribute twice."""


@pytest.mark.parametrize("own", [*UNDECLARED, TWO_PREFIXES])
def test_a_packet_that_breaks_the_rules_of_namespaces_costs_nothing_of_the_sidecar(own: bytes) -> None:
    packet, (warning,) = packet_of([Tag(700, 1, len(own), own)], LABELLED, strip_location=True)
    assert properties(packet) == {f"{{{XAP}}}Label": "Red"}
    assert warning.startswith("the XMP inside the photo (rating, keywords, edits) was left out: it cannot be combined")
    assert not packet_of([Tag(700, 1, len(own), own)], None, strip_location=False)[1]  # alone it is copied


@pytest.mark.parametrize("own", [described('xmp:Rating="3">', 'xmp:Rating="3">'), UNDECLARED[0], TWO_PREFIXES])
@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_a_picture_keeps_the_label_of_the_sidecar(tmp_path: Path, own: bytes, name: str) -> None:
    tags = (Tag(700, 1, len(own), own),)
    black = np.zeros((32, 32, 3), np.uint8)
    warnings = write_image(tmp_path / name, black, Capture(), software="test", tags=tags, xmp=LABELLED)
    assert b'xmp:Label="Red"' in (tmp_path / name).read_bytes()
    assert not any("was not embedded" in one for one in warnings)


def test_edits_are_one_whole() -> None:
    edits = (
        SIDECAR.replace(b"darktable", b"crs")
        .replace(DARKTABLE.encode(), CRS.encode())
        .replace(b'history_end="3"', b'Contrast2012="1"')
        .replace(b"http://crs.sf.net/", CRS.encode())
    )
    found = {name: value for name, value in properties(combined(edits, OWN)).items() if CRS in name}
    assert found == {f"{{{CRS}}}Contrast2012": "1"}


@pytest.mark.parametrize("wide", ["utf-16-le", "utf-16-be"])
def test_utf16(wide: str) -> None:
    bom = "\ufeff".encode(wide)
    other = bom + re.sub(rb"^<\?x.*?\?>", b"", OWN).decode().encode(wide)
    assert properties(combined(SIDECAR, other)) == properties(combined(SIDECAR, OWN))
    plain = re.sub(rb"^<\?x.*?\?>", b"", SIDECAR).decode()
    merged = combined(bom + plain.encode(wide), OWN)
    assert merged.startswith(bom)
    assert properties(merged) == properties(combined(SIDECAR, OWN))


def test_a_sidecar_in_latin1() -> None:
    latin = SIDECAR.replace(b'"UTF-8"', b'"ISO-8859-1"').replace(b"sidecar<", "s\u00fc<".encode("latin-1"))
    found = properties(combined(latin, OWN))
    assert (found[f"{{{DC}}}subject"], found[f"{{{DC}}}creator"]) == ("s\u00fc", "J\u00fcrgen")


@pytest.mark.parametrize(
    ("sidecar", "own"),
    [
        (b"rdf:RDF", OWN),
        (SIDECAR, OWN[:300]),
        (SIDECAR, b"<a/>"),
        (SIDECAR, b'<?xml version="1.0" encoding="ISO-8859-1"?>' + OWN[OWN.index(b"<x:") :]),
        (SIDECAR, b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + OWN[OWN.index(b"<x:") :]),
    ],
)
def test_what_cannot_be_combined_is_named(sidecar: bytes, own: bytes) -> None:
    with pytest.raises(ValueError, match=r"^its? "):
        combined(sidecar, own)
    packet, (warning,) = packet_of([Tag(700, 1, len(own), own)], sidecar, strip_location=False)
    assert packet == sidecar
    assert warning.startswith("the XMP inside the photo (rating, keywords, edits) was left out: it cannot be combined")


def test_location_and_owner_go_from_both(tmp_path: Path) -> None:
    own = OWN.replace(b'xmp:Rating="3"', b'xmp:Rating="3" xmp:City="Isarstadt" xmp:OwnerName="Jane"')
    sidecar = SIDECAR.replace(b'xmp:Rating="5"', b'xmp:Rating="5" xmp:State="Bavaria" xmp:SerialNumber="77"')
    packet, warnings = packet_of([Tag(700, 1, len(own), own)], sidecar, strip_location=True, strip_private=True)
    assert warnings == ()
    assert not any(word in packet for word in (b"Isarstadt", b"Jane", b"Bavaria", b"77"))
    assert b"J\xc3\xbcrgen" in packet


@pytest.mark.parametrize("name", ["out.dng", "out.jpg"])
def test_outputs_have_both(tmp_path: Path, name: str) -> None:
    photo = noisy_photo(60, 96)
    write_dng(tmp_path / "in.dng", photo, preview=None, software="test", xmp=OWN)
    (tmp_path / "in.dng.xmp").write_bytes(SIDECAR)
    options = ProcessOptions(DenoiseOptions(strength=0, noise=(1e-3, 1e-6)))
    report = process_file(tmp_path / "in.dng", tmp_path / name, options)
    assert not any("XMP" in line for line in report.warnings)
    data = (tmp_path / name).read_bytes()
    assert b'xmp:Rating="5"' in data
    assert b"J\xc3\xbcrgen" in data
    assert (b"Exposure2012" in data) == (name == "out.dng")
    if shutil.which("exiftool"):
        command = ["exiftool", "-s3", "-XMP-dc:Creator", "-XMP-dc:Subject", str(tmp_path / name)]
        assert subprocess.run(command, capture_output=True, check=True, text=True).stdout.split() == [
            "J\u00fcrgen", "sidecar",
        ]  # fmt: skip


def test_a_picture_says_what_was_left_out(tmp_path: Path) -> None:
    tags = (Tag(700, 1, 5, b"<odd>"),)
    warnings = write_image(
        tmp_path / "a.jpg", np.zeros((32, 32, 3), np.uint8), Capture(), software="test", tags=tags, xmp=SIDECAR
    )
    assert len([one for one in warnings if "the XMP inside the photo" in one]) == 1
    assert b'xmp:Rating="5"' in (tmp_path / "a.jpg").read_bytes()


def test_the_packet_of_a_dng_is_valid(tmp_path: Path) -> None:
    write_dng(tmp_path / "in.dng", noisy_photo(60, 96), preview=None, software="test", xmp=combined(SIDECAR, OWN))
    with (tmp_path / "in.dng").open("rb") as stream:
        tree = read_tiff(stream)
    assert tree is not None
    assert isinstance(parsed(tree.main.tags[700].data), ElementTree.Element)
