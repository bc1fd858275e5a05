"""Choose and filter the XMP packet of an output: source or sidecar, without location, or user-written captions only.

Sources: ISO 16684-1 (XMP part 1, data model and RDF); IPTC photo metadata standard 2023.1 for the location properties.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from xml.etree import ElementTree

from rawkd.files.write.private import without_private_xmp
from rawkd.files.xmp.combine import combined
from rawkd.files.xmp.merge import with_treatment
from rawkd.files.xmp.packet import PADDING, RDF, XMP, parsed
from rawkd.files.xmp.remove import without_properties
from rawkd.files.xmp.treatment import Treatment
from rawkd.photo import Tag

META = "adobe:ns:meta/"
KEPT: dict[str, tuple[str, frozenset[str]]] = {
    "dc": ("http://purl.org/dc/elements/1.1/", frozenset()),
    "xmp": ("http://ns.adobe.com/xap/1.0/", frozenset({"Rating", "Label"})),
    "xmpRights": ("http://ns.adobe.com/xap/1.0/rights/", frozenset()),
    "lr": ("http://ns.adobe.com/lightroom/1.0/", frozenset({"hierarchicalSubject", "weightedFlatSubject"})),
    "Iptc4xmpCore": ("http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/", frozenset()),
    "Iptc4xmpExt": ("http://iptc.org/std/Iptc4xmpExt/2008-02-29/", frozenset()),
    "plus": ("http://ns.useplus.org/ldf/xmp/1.0/", frozenset()),
    "digiKam": ("http://www.digikam.org/ns/1.0/", frozenset({"TagsList", "ColorLabel", "PickLabel"})),
    "MicrosoftPhoto": ("http://ns.microsoft.com/photo/1.0/", frozenset({"Rating", "LastKeywordXMP"})),
    "photoshop": (
        "http://ns.adobe.com/photoshop/1.0/",
        frozenset(
            {"AuthorsPosition", "CaptionWriter", "Category", "City", "Country", "Credit", "DateCreated", "Headline"}
            | {"Instructions", "Source", "State", "SupplementalCategories", "TransmissionReference", "Urgency"}
        ),
    ),
}
"""Prefix -> namespace and its properties that stay valid for a rendered picture; an empty set means all of them."""
DROPPED = frozenset({"{http://purl.org/dc/elements/1.1/}format"})
LOCATION = re.compile(r"(?i:gps|latitude|longt?itude)|^(?:City$|State$|Country|Location)")
"""Names of XMP properties that give a location: coordinates of EXIF and drones, place names of Photoshop and IPTC."""
HEAD = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
TAIL = '<?xpacket end="w"?>'


def packet_of(
    tags: Iterable[Tag], sidecar: bytes | None, *, strip_location: bool, strip_private: bool = False
) -> tuple[bytes, tuple[str, ...]]:
    """Return the packet of the source's tags with that of the sidecar, empty if there is neither; and warnings.

    Properties of the sidecar count, since an editor wrote it later; what only the source has stays.

    Parameters
    ----------
    strip_location, strip_private : remove the location, or serial numbers and the owner's name. A packet from which
        they cannot be removed is left out, with a warning.
    """
    packet, warnings = _with_sidecar(next((tag.data for tag in tags if tag.number == XMP), b""), sidecar)
    if strip_location:
        packet, more = without_location(packet)
        warnings += more
    if strip_private:
        packet, more = without_private_xmp(packet)
        warnings += more
    return packet, warnings


def _with_sidecar(own: bytes, sidecar: bytes | None) -> tuple[bytes, tuple[str, ...]]:
    """Return the two packets as one, or the sidecar's alone, with a warning, if one of them cannot be understood."""
    if sidecar is None or not own.strip(PADDING):
        return own if sidecar is None else sidecar, ()
    try:
        return combined(sidecar, own), ()
    except ValueError as error:
        left_out = "the XMP inside the photo (rating, keywords, edits) was left out"
        return sidecar, (f"{left_out}: it cannot be combined with that of the sidecar ({error}).",)


def packet_with_treatment(packet: bytes, treatment: Treatment | None) -> tuple[bytes, tuple[str, ...]]:
    """Return the packet with an entry about the treatment, and warnings.

    A packet that cannot be understood is returned as it is, with a warning: it may hold what nobody can write again.
    """
    if treatment is None:
        return packet, ()
    try:
        return with_treatment(packet, treatment), ()
    except ValueError as error:
        return packet, (
            f"the XMP of the photo cannot be read ({error}). It is copied unchanged, without a note that rawkd denoised"
            " the photo.",
        )


def without_location(packet: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return the packet without coordinates and place names, and a warning if it cannot be read and is left out."""
    return without_properties(packet, LOCATION, "the location")


def captions_only(packet: bytes, more: Mapping[str, ElementTree.Element] = MappingProxyType({})) -> bytes:
    """Return a packet with only the user-written properties: rating, label, title, caption, keywords, rights, places.

    Edits of the raw picture, its size and its orientation are removed, since a program would apply them to the rendered
    picture again. The result is empty if nothing else remains.

    Parameters
    ----------
    more : properties by name, added where the packet lacks them.

    Raises
    ------
    ValueError: if the packet is not valid XML, or declares a document type.
    """
    rdfs = parsed(packet).iter(f"{{{RDF}}}RDF") if packet.strip(PADDING) else ()
    top = [old for rdf in rdfs for old in rdf.findall(f"{{{RDF}}}Description")]
    kept = {**more} | {one.tag: one for old in top for one in old if _is_caption(one.tag)}
    values = {key: old.attrib[key] for old in top for key in old.attrib if _is_caption(key)}
    try:
        return _packet(values, kept).encode("utf-8") if kept or values else b""
    except RecursionError as error:
        raise ValueError("its elements are nested too deeply") from error


def _is_caption(name: str) -> bool:
    namespace, _, local = name.removeprefix("{").rpartition("}")
    kept = (names for known, names in KEPT.values() if known == namespace)
    return name not in DROPPED and any(not names or local in names for names in kept)


def _packet(values: dict[str, str], properties: dict[str, ElementTree.Element]) -> str:
    """Return an XMP packet with one description; an attribute takes precedence over an element of the same name."""
    for prefix, namespace in (("x", META), ("rdf", RDF), *((key, value[0]) for key, value in KEPT.items())):
        ElementTree.register_namespace(prefix, namespace)
    meta = ElementTree.Element(f"{{{META}}}xmpmeta")
    rdf = ElementTree.SubElement(meta, f"{{{RDF}}}RDF")
    description = ElementTree.SubElement(rdf, f"{{{RDF}}}Description", {f"{{{RDF}}}about": "", **values})
    description.extend(one for name, one in properties.items() if name not in values)
    return HEAD + ElementTree.tostring(meta, "unicode") + TAIL
