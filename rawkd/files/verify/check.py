"""Compare a DNG's raw picture with the digest in the file, and find the DNGs of an archive."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from rawkd.errors import InputError, UnsupportedRawError
from rawkd.files.read.dng_kind import is_dng
from rawkd.files.read.identify import SOFTWARE
from rawkd.files.sanity import NO_SUCH_FILE
from rawkd.files.tiff.digest import NEW_RAW_IMAGE_DIGEST, RAW_IMAGE_DIGEST, raw_image_digest
from rawkd.files.tiff.dng_tags import NEW_SUBFILE_TYPE, PHOTOMETRIC, PHOTOMETRIC_CFA, PHOTOMETRIC_LINEAR, size_of
from rawkd.files.tiff.tags import Ifd, TagTree, read_tiff
from rawkd.files.verify.blocks import DAMAGED, refuse_cut
from rawkd.files.verify.samples import stored_samples
from rawkd.files.xmp.history import is_by_rawkd
from rawkd.files.xmp.packet import XMP
from rawkd.files.xmp.treatment import OWN_SOFTWARE

Status = Literal["intact", "mismatch", "no digest", "not checked", "not a DNG", "unreadable"]


@dataclass(frozen=True)
class Check:
    """The result of checking one file.

    Attributes
    ----------
    status : "intact": the pixels match the digest. "mismatch": they do not. "no digest": the file states none, and no
        strip or tile is missing. "not checked": it states one, but rawkd cannot decode such pixels. "not a DNG":
        another kind of file. "unreadable": missing, damaged (also a file named .dng that is no DNG), or too large for
        the memory.
    sentence : file, what is wrong and what to do; empty if it is intact.
    stated, computed : the digests, hexadecimal; None if not known.
    """

    path: Path
    status: Status
    sentence: str = ""
    stated: str | None = None
    computed: str | None = None


class _NotADngError(InputError):
    """The file is no DNG."""


def check_digest(path: Path, pool: Executor) -> Check:
    """Decode a DNG's raw picture and compare it with NewRawImageDigest. Errors become a result, not an exception.

    Parameters
    ----------
    pool : threads that decode and hash.
    """
    stated: str | None = None
    try:
        _refuse_pipes(path)
        with path.open("rb") as stream:
            tree = _tree_of(stream)
            stated, is_old = _stated(tree)
            if stated is None:
                refuse_cut(stream, _raw_ifd(tree))
                return Check(path, "no digest", f"{path}: {_without_digest(is_old=is_old)}")
            samples = stored_samples(stream, _raw_ifd(tree), pool.map)
        computed = raw_image_digest(samples, pool.map).hex()
    except UnsupportedRawError as error:
        return Check(path, "unreadable" if stated is None else "not checked", f"{path}: {error}", stated)
    except InputError as error:
        is_other = isinstance(error, _NotADngError) and path.suffix.lower() != ".dng"
        return Check(path, "not a DNG" if is_other else "unreadable", f"{path}: {error}", stated)
    except (OSError, MemoryError) as error:
        reason = "the raw picture does not fit into memory. Close other programs."
        if isinstance(error, OSError):
            reason = f"the file cannot be read ({error.strerror or error}). Check the disk and the file's permissions."
        return Check(path, "unreadable", f"{path}: {reason}", stated)
    if computed == stated:
        return Check(path, "intact", "", stated, computed)
    again = ", or delete it and denoise its photo again" if _is_ours(tree) else ""
    changed = "the raw picture does not match its digest: its pixels have changed"
    sentence = f"{path}: {changed}. Restore it from a backup{again}."
    return Check(path, "mismatch", sentence, stated, computed)


def _refuse_pipes(path: Path) -> None:
    """Refuse a file that does not exist, and one whose reading may never end."""
    if not path.exists():
        raise InputError(NO_SUCH_FILE)
    if not path.is_file():
        raise InputError("this is not a regular file. Give a DNG.")


def _tree_of(stream: BinaryIO) -> TagTree:
    tree = read_tiff(stream)
    if tree is None or not is_dng(tree):
        raise _NotADngError("this is not a DNG, and only DNGs state a digest.")
    return tree


def _stated(tree: TagTree) -> tuple[str | None, bool]:
    """Return the digest that a file states, None if there is none, and whether it has one of the older kind."""
    for ifd in tree.all_ifds():
        tag = ifd.tags.get(NEW_RAW_IMAGE_DIGEST)
        if tag is not None and len(tag.data) == 16 and any(tag.data):
            return tag.data.hex(), False
    return None, any(RAW_IMAGE_DIGEST in ifd.tags for ifd in tree.all_ifds())


def _is_ours(tree: TagTree) -> bool:
    """Return whether rawkd wrote a file, even if another program has saved it since: its photo is elsewhere."""
    return tree.main.text(SOFTWARE).startswith(OWN_SOFTWARE) or is_by_rawkd(tree.main.tags.get(XMP))


def _without_digest(*, is_old: bool) -> str:
    if is_old:
        return "the file states only a RawImageDigest of DNG 1.2, which rawkd does not check"
    return "the file states no digest"


def _raw_ifd(tree: TagTree) -> Ifd:
    """Return the directory of the raw picture: the largest one that is no preview, mosaic or linear.

    Raises
    ------
    InputError: if there is none.
    """
    kinds = (PHOTOMETRIC_CFA, PHOTOMETRIC_LINEAR)
    found = [ifd for ifd in tree.all_ifds() if not ifd.number(NEW_SUBFILE_TYPE) and ifd.number(PHOTOMETRIC) in kinds]
    if not found:
        raise InputError(DAMAGED.format("it has no raw picture"))
    return max(found, key=lambda ifd: size_of(ifd)[0] * size_of(ifd)[1])


def find_dngs(folder: Path, missed: Callable[[OSError], None]) -> list[Path]:
    """Return the DNGs below a folder, sorted; hidden folders and links to folders are left out.

    Parameters
    ----------
    missed : called with the error of every folder that cannot be listed.
    """
    found = []
    for place, folders, names in os.walk(folder, onerror=missed):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        dngs = (name for name in names if name.lower().endswith(".dng") and not name.startswith("."))
        found += [Path(place) / name for name in sorted(dngs)]
    return found
