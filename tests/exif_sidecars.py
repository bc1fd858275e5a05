"""Sidecars with properties of the namespace exif, and capture data that they change."""

from __future__ import annotations

from dataclasses import replace

from rawkd.files.tiff.ifd import ascii_text, rational, raw_bytes
from rawkd.files.xmp.packet import RDF
from rawkd.photo import Capture


def sidecar(**values: str) -> bytes:
    """A packet with properties of the namespace exif: the first an attribute, the others elements."""
    names = list(values)
    attribute = "".join(f' exif:{name}="{values[name]}"' for name in names[:1])
    elements = "".join(f"<exif:{name}>{values[name]}</exif:{name}>" for name in names[1:])
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about=""'
        f' xmlns:exif="http://ns.adobe.com/exif/1.0/"{attribute}>{elements}</rdf:Description></rdf:RDF></x:xmpmeta>'
    ).encode()


def texts(capture: Capture) -> dict[int, str]:
    return {tag.number: tag.data.rstrip(b"\0").decode() for tag in capture.exif}


TAKEN = Capture(
    exif=(
        ascii_text(36867, "2020:01:02 03:04:05"),
        ascii_text(36868, "2020:01:02 03:04:05"),
        ascii_text(36881, "+01:00"),
        ascii_text(37521, "12"),
        ascii_text(42035, "Maker"),
    ),
    datetime="2020:01:02 03:04:05",
)


OLD_PLACE = replace(
    TAKEN,
    gps=(
        raw_bytes(0, bytes((2, 3, 0, 0))),
        ascii_text(1, "N"),
        rational(2, [48, 8, 30]),
        ascii_text(3, "E"),
        rational(4, [11, 30, 0]),
        raw_bytes(5, b"\0"),
        rational(6, [520.0]),
        rational(7, [9, 0, 0]),
        rational(11, [2.5]),
    ),
)
