"""Combine the XMP packet of a sidecar with that inside the photo: what only the latter has is added to the former.

Source: ISO 16684-1 (XMP, serialisation as RDF). An XML parser finds properties and where to insert; the bytes of the
sidecar stay, and the properties that are added are copied as they are, with the namespaces that they need.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from rawkd.files.xmp.merge import DARKTABLE, START_TAG, Element
from rawkd.files.xmp.packet import PADDING, RDF, narrowed, parsed

EDITS = frozenset({"http://ns.adobe.com/camera-raw-settings/1.0/", DARKTABLE})
"""Namespaces of an editor's settings: they are one whole, so a sidecar with any of them replaces all in the photo."""
XML = "http://www.w3.org/XML/1998/namespace"
"""Namespace of the prefix xml, which no packet declares."""
DECLARED = re.compile(rb"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([^"']+)["']""")
Scope = tuple[tuple[str, str], ...]
"""Namespaces that are declared at a place: prefix and URI."""
Name = tuple[str, str]
"""Namespace and local name."""


def combined(sidecar: bytes, own: bytes) -> bytes:
    """Return the packet of a sidecar with the properties of the photo's own packet that it lacks.

    Parameters
    ----------
    sidecar, own : UTF-8 or UTF-16; other encodings only for the sidecar.

    Raises
    ------
    ValueError: if either is not XML with an rdf:RDF element, or declares a document type, or `own` another encoding, or
        if the result is not valid XML.
    """
    text, wide = narrowed(sidecar)
    start = len(text) - len(text.lstrip(PADDING))
    inner = text[start:].rstrip(PADDING)
    known = _scanned(inner, "utf-8" if wide else None)
    if not wide and _encoding(inner) not in ("utf-8", "us-ascii"):
        coding, errors = "ascii", "xmlcharrefreplace"
    else:
        coding, errors = "utf-8", "strict"
    more = _descriptions(own, known).encode(coding, errors)
    if not more:
        return sidecar
    merged = text[:start] + known.rdf.with_content(inner, more) + text[start + len(inner) :]
    packet = merged.decode().encode(wide) if wide else merged
    parsed(packet)  # the scanner knows no rules of namespaces, such as that of two prefixes for one attribute
    return packet


def _descriptions(own: bytes, known: _Packet) -> str:
    """Return the properties of a packet that another one lacks, as descriptions that stand for themselves.

    Of a property that is there twice, the first counts.
    """
    text, wide = narrowed(own)
    text = text.strip(PADDING)
    if not wide and _encoding(text) not in ("utf-8", "us-ascii"):
        raise ValueError(f"its encoding is {_encoding(text)}")
    names = {one.name for one in known.properties}
    edited = {namespace for namespace, _ in names} & EDITS
    parts: dict[Scope, tuple[list[str], list[str]]] = {}
    for one in _scanned(text, "utf-8" if wide else None).properties:
        if one.name not in names and one.name[0] not in edited:
            names.add(one.name)
            attributes, elements = parts.setdefault(one.scope, ([], []))
            (elements if one.is_element else attributes).append(one.text)
    return "".join(_description(scope, known.about, *found) for scope, found in parts.items())


def _description(scope: Scope, about: str, attributes: list[str], elements: list[str]) -> str:
    """Return one description with the namespaces of its properties."""
    prefix = next((prefix for prefix, uri in scope if uri == RDF and prefix), None)
    if prefix is None:
        raise ValueError("it has no prefix for RDF")
    spaces = "".join(f" xmlns{':' if name else ''}{name}={quoteattr(uri)}" for name, uri in scope)
    head = f"<{prefix}:Description{spaces} {prefix}:about={quoteattr(about)}{''.join(attributes)}>"
    return f"{head}{''.join(elements)}</{prefix}:Description>\n"


def _encoding(text: bytes) -> str:
    """Return the encoding that a packet declares, in lower case; UTF-8 if it declares none."""
    found = DECLARED.search(text)
    return "utf-8" if found is None else found[1].decode("ascii", "replace").lower()


@dataclass(frozen=True)
class _Property:
    """A property of a packet: an attribute of a description, or an element in it.

    Attributes
    ----------
    text : an element as it stands there; an attribute written anew, after a space.
    """

    name: Name
    text: str
    is_element: bool
    scope: Scope


@dataclass
class _Packet:
    """What a packet holds.

    Attributes
    ----------
    rdf : its rdf:RDF element. about : rdf:about of its descriptions. properties : in their order.
    """

    rdf: Element
    about: str
    properties: list[_Property]


@dataclass
class _Scanner:
    """Finds the properties of a text in which ASCII characters are single bytes."""

    text: bytes
    parser: expat.XMLParserType
    rdf: Element | None = None
    about: str = ""
    properties: list[_Property] = field(default_factory=list)
    path: list[tuple[Name, dict[str, str]]] = field(default_factory=list)
    start: int = -1

    def parse(self) -> None:
        self.parser.StartElementHandler, self.parser.EndElementHandler = self._begin, self._end
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.Parse(self.text, True)

    def _begin(self, tag: str, attributes: dict[str, str]) -> None:
        scope = dict(self.path[-1][1]) if self.path else {}
        for key, value in attributes.items():
            if key == "xmlns" or key.startswith("xmlns:"):
                scope[key[6:]] = value
        name = _resolved(tag, scope)
        parents = [parent for parent, _ in self.path]
        if name == (RDF, "RDF") and self.rdf is None:
            self.rdf = Element(self.parser.CurrentByteIndex)
        elif name == (RDF, "Description") and parents[-1:] == [(RDF, "RDF")]:
            self._attributes(attributes, scope)
        elif _is_property(parents):
            self.start = self.parser.CurrentByteIndex
        self.path.append((name, scope))

    def _attributes(self, attributes: dict[str, str], scope: dict[str, str]) -> None:
        """Take the properties among the attributes of a description."""
        for key, value in attributes.items():
            if ":" not in key or key.startswith(("xmlns:", "xml:")):
                continue
            name = _resolved(key, scope)
            if name == (RDF, "about"):
                self.about = self.about or value
            elif name[0] != RDF:
                text = f" {key}={quoteattr(value)}"
                self.properties.append(_Property(name, text, False, tuple(scope.items())))

    def _end(self, _tag: str) -> None:
        name, scope = self.path.pop()
        parents = [parent for parent, _ in self.path]
        at = self.parser.CurrentByteIndex
        if name == (RDF, "RDF") and self.rdf is not None and self.rdf.end < 0:
            self.rdf.end = at
        elif _is_property(parents):
            tag = START_TAG.match(self.text, self.start)
            if tag is None:
                raise ValueError("one of its elements cannot be read")
            end = tag.end() if tag[2] else self.text.index(b">", at) + 1
            outer = self.path[-1][1] if self.path else scope
            text = self.text[self.start : end].decode("utf-8", "replace")  # of a sidecar, only names are used
            self.properties.append(_Property(name, text, True, tuple(outer.items())))

    @staticmethod
    def _refuse(*_declaration: object) -> None:
        raise ValueError("it declares a document type")  # whose entities could grow without bound


def _scanned(text: bytes, encoding: str | None) -> _Packet:
    """Return the properties of a packet. Raises ValueError as `combined`."""
    scanner = _Scanner(text, expat.ParserCreate(encoding))
    try:
        scanner.parse()
    except (expat.ExpatError, UnicodeError, LookupError) as error:
        raise ValueError(f"it is not valid XML ({error})") from error
    if scanner.rdf is None:
        raise ValueError("it has no rdf:RDF element")
    return _Packet(scanner.rdf, scanner.about, scanner.properties)


def _resolved(name: str, scope: dict[str, str]) -> Name:
    """Return the namespace and the local name of a qualified name. Raises ValueError for an undeclared prefix."""
    prefix, _, local = name.rpartition(":")
    if prefix and prefix != "xml" and prefix not in scope:
        raise ValueError(f"its prefix {prefix} is not declared")
    return XML if prefix == "xml" else scope.get(prefix, ""), local


def _is_property(parents: list[Name]) -> bool:
    """Return whether an element with these parents is a property of the packet."""
    return parents[-2:] == [(RDF, "RDF"), (RDF, "Description")]
