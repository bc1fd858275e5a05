"""What the tags of a raw file say before its pixels are decoded: a millisecond instead of a second."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from rawkd.errors import InputError
from rawkd.files.read.containers import read_ciff_make_model, read_tag_tree
from rawkd.files.read.dng_kind import PHOTOMETRIC_CFA
from rawkd.files.read.metadata import read_capture
from rawkd.files.tiff.dng_tags import BITS, PHOTOMETRIC
from rawkd.files.tiff.tags import TagTree

SOFTWARE = 305
OWN_SOFTWARE = "rawkd "
"""How the Software tag of every output begins."""


@dataclass(frozen=True)
class Identity:
    """Who took a file, and who wrote it.

    Attributes
    ----------
    make, model : as the camera writes them. iso : None where only maker notes hold it.
    bits : of a raw sample, 0 where no tag says it. software : the program that wrote the file.
    """

    make: str = ""
    model: str = ""
    iso: float | None = None
    bits: int = 0
    software: str = ""

    @property
    def is_own_output(self) -> bool:
        """Whether rawkd wrote the file."""
        return self.software.startswith(OWN_SOFTWARE)


def identify(path: Path) -> Identity:
    """Read the tags of a file; what is none (a pipe, a device) is not opened, for that may never end.

    Raises
    ------
    InputError: it is no regular file, or a damaged TIFF. UnsupportedRawError: a BigTIFF. OSError: it cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise InputError(f"{path}: it is no regular file: name a raw file")
    tree = read_tag_tree(path)
    capture, _ = read_capture(tree, {}, read_ciff_make_model(path) if tree is None else ("", ""))
    if tree is None:
        return Identity(capture.make, capture.model)
    return Identity(capture.make, capture.model, capture.iso, _bits(tree), tree.main.text(SOFTWARE))


def _bits(tree: TagTree) -> int:
    """BitsPerSample of the mosaic, or the most of any directory where none says that it holds one."""
    ifds = list(tree.all_ifds())
    mosaics = [ifd for ifd in ifds if ifd.number(PHOTOMETRIC) == PHOTOMETRIC_CFA]
    return max((int(ifd.number(BITS) or 0) for ifd in mosaics or ifds), default=0)
