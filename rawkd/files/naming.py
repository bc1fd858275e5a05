"""Names of files: which are raws, where the result of a photo is written, and in which format."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from rawkd.errors import OutputError, UsageError

RAW_SUFFIXES = frozenset({
    ".3fr", ".ari", ".arw", ".bay", ".cap", ".cr2", ".cr3", ".crw", ".dcr", ".dcs", ".dng", ".drf", ".eip", ".erf",
    ".fff", ".gpr", ".iiq", ".k25", ".kdc", ".mdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".ptx",
    ".pxn", ".r3d", ".raf", ".raw", ".rw2", ".rwl", ".rwz", ".sr2", ".srf", ".srw", ".x3f",
})  # fmt: skip
"""Suffixes of raw files; a file with another suffix is a photo only if it is named itself."""

FORMAT_OF_SUFFIX = {".dng": "dng", ".tif": "tiff", ".tiff": "tiff", ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}
SUFFIX_OF_FORMAT = {"dng": ".dng", "tiff": ".tif", "png": ".png", "jpeg": ".jpg"}


def plan_outputs(
    photos: Sequence[Path], output: str | None, file_format: str | None, *, cropped: bool = False
) -> list[Path]:
    """Return one output path for each photo.

    Parameters
    ----------
    photos : the inputs.
    output : a file (one photo only), or a folder: one that exists, or any name that ends with a separator; None writes
        ``photo-denoised.dng`` beside each photo.
    file_format : dng | tiff | png | jpeg, or None: that of the output's name, else DNG, or PNG for a crop.
    cropped : whether only a region is rendered; its default name says so.

    Raises
    ------
    UsageError: if the name and the format contradict each other, or two photos would be written to one path.
    OutputError: if an output would be written over its own photo.
    """
    if output is not None and not _names_folder(output):
        if len(photos) > 1:
            raise UsageError(
                f"{output}: one file for {len(photos)} photos. Give a folder that exists, or a name ending in /."
            )
        outputs = [_checked_file(Path(output), file_format, cropped=cropped)]
    else:
        ending = ending_of(file_format, cropped=cropped)
        folders = [Path(output) if output is not None else photo.parent for photo in photos]
        outputs = [folder / (photo.stem + ending) for folder, photo in zip(folders, photos, strict=True)]
    _refuse_collisions(photos, outputs)
    return outputs


def ending_of(file_format: str | None, *, cropped: bool = False) -> str:
    """Return what follows the stem of a photo in the name of its output: ``-denoised.dng``.

    Raises
    ------
    UsageError: if a crop is to be a DNG.
    """
    chosen = file_format or ("png" if cropped else "dng")
    if cropped and chosen == "dng":
        raise UsageError("a DNG holds no crop. Give --format tiff, png or jpeg.")
    return ("-denoised-crop" if cropped else "-denoised") + SUFFIX_OF_FORMAT[chosen]


def make_folder(output: str | None) -> None:
    """Create the folder that `-o name/` asks for, where its parent exists.

    Raises
    ------
    OutputError: if it cannot be created.
    """
    if output is not None and output.endswith(("/", os.sep)):
        try:
            Path(output).mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{output}: the folder cannot be created ({error.strerror}). Give another one."
            ) from error


def format_of(output: Path) -> str:
    """Return the format that the name of an output asks for.

    Raises
    ------
    UsageError: if its suffix is none of .dng .tif .tiff .png .jpg .jpeg.
    """
    try:
        return FORMAT_OF_SUFFIX[output.suffix.lower()]
    except KeyError:
        raise UsageError(
            f"{output}: the name does not say a format. Give one that ends in .dng, .tif, .png or .jpg."
        ) from None


def refuse_to_overwrite(output: Path, *, overwrite: bool) -> None:
    """Refuse before any work an output that cannot be written.

    Raises
    ------
    OutputError: as `refuse_existing`, or its folder does not exist or may not be written.
    """
    refuse_existing(output, overwrite=overwrite)
    if not output.parent.is_dir():
        raise OutputError(f"{output}: there is no folder {output.parent}. Create it first.")
    if not os.access(output.parent, os.W_OK):
        raise OutputError(f"{output}: the folder {output.parent} may not be written. Give another place with -o.")


def refuse_existing(output: Path, *, overwrite: bool) -> None:
    """Refuse to write where a folder or a file is that may not be replaced, or where no file can have the name.

    Raises
    ------
    OutputError: if it exists and `overwrite` is not set, is write-protected or a folder, or its name is too long.
    """
    try:
        mode = output.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            limit = "most disks take 255 bytes"
            raise OutputError(f"{output}: the name is too long ({limit}). Choose a shorter one.") from error
        raise OutputError(f"{output}: cannot be written ({error.strerror}). Choose another folder.") from error
    if stat.S_ISDIR(mode):
        raise OutputError(f"{output}: a folder has this name. Choose another name, or end it with / to write into it.")
    if not overwrite:
        raise OutputError(f"{output}: exists already. Give --overwrite to replace it.")
    if not mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(output, os.W_OK):
        raise OutputError(f"{output}: is write-protected. Unprotect it or choose another name.")


def _names_folder(output: str) -> bool:
    try:
        return output.endswith(("/", os.sep)) or Path(output).is_dir()
    except OSError:  # no folder has such a name; the file is refused before it is written
        return False


def _checked_file(output: Path, file_format: str | None, *, cropped: bool) -> Path:
    named = format_of(output)
    if file_format is not None and named != file_format:
        raise UsageError(f"{output}: the name asks for {named}, and --format for {file_format}. Leave one out.")
    if cropped and named == "dng":
        raise UsageError(f"{output}: a DNG holds no crop. Give a name that ends in .tif, .png or .jpg.")
    return output


def _refuse_collisions(photos: Sequence[Path], outputs: Sequence[Path]) -> None:
    taken: dict[str, Path] = {}
    sources = {os.path.realpath(photo) for photo in photos}
    files = {_file_of(photo) for photo in photos} - {None}
    for photo, output in zip(photos, outputs, strict=True):
        place = os.path.realpath(output)
        if place in sources or _file_of(output) in files:
            raise OutputError(
                f"{output}: this is one of the photos, and a photo is never written over. Give another place with -o."
            )
        if place in taken:
            raise UsageError(f"{taken[place]} and {photo} would both become {output}. Denoise them one at a time.")
        taken[place] = photo


def _file_of(path: Path) -> tuple[int, int] | None:
    """Identify the file of a name, however it is spelt (many disks take A.DNG for a.dng); None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
