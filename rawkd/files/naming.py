"""File names: which files are raws, and where and in which format the result of a photo is written."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rawkd.errors import OutputError, UsageError

RAW_SUFFIXES = frozenset({
    ".3fr", ".ari", ".arw", ".bay", ".cap", ".cr2", ".cr3", ".crw", ".dcr", ".dcs", ".dng", ".drf", ".eip", ".erf",
    ".fff", ".gpr", ".iiq", ".k25", ".kdc", ".mdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".ptx",
    ".pxn", ".r3d", ".raf", ".raw", ".rw2", ".rwl", ".rwz", ".sr2", ".srf", ".srw", ".x3f",
})  # fmt: skip
"""Suffixes of raw files; a file with another suffix is used only if the user names it directly."""

FORMAT_OF_SUFFIX = {".dng": "dng", ".tif": "tiff", ".tiff": "tiff", ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}
SUFFIX_OF_FORMAT = {"dng": ".dng", "tiff": ".tif", "png": ".png", "jpeg": ".jpg"}


def plan_outputs(
    photos: Sequence[Path],
    output: str | None,
    file_format: str | None,
    *,
    cropped: bool = False,
    is_own_output: Callable[[Path], bool] = lambda _: False,
) -> dict[Path, Path]:
    """Return the output path of each photo, without the photos that are own outputs of others.

    So a call with ``*.dng`` can be repeated, although the outputs of the first one are then among the photos.

    Parameters
    ----------
    photos : input files.
    output : a file (for a single photo), or a folder: an existing one, or any name that ends with a separator. None
        writes ``photo-denoised.dng`` beside each photo.
    file_format : dng | tiff | png | jpeg. None takes it from the name of the output, else DNG, or PNG for a crop.
    cropped : whether only a region is rendered; the default name then ends in ``-denoised-crop``.
    is_own_output : whether rawkd wrote a file; asked only of photos that have the name of another photo's output.

    Raises
    ------
    UsageError: if name and format contradict each other, or two photos would have the same output path.
    OutputError: if an output would overwrite one of the photos.
    """
    if output is not None and not _names_folder(output):
        if len(photos) > 1:
            advice = "Give a folder, such as clean/." if Path(output).suffix else f"For a folder write {output}/."
            raise UsageError(f"{output}: this is one file for {len(photos)} photos. {advice}")
        outputs = [_checked_file(Path(output), file_format, cropped=cropped)]
    else:
        ending = ending_of(file_format, cropped=cropped)
        folders = [Path(output) if output is not None else photo.parent for photo in photos]
        outputs = [folder / (photo.stem + ending) for folder, photo in zip(folders, photos, strict=True)]
    sources = {os.path.realpath(name): photo for photo, name in zip(photos, outputs, strict=True)}
    plan = [
        (photo, name)
        for photo, name in zip(photos, outputs, strict=True)
        if sources.get(os.path.realpath(photo), photo) == photo or not is_own_output(photo)
    ]
    _refuse_collisions(plan)
    return dict(plan)


def each_once(photos: Iterable[Path]) -> tuple[Path, ...]:
    """Return the photos without repetitions: of several spellings of one path (a.dng, ./a.dng) only the first."""
    first: dict[tuple[str, str], Path] = {}
    for photo in photos:
        first.setdefault(place_of(photo), photo)
    return tuple(first.values())


def place_of(path: Path, real: Callable[[Path], str] = os.path.realpath) -> tuple[str, str]:
    """Return the real folder and the name of a file, equal for all spellings of its path; `real` finds the folder."""
    return real(path.parent), path.name


def ending_of(file_format: str | None, *, cropped: bool = False) -> str:
    """Return the text that follows the photo's stem in the name of its output, such as ``-denoised.dng``.

    Raises
    ------
    UsageError: if the format of a crop is DNG.
    """
    chosen = file_format or ("png" if cropped else "dng")
    if cropped and chosen == "dng":
        raise UsageError("rawkd cannot write a crop as DNG. Give --format tiff, png or jpeg.")
    return ("-denoised-crop" if cropped else "-denoised") + SUFFIX_OF_FORMAT[chosen]


def make_folder(output: str | None) -> None:
    """Create the folder of `-o name/` and those above it; do nothing for other names.

    Raises
    ------
    OutputError: if it cannot be created.
    """
    if output is not None and output.endswith(("/", os.sep)):
        try:
            Path(output).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            refuse_file_for_folder(Path(output))
            raise OutputError(
                f"{output}: the folder cannot be created ({error.strerror}). Give another one."
            ) from error


def format_of(output: Path) -> str:
    """Return the format for the suffix of an output: dng | tiff | png | jpeg.

    Raises
    ------
    UsageError: if its suffix is not .dng, .tif, .tiff, .png, .jpg or .jpeg.
    """
    if not output.suffix:
        raise UsageError(
            f"{output}: for a folder write {output}/, for a file end the name in .dng, .tif, .png or .jpg."
        )
    try:
        return FORMAT_OF_SUFFIX[output.suffix.lower()]
    except KeyError:
        raise UsageError(
            f"{output}: the suffix is not a known format. Give a name that ends in .dng, .tif, .png or .jpg, or in /"
            " for a folder."
        ) from None


def refuse_photos_name(output: Path, photos: Iterable[Path]) -> None:
    """Check that an output is none of the photos, under no name of theirs: symbolic or hard link, other case.

    Raises
    ------
    OutputError: if it is one of the photos.
    """
    _refuse_one_of(output, _identities(photos))


def refuse_to_overwrite(output: Path, *, overwrite: bool, photos: Iterable[Path] = ()) -> None:
    """Check that an output can be written and is none of the photos, before any work is done.

    Raises
    ------
    OutputError: as in `refuse_photos_name` and `refuse_existing`, or if its folder does not exist or is not writable.
    """
    refuse_photos_name(output, photos)
    refuse_existing(output, overwrite=overwrite)
    if not output.parent.is_dir():
        refuse_file_for_folder(output.parent)
        raise OutputError(f"{output}: the folder {output.parent} does not exist. Create it first.")
    if not os.access(output.parent, os.W_OK):
        raise OutputError(f"{output}: the folder {output.parent} is not writable. Choose another place with -o.")


def refuse_file_for_folder(folder: Path) -> None:
    """Check that a folder to write into, and all folders above it, are no files.

    Raises
    ------
    OutputError: if one is; the message names it.
    """
    for part in (folder, *folder.parents):
        if os.path.exists(part) and not os.path.isdir(part):  # noqa: PTH110, PTH112 -- those of Path raise
            raise OutputError(f"{part}: this is a file, not a folder. Choose another folder.")


def refuse_existing(output: Path, *, overwrite: bool) -> None:
    """Check that no folder or protected file has the name of an output, and that the name is possible.

    Raises
    ------
    OutputError: if it exists and `overwrite` is not set, is write-protected or a folder, or its name is too long. A
        symbolic link to nothing exists, too.
    """
    try:
        mode = output.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if not overwrite and output.is_symlink():
            raise OutputError(f"{output}: the file exists already. Give --overwrite to replace it.") from None
        return
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            limit = "most disks take 255 bytes"
            raise OutputError(f"{output}: the name is too long ({limit}). Choose a shorter one.") from error
        raise OutputError(f"{output}: cannot be written ({error.strerror}). Choose another folder.") from error
    if stat.S_ISDIR(mode):
        raise OutputError(f"{output}: a folder has this name. Choose another name, or end it with / to write into it.")
    if not overwrite:
        raise OutputError(f"{output}: the file exists already. Give --overwrite to replace it.")
    if not mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(output, os.W_OK):
        raise OutputError(f"{output}: the file is write-protected. Unprotect it or choose another name.")


def _names_folder(output: str) -> bool:
    try:
        return output.endswith(("/", os.sep)) or Path(output).is_dir()
    except OSError:  # not a folder; `refuse_existing` reports the bad name later
        return False


def _checked_file(output: Path, file_format: str | None, *, cropped: bool) -> Path:
    named = format_of(output)
    if file_format is not None and named != file_format:
        raise UsageError(f"{output}: the suffix means {named}, but --format is {file_format}. Leave one out.")
    if cropped and named == "dng":
        raise UsageError(f"{output}: rawkd cannot write a crop as DNG. Give a name that ends in .tif, .png or .jpg.")
    return output


def _refuse_collisions(plan: Sequence[tuple[Path, Path]]) -> None:
    taken: dict[str, Path] = {}
    known = _identities(photo for photo, _ in plan)
    for photo, output in plan:
        _refuse_one_of(output, known)
        place = os.path.realpath(output)
        if place in taken:
            raise UsageError(f"{taken[place]} and {photo} would both be written to {output}. Denoise them separately.")
        taken[place] = photo


def _identities(photos: Iterable[Path]) -> set[object]:
    """Return the real paths of photos and the identities of their files."""
    known: set[object] = set()
    for photo in photos:
        known |= {os.path.realpath(photo), _file_of(photo)} - {None}
    return known


def _refuse_one_of(output: Path, known: set[object]) -> None:
    if os.path.realpath(output) in known or _file_of(output) in known:
        raise OutputError(
            f"{output}: this is one of the photos. rawkd never overwrites a photo; choose another place with -o."
        )


def _file_of(path: Path) -> tuple[int, int] | None:
    """Return an identity of the file that is the same for all its names (A.DNG, a.dng); None if it does not exist."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
