"""Identify a raw file from its tags, without decoding pixels: a millisecond instead of a second."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from rawkd.errors import InputError
from rawkd.files.read.containers import read_ciff_make_model, read_tag_tree
from rawkd.files.read.dng_kind import is_dng, raw_ifd_of
from rawkd.files.read.metadata import read_capture
from rawkd.files.tiff.dng_tags import BITS, CFA_REPEAT_DIM, PHOTOMETRIC, PHOTOMETRIC_CFA
from rawkd.files.tiff.tags import TagTree
from rawkd.files.xmp.history import is_by_rawkd
from rawkd.files.xmp.packet import XMP
from rawkd.files.xmp.treatment import OWN_SOFTWARE

SOFTWARE = 305
OWN_STREAM = re.compile(r"/dev/(stdin|stdout|stderr|fd/.*)|/proc/[^/]+(/task/[^/]+)?/fd/.*")
"""Names that mean another file in every process, so that the decoder's process would open a file of its own."""
LINKS_MAX = 40
"""Links that Linux follows in one name."""


@dataclass(frozen=True)
class Identity:
    """Camera and software of a file.

    Attributes
    ----------
    make, model : as the camera writes them. iso : None if no tag has it; `Decoder.iso_of` may find it elsewhere.
    bits : bits per raw pixel, 0 if no tag states it. software : the program that wrote the file last.
    cfa : xtrans | mono if the file is a DNG of that kind, else "". Only DNGs of one camera can be of several kinds.
    has_own_history : whether the XMP history says that rawkd wrote the file, perhaps before another program.
    """

    make: str = ""
    model: str = ""
    iso: float | None = None
    bits: int = 0
    software: str = ""
    cfa: str = ""
    has_own_history: bool = False

    @property
    def is_own_output(self) -> bool:
        """Whether rawkd wrote the file, even if another program has saved it since."""
        return self.software.startswith(OWN_SOFTWARE) or self.has_own_history


def identify(path: Path) -> Identity:
    """Read camera, ISO, bits, software and history from a file's tags.

    Pipes, devices and names such as /dev/stdin are refused without opening them, since reading them may never end.

    Raises
    ------
    InputError: if it is not a regular file, or a damaged TIFF. UnsupportedRawError: if it is a BigTIFF.
    OSError: if it cannot be read.
    """
    if names_own_stream(path) or not stat.S_ISREG(path.stat().st_mode):
        raise InputError(f"{path}: this is not a regular file. Give a raw file.")
    tree = read_tag_tree(path)
    capture = read_capture(tree, {}, read_ciff_make_model(path) if tree is None else ("", ""))
    if tree is None:
        return Identity(capture.make, capture.model)
    return Identity(
        capture.make,
        capture.model,
        capture.iso,
        _bits(tree),
        tree.main.text(SOFTWARE),
        _cfa(tree),
        has_own_history=is_by_rawkd(tree.main.tags.get(XMP)),
    )


def names_own_stream(path: Path) -> bool:
    """Whether a path is, or links to, an open file of this process (`OWN_STREAM`), such as /dev/stdin."""
    name = os.path.abspath(path)  # noqa: PTH100 -- resolve() would look through the links
    for _ in range(LINKS_MAX):
        if OWN_STREAM.fullmatch(name):
            return True
        if not Path(name).is_symlink():
            return False
        name = os.path.normpath(Path(name).parent / Path(name).readlink())
    return False


def _cfa(tree: TagTree) -> str:
    """Return the kind of the CFA that a DNG states; empty for Bayer, and for other files."""
    if not is_dng(tree):
        return ""
    try:
        raw = raw_ifd_of(tree)
    except InputError:
        return ""
    if raw.number(PHOTOMETRIC) != PHOTOMETRIC_CFA:
        return "mono"
    return "xtrans" if tuple(raw.numbers(CFA_REPEAT_DIM)) == (6, 6) else ""


def _bits(tree: TagTree) -> int:
    """Return BitsPerSample of the mosaic, or the largest of all directories if none is marked as a mosaic."""
    ifds = list(tree.all_ifds())
    mosaics = [ifd for ifd in ifds if ifd.number(PHOTOMETRIC) == PHOTOMETRIC_CFA]
    return max((int(ifd.number(BITS) or 0) for ifd in mosaics or ifds), default=0)
