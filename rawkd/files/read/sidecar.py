"""Read the .xmp sidecar that an editor wrote next to a photo."""

from __future__ import annotations

import os
from pathlib import Path

LARGEST_BYTES = 16 * 2**20


def read_sidecar(photo: Path) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the XMP packet of a photo's sidecar, or None, and warnings.

    Adobe names it ``photo.xmp``, darktable ``photo.cr2.xmp``. The longer name has precedence, since it cannot belong to
    another photo. A file without XMP gives way to the next one. A warning names each other sidecar with other content.
    """
    packet, used = None, ""
    warnings: tuple[str, ...] = ()
    for sidecar in _candidates(photo):
        found, told = _packet(sidecar)
        warnings += told
        if packet is None and found is not None:
            packet, used = found, sidecar.name
        elif found is not None and found != packet:
            warnings += (f"{sidecar.name} was not used, since {used} is there too: delete the one that is out of date",)
    return packet, warnings


def _candidates(photo: Path) -> list[Path]:
    """Return the sidecars that exist, the first to use first; a disk that knows no case has each under two names."""
    found: list[Path] = []
    for sidecar in (photo.with_name(photo.name + ".xmp"), photo.with_suffix(".xmp")):
        for candidate in (sidecar, sidecar.with_name(sidecar.name[:-4] + ".XMP")):
            is_file = os.path.isfile(candidate)  # noqa: PTH113 -- Path.is_file raises for a name that is too long
            if is_file and not any(candidate.samefile(other) for other in found):
                found.append(candidate)
    return found


def _packet(sidecar: Path) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the bytes of a sidecar if they are XMP of at most 16 MiB, else None and a warning."""
    try:
        if sidecar.stat().st_size > LARGEST_BYTES:
            return None, (f"{sidecar.name} is larger than 16 MiB and was not embedded",)
        packet = sidecar.read_bytes()
    except OSError as error:
        return None, (f"{sidecar.name} cannot be read ({error.strerror}) and was not embedded",)
    if b"rdf:RDF" not in packet:
        return None, (f"{sidecar.name} contains no XMP and was not embedded",)
    return packet, ()
