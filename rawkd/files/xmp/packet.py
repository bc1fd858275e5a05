"""Parse XMP packets of any encoding, without the entities through which XML can grow without bound.

Source: ISO 16684-1 (XMP, serialisation as RDF).
"""

from __future__ import annotations

from xml.etree import ElementTree

XMP = 700
"""Number of the TIFF field that holds the packet."""
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
PADDING = b"\0 \r\n\t"
UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be", b"<\0": "utf-16-le", b"\0<": "utf-16-be"}
"""Encoding of a packet in which ASCII characters are no single bytes, by its first two bytes."""


def narrowed(packet: bytes) -> tuple[bytes, str | None]:
    """Return the packet with ASCII characters as single bytes, and its encoding if it was converted from UTF-16.

    Raises
    ------
    ValueError: if it is UTF-16 with characters that do not exist.
    """
    wide = UTF16.get(packet[:2])
    return (packet, None) if wide is None else (packet.decode(wide).encode(), wide)


def parsed(packet: bytes) -> ElementTree.Element:
    """Return the root element of a packet.

    Raises
    ------
    ValueError: if the packet is not valid XML, or declares a document type, which may declare entities.
    """
    try:
        text, wide = narrowed(packet)
        if b"<!DOCTYPE" in text:
            raise ValueError("it declares a document type")
        parser = ElementTree.XMLParser(encoding="utf-8" if wide else None)  # noqa: S314 (no document type)
        return ElementTree.fromstring(text.strip(PADDING), parser)  # noqa: S314
    except (ElementTree.ParseError, RecursionError, UnicodeError, LookupError) as error:
        raise ValueError(f"it is not valid XML ({error})") from error
