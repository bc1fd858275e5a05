"""Read the .xmp sidecar that an editor wrote next to a photo."""

from __future__ import annotations

import os
from pathlib import Path

LARGEST_BYTES = 16 * 2**20


def read_sidecar(photo: Path) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the XMP packet of a photo's sidecar, or None, and warnings.

    Adobe names it ``photo.xmp``, darktable ``photo.cr2.xmp``. The longer name has precedence, since it cannot belong to
    another photo.
    """
    for sidecar in (photo.with_name(photo.name + ".xmp"), photo.with_suffix(".xmp")):
        for candidate in (sidecar, sidecar.with_name(sidecar.name[:-4] + ".XMP")):
            if os.path.isfile(candidate):  # noqa: PTH113 -- Path.is_file raises for a name that is too long
                return _packet(candidate)
    return None, ()


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
