"""Read what an XMP packet says about denoising: entries of rawkd in its history, and darktable's marker."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

from rawkd.files.xmp.merge import DARKTABLE, EVENT, MARKED, MARKER, MEDIA_MANAGEMENT
from rawkd.files.xmp.packet import PADDING, RDF, parsed
from rawkd.files.xmp.treatment import OWN_SOFTWARE, Treatment
from rawkd.photo import Tag


@dataclass(frozen=True)
class Past:
    """What was done to a photo before.

    Attributes
    ----------
    treatments : by rawkd, the oldest first. is_marked : whether darktable's marker says that the raw is denoised.
    """

    treatments: tuple[Treatment, ...] = ()
    is_marked: bool = False

    @property
    def removed(self) -> Treatment | None:
        """The last treatment by rawkd that removed noise."""
        return next((one for one in reversed(self.treatments) if one.model is not None), None)


def denoised_before(software: str, packet: Tag | None) -> tuple[str, ...]:
    """Return a warning if rawkd wrote a file, or its XMP says that noise was removed before.

    Parameters
    ----------
    software : text of the Software tag. packet : the XMP field, or None.
    """
    past = past_of(b"" if packet is None else packet.data)
    removed = past.removed
    how = "" if removed is None else f" ({removed.model}, strength {removed.strength:g})"
    if software.startswith(OWN_SOFTWARE):
        what = "rawkd wrote this file" + how
    elif removed is not None:
        what = "rawkd removed noise from this photo before" + how
    elif past.is_marked:
        what = "a program has marked this photo as denoised"
    else:
        return ()
    return (f"{what}. Denoising it again removes detail. Use the original photo instead.",)


def was_denoised(packet: Tag | None) -> bool:
    """Return whether the XMP field of a file says that noise was removed."""
    past = past_of(b"" if packet is None else packet.data)
    return past.is_marked or past.removed is not None


def is_by_rawkd(packet: Tag | None) -> bool:
    """Return whether the history in the XMP field of a file has an entry of rawkd, which editors keep."""
    data = b"" if packet is None else packet.data
    # a search is far faster than parsing, and few files of a folder have such an entry
    is_named = any(OWN_SOFTWARE.encode(encoding) in data for encoding in ("ascii", "utf-16-le", "utf-16-be"))
    return is_named and bool(past_of(data).treatments)


def past_of(packet: bytes) -> Past:
    """Return what a packet says; nothing if it is empty, no XML, or declares a document type."""
    if not packet.strip(PADDING):
        return Past()
    try:
        root = parsed(packet)
        tops = [top for rdf in root.iter(f"{{{RDF}}}RDF") for top in rdf.findall(f"{{{RDF}}}Description")]
        entries = [entry for top in tops for entry in top.findall(f"{{{MEDIA_MANAGEMENT}}}History/*/{{{RDF}}}li")]
        found = [(_value(entry, "softwareAgent"), _value(entry, "parameters")) for entry in entries]
        name = f"{{{DARKTABLE}}}{MARKER}"
        markers = {value for top in tops for value in (top.get(name), top.findtext(name))}
    except ValueError:
        return Past()
    return Past(
        tuple(Treatment.parsed(agent, parameters) for agent, parameters in found if agent.startswith(OWN_SOFTWARE)),
        MARKED in markers,
    )


def _value(entry: ElementTree.Element, name: str) -> str:
    """Return one property of a history entry: an attribute, an element, or one in a nested description; else empty."""
    key = f"{{{EVENT}}}{name}"
    for place in (entry, *entry.findall(f"{{{RDF}}}Description")):
        if (text := place.get(key) or place.findtext(key)) is not None:
            return text.strip()
    return ""
