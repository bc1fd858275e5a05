"""The .xmp file that an editor left beside a photo."""

from __future__ import annotations

from pathlib import Path

LARGEST_BYTES = 16 * 2**20


def read_sidecar(photo: Path) -> tuple[bytes | None, tuple[str, ...]]:
    """The XMP packet beside a photo, or None, and what is to be said about it.

    Adobe names it ``photo.xmp``, darktable ``photo.cr2.xmp``; the longer name wins because it can mean no other photo.
    """
    for sidecar in (photo.with_name(photo.name + ".xmp"), photo.with_suffix(".xmp")):
        for candidate in (sidecar, sidecar.with_name(sidecar.name[:-4] + ".XMP")):
            if candidate.is_file():
                return _packet(candidate)
    return None, ()


def _packet(sidecar: Path) -> tuple[bytes | None, tuple[str, ...]]:
    """The bytes of a sidecar where they are XMP of a sensible size."""
    try:
        if sidecar.stat().st_size > LARGEST_BYTES:
            return None, (f"{sidecar.name} is larger than 16 MiB and was not embedded",)
        packet = sidecar.read_bytes()
    except OSError as error:
        return None, (f"{sidecar.name} cannot be read ({error.strerror}) and was not embedded",)
    if b"rdf:RDF" not in packet:
        return None, (f"{sidecar.name} holds no XMP and was not embedded",)
    return packet, ()
