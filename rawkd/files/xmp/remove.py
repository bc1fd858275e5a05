"""Remove properties from an XMP packet by their names. Other bytes stay, but comments go: they may hold properties.

Sources: ISO 16684-1 (XMP, serialisation as RDF); XML 1.0, 2.5 (comments) and 3.1 (start tags). An XML parser finds what
to remove, so that the time grows in proportion to the packet, and texts and keywords are never taken for names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.parsers import expat

from rawkd.files.xmp.packet import PADDING, narrowed

START_TAG = re.compile(rb"""<[^\s/>]+((?:[^"'>]|"[^"]*"|'[^']*')*)>""")
ATTRIBUTE = re.compile(rb"""\s+([^\s=]+)\s*=\s*(?:"[^"]*"|'[^']*')""")


def without_properties(packet: bytes, names: re.Pattern[str], what: str) -> tuple[bytes, tuple[str, ...]]:
    """Return the packet without the properties of these names, and a warning if the whole packet had to go.

    A packet that is no XML is left out, since nobody can say what it holds.

    Parameters
    ----------
    packet : UTF-8, UTF-16, or any encoding that expat knows. names : pattern of whole names, without their prefix.
    what : the properties in words, for the warning.
    """
    if not packet.strip(PADDING):
        return packet, ()
    try:
        text, wide = narrowed(packet)
        inner = text.strip(PADDING)
        before, _, after = text.partition(inner)
        kept = before + _without(inner, names, "utf-8" if wide else None) + after
    except ValueError as error:
        return b"", (f"the XMP of the photo was left out: {what} cannot be removed from it ({error}).",)
    return (kept.decode().encode(wide) if wide else kept), ()


def _without(text: bytes, names: re.Pattern[str], encoding: str | None) -> bytes:
    """Return the text without elements and attributes of these names, and without comments.

    Raises
    ------
    ValueError: if the text is not valid XML, or declares a document type.
    """
    finder = _Finder(text, names, expat.ParserCreate(encoding))
    try:
        finder.parse()
    except (expat.ExpatError, UnicodeError, LookupError) as error:
        raise ValueError(f"it is not valid XML ({error})") from error
    ends = [0, *(end for _, end in finder.spans)]
    starts = [*(start for start, _ in finder.spans), len(text)]
    return b"".join(text[end:start] for end, start in zip(ends, starts, strict=True))


@dataclass
class _Finder:
    """Finds what is to be removed from a text in which ASCII characters are single bytes.

    Attributes
    ----------
    spans : start and end of each removed part, in order. depth : number of open elements from the removed one on, 0
        outside. start : where the removed element starts. empty_end : where it ends if it has no content, else -1.
    """

    text: bytes
    names: re.Pattern[str]
    parser: expat.XMLParserType
    spans: list[tuple[int, int]] = field(default_factory=list)
    depth: int = 0
    start: int = -1
    empty_end: int = -1

    def parse(self) -> None:
        self.parser.StartElementHandler = self._begin
        self.parser.EndElementHandler = self._end
        self.parser.CommentHandler = self._comment
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.Parse(self.text, True)

    def _begin(self, name: str, _attributes: dict[str, str]) -> None:
        if self.depth:
            self.depth += 1
            return
        tag = START_TAG.match(self.text, self.parser.CurrentByteIndex)
        if tag is None:
            raise ValueError("one of its elements cannot be read")
        if self._is_unwanted(name):
            self.depth, self.start = 1, tag.start()
            self.empty_end = tag.end() if tag[1].endswith(b"/") else -1
            return
        for attribute in ATTRIBUTE.finditer(self.text, *tag.span(1)):
            if self._is_unwanted(attribute[1].decode("latin1")):
                self.spans.append(attribute.span())

    def _end(self, _name: str) -> None:
        if self.depth:
            self.depth -= 1
            if not self.depth:
                self._remove(self.start, b">", self.empty_end)

    def _comment(self, _content: str) -> None:
        if not self.depth:
            self._remove(self.parser.CurrentByteIndex, b"-->")

    def _remove(self, start: int, mark: bytes, end: int = -1) -> None:
        """Add the part from an offset to `end`, else to the next mark after the parser's place."""
        if end < 0:
            end = self.text.index(mark, self.parser.CurrentByteIndex) + len(mark)
        self.spans.append((start, end))

    def _is_unwanted(self, name: str) -> bool:
        prefix, _, local = name.rpartition(":")
        return prefix != "xmlns" and name != "xmlns" and self.names.search(local) is not None

    @staticmethod
    def _refuse(*_declaration: object) -> None:
        raise ValueError("it declares a document type")  # whose entities could grow without bound
