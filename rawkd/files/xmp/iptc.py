"""Convert captions of IPTC-IIM, which JPEG and PNG have no field for, to properties of XMP.

Sources: IPTC-NAA Information Interchange Model 4.2, chapters 1 and 6; IPTC photo metadata standard 2023.1 for the
property of each dataset; Adobe Photoshop file formats, image resources.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from xml.etree import ElementTree

from rawkd.files.xmp.packet import RDF
from rawkd.photo import Tag

IPTC, PHOTOSHOP_RESOURCES, IPTC_RESOURCE = 33723, 34377, 0x0404
DC = "http://purl.org/dc/elements/1.1/"
PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
CORE = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
PROPERTIES: dict[int, tuple[str, str]] = {
    5: (f"{{{DC}}}title", "Alt"),
    10: (f"{{{PHOTOSHOP}}}Urgency", ""),
    15: (f"{{{PHOTOSHOP}}}Category", ""),
    20: (f"{{{PHOTOSHOP}}}SupplementalCategories", "Bag"),
    25: (f"{{{DC}}}subject", "Bag"),
    40: (f"{{{PHOTOSHOP}}}Instructions", ""),
    55: (f"{{{PHOTOSHOP}}}DateCreated", ""),
    80: (f"{{{DC}}}creator", "Seq"),
    85: (f"{{{PHOTOSHOP}}}AuthorsPosition", ""),
    90: (f"{{{PHOTOSHOP}}}City", ""),
    92: (f"{{{CORE}}}Location", ""),
    95: (f"{{{PHOTOSHOP}}}State", ""),
    100: (f"{{{CORE}}}CountryCode", ""),
    101: (f"{{{PHOTOSHOP}}}Country", ""),
    103: (f"{{{PHOTOSHOP}}}TransmissionReference", ""),
    105: (f"{{{PHOTOSHOP}}}Headline", ""),
    110: (f"{{{PHOTOSHOP}}}Credit", ""),
    115: (f"{{{PHOTOSHOP}}}Source", ""),
    116: (f"{{{DC}}}rights", "Alt"),
    120: (f"{{{DC}}}description", "Alt"),
    122: (f"{{{PHOTOSHOP}}}CaptionWriter", ""),
}
"""Dataset of record 2 -> property, and the kind of list that its values form; none for a plain text."""
DATE, TIME = 55, 60
DATE_OF_IPTC, TIME_OF_IPTC = re.compile(r"(\d{4})(\d\d)(\d\d)"), re.compile(r"(\d\d)(\d\d)(\d\d)([+-]\d\d)(\d\d)")
NO_TEXT = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML may contain."""


def iptc_of(tags: Iterable[Tag]) -> bytes:
    """Return the IPTC of a file: that of its own field, else that among the resources of Photoshop; empty for none."""
    fields = {tag.number: tag.data for tag in tags}
    found = dict(_resources(fields.get(PHOTOSHOP_RESOURCES, b"")))
    return fields.get(IPTC, b"") or found.get(IPTC_RESOURCE, b"")


def properties_of(iptc: bytes) -> dict[str, ElementTree.Element]:
    """Return the captions of an IPTC stream as XMP properties, by name.

    Texts are taken for UTF-8 if they are valid as such, else for Latin-1 (our choice).

    Raises
    ------
    ValueError: if it is no IPTC stream.
    """
    texts: dict[int, list[str]] = {}
    for record, dataset, value in _datasets(iptc):
        if record == 2 and (text := _text(value)):
            texts.setdefault(dataset, []).append(text)
    if DATE in texts:
        texts[DATE] = _dates(texts[DATE][0], texts.get(TIME, [""])[0])
    return {
        name: _property(name, kind, texts[number]) for number, (name, kind) in PROPERTIES.items() if texts.get(number)
    }


def _datasets(iptc: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield record, number and value of each dataset; padding ends the stream."""
    at = 0
    while iptc[at : at + 1] == b"\x1c" and at + 5 <= len(iptc):
        _, record, number, length = struct.unpack_from(">BBBH", iptc, at)
        at += 5
        if length & 0x8000:
            wide = length & 0x7FFF
            length, at = int.from_bytes(iptc[at : at + wide], "big"), at + wide
        if at + length > len(iptc):
            raise ValueError("its IPTC stream is cut off")
        yield record, number, iptc[at : at + length]
        at += length
    if iptc[at:].strip(b"\0"):
        raise ValueError("it is no IPTC stream")


def _resources(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and data of each Photoshop resource, up to the first that cannot be read."""
    at = 0
    while data[at : at + 4] == b"8BIM" and at + 7 <= len(data):
        number = int.from_bytes(data[at + 4 : at + 6], "big")
        start = at + 6 + (data[at + 6] + 2) // 2 * 2
        length = int.from_bytes(data[start : start + 4], "big")
        yield number, data[start + 4 : start + 4 + length]
        at = start + 4 + (length + 1) // 2 * 2


def _text(value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return NO_TEXT.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def _dates(day: str, time: str) -> list[str]:
    """Return a date of IPTC, 20241231 and 235959+0100, as XMP has it; nothing for what is no date."""
    date, clock = DATE_OF_IPTC.fullmatch(day), TIME_OF_IPTC.fullmatch(time)
    if date is None:
        return []
    return ["-".join(date.groups()) + ("T{}:{}:{}{}:{}".format(*clock.groups()) if clock else "")]


def _property(name: str, kind: str, texts: Sequence[str]) -> ElementTree.Element:
    """Return a property: a plain text, or a list of the given kind; `Alt` has one text, for any language."""
    found = ElementTree.Element(name)
    if not kind:
        found.text = texts[0]
        return found
    entries = ElementTree.SubElement(found, f"{{{RDF}}}{kind}")
    language = {"{http://www.w3.org/XML/1998/namespace}lang": "x-default"} if kind == "Alt" else {}
    for text in texts[:1] if kind == "Alt" else texts:
        ElementTree.SubElement(entries, f"{{{RDF}}}li", language).text = text
    return found
