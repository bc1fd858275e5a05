"""Add what rawkd did to an XMP packet. Every byte that the packet had stays.

Sources: ISO 16684-1 (XMP, serialisation as RDF); XMP specification part 2, section 1.2.6 (xmpMM:History) and 1.2.8.3
(ResourceEvent). An XML parser finds where to insert; it never writes the packet anew, so that unknown properties,
prefixes, comments and padding survive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from rawkd.files.xmp.packet import PADDING, RDF, narrowed
from rawkd.files.xmp.treatment import Treatment

MEDIA_MANAGEMENT = "http://ns.adobe.com/xap/1.0/mm/"
EVENT = "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
DARKTABLE = "http://darktable.sf.net/"
ACTION = "filtered"
"""The one of XMP's own actions that fits best."""
MARKER, MARKED = "neural_restore", "raw-denoise"
"""darktable:neural_restore="raw-denoise": darktable then applies no automatic denoise preset (its pull request 21940).
What noise is left is the user's choice, and no profile of the camera fits it, so every strength is marked."""
EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    f'<rdf:RDF xmlns:rdf="{RDF}">\n</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
).encode()
LISTS = frozenset(f"{RDF} {kind}" for kind in ("Seq", "Bag", "Alt"))
NO_LIST = frozenset(f"{RDF} {name}" for name in ("resource", "nodeID", "parseType", "datatype"))
"""Attributes of a property whose value is no list."""
START_TAG = re.compile(rb"""<([^\s/>]+)(?:[^"'>]|"[^"]*"|'[^']*')*?(/?)>""")
"""Name of an element, and the slash of one without content."""


def with_treatment(packet: bytes, treatment: Treatment) -> bytes:
    """Return the packet with an entry in xmpMM:History, and with darktable's marker if noise was removed.

    Parameters
    ----------
    packet : UTF-8, UTF-16, or any encoding that expat knows; an empty one becomes a new packet.

    Raises
    ------
    ValueError: if the packet is not XML with an rdf:RDF element, declares a document type, or has a history that is no
        list of entries.
    """
    packet, wide = narrowed(packet if packet.strip(PADDING) else EMPTY)
    merged = _merged(packet, treatment, "utf-8" if wide else None)
    return merged.decode().encode(wide) if wide else merged


def _merged(packet: bytes, treatment: Treatment, encoding: str | None) -> bytes:
    """Insert into a packet in which ASCII characters are single bytes."""
    start = len(packet) - len(packet.lstrip(PADDING))
    text = packet[start:].rstrip(b"\0")
    places = _places(text, encoding)
    if places.rdf is None:
        raise ValueError("it has no rdf:RDF element")
    insertions: list[tuple[Element, str]] = []
    added = ""
    event = _event(treatment)
    if places.seq is not None:
        insertions.append((places.seq, event))
    elif places.history is not None:
        insertions.append((places.history, f'<rdf:Seq xmlns:rdf="{RDF}">{event}</rdf:Seq>'))
    else:
        added = f"<xmpMM:History><rdf:Seq>{event}</rdf:Seq></xmpMM:History>"
    is_marked = treatment.model is not None and not places.has_marker
    if added or is_marked:
        attributes = {"rdf:about": places.about, "xmlns:rdf": RDF, "xmlns:xmpMM": MEDIA_MANAGEMENT}
        if is_marked:
            attributes |= {"xmlns:darktable": DARKTABLE, f"darktable:{MARKER}": MARKED}
        insertions.append((places.rdf, f"<rdf:Description{_attributes(attributes)}>{added}</rdf:Description>\n"))
    tail = packet[start + len(text) :]
    for element, more in sorted(insertions, key=lambda one: one[0].end, reverse=True):
        text = element.with_content(text, more.encode("ascii", "xmlcharrefreplace"))
    return packet[:start] + text + tail


def _event(treatment: Treatment) -> str:
    """Return the history entry. It has no date, so that the same photo always gives the same bytes."""
    attributes = {
        "xmlns:rdf": RDF,
        "xmlns:stEvt": EVENT,
        "stEvt:action": ACTION,
        "stEvt:softwareAgent": treatment.software,
        "stEvt:parameters": treatment.parameters(),
    }
    return f"<rdf:li{_attributes(attributes)}/>\n"


def _attributes(values: Mapping[str, str]) -> str:
    return "".join(f" {name}={quoteattr(value)}" for name, value in values.items())


@dataclass
class Element:
    """Where an element lies: the offsets of its start tag and of its end tag (of what follows, if it is empty)."""

    start: int
    end: int = -1

    def with_content(self, text: bytes, more: bytes) -> bytes:
        """Return the text with `more` as the last content of the element."""
        tag = START_TAG.match(text, self.start)
        if tag is None:
            raise ValueError("one of its elements cannot be extended")
        if not tag[2]:
            return text[: self.end] + more + text[self.end :]
        return b"".join((text[: tag.start(2)], b">", more, b"</", tag[1], b">", text[tag.end() :]))


@dataclass
class _Places:
    """The elements that entries are added to, None for those that are missing.

    Attributes
    ----------
    rdf : rdf:RDF. history : xmpMM:History. seq : its list of entries, rdf:Seq, rdf:Bag or rdf:Alt.
    about : rdf:about of the descriptions.
    has_marker : whether darktable:neural_restore is there, whatever its value.
    """

    rdf: Element | None = None
    history: Element | None = None
    seq: Element | None = None
    about: str = ""
    has_marker: bool = False
    path: list[tuple[str, Element | None]] = field(default_factory=list)


def _places(text: bytes, encoding: str | None) -> _Places:
    """Find the places of a packet.

    Raises
    ------
    ValueError: as `with_treatment`.
    """
    found = _Places()
    parser = expat.ParserCreate(encoding, " ")

    def begin(name: str, attributes: dict[str, str]) -> None:
        parents = [parent for parent, _ in found.path]
        if _is_strange_history(name, parents, attributes):
            raise ValueError("its history is no list of entries")
        place = _place_of(found, name, parents, parser.CurrentByteIndex)
        if parents[-1:] == [f"{RDF} RDF"]:
            found.about = found.about or attributes.get(f"{RDF} about", "")
            found.has_marker |= f"{DARKTABLE} {MARKER}" in attributes
        found.has_marker |= name == f"{DARKTABLE} {MARKER}" and parents[-2:-1] == [f"{RDF} RDF"]
        found.path.append((name, place))

    def end(_name: str) -> None:
        place = found.path.pop()[1]
        if place is not None:
            place.end = parser.CurrentByteIndex

    def refuse(*_declaration: object) -> None:
        raise ValueError("it declares a document type")  # whose entities could grow without bound

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, UnicodeError, LookupError) as error:
        raise ValueError(f"it is not valid XML ({error})") from error
    return found


def _is_strange_history(name: str, parents: list[str], attributes: Mapping[str, str]) -> bool:
    """Return whether an element is a history without a list, or what a history holds in place of a list."""
    if f"{MEDIA_MANAGEMENT} History" in attributes:
        return parents[-1:] == [f"{RDF} RDF"]
    if name == f"{MEDIA_MANAGEMENT} History":
        return parents[-2:-1] == [f"{RDF} RDF"] and not NO_LIST.isdisjoint(attributes)
    return parents[-3::2] == [f"{RDF} RDF", f"{MEDIA_MANAGEMENT} History"] and name not in LISTS


def _place_of(found: _Places, name: str, parents: list[str], start: int) -> Element | None:
    """Return a new place if this element is the first of a kind that entries are added to."""
    is_in_history = parents[-3::2] == [f"{RDF} RDF", f"{MEDIA_MANAGEMENT} History"]
    if name == f"{RDF} RDF" and found.rdf is None:
        found.rdf = Element(start)
        return found.rdf
    if name == f"{MEDIA_MANAGEMENT} History" and parents[-2:-1] == [f"{RDF} RDF"] and found.history is None:
        found.history = Element(start)
        return found.history
    if name in LISTS and is_in_history and found.seq is None:
        found.seq = Element(start)
        return found.seq
    return None
