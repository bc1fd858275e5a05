"""Write files atomically: write to a hidden file in the same folder, flush it to disk, rename it."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rawkd.errors import OutputError
from rawkd.files.naming import refuse_existing

HINTS = {
    errno.ENOSPC: "the disk is full. Free some space or choose another folder.",
    errno.EDQUOT: "the disk quota is used up. Free some space or choose another folder.",
    errno.EACCES: "the folder is write-protected. Change its permissions or choose another folder.",
    errno.EPERM: "the folder is write-protected. Change its permissions or choose another folder.",
    errno.EROFS: "the disk is read-only. Choose another folder.",
    errno.ENOENT: "the folder does not exist. Create it or choose another one.",
    errno.ENOTDIR: "a part of its path is a file, not a folder. Choose another folder.",
    errno.EISDIR: "a folder has this name. Choose another name.",
    errno.ENAMETOOLONG: "the name is too long. Choose a shorter one.",
}


@contextmanager
def atomic_output(path: Path, overwrite: bool) -> Iterator[Path]:
    """Give a hidden, empty file in the folder of `path` to write to, and rename it to `path` if the block succeeds.

    The file is flushed to disk before it is renamed. If it replaces a file, it takes over that file's permissions. Any
    failure inside the block, including Ctrl-C, removes it and leaves an existing file at `path` unchanged. A symbolic
    link is replaced itself; the file behind it, which may be a photo, is never touched.

    Raises
    ------
    OutputError: as `naming.refuse_existing`, or for an OSError (no permission, no space, ...).
    """
    try:
        refuse_existing(path, overwrite=overwrite)
        temporary = path.with_name(f".rawkd-{secrets.token_hex(6)}.part")
        try:
            temporary.open("xb").close()
            yield temporary
            _flush(temporary)
            if path.exists():
                shutil.copymode(path, temporary)
            refuse_existing(path, overwrite=overwrite)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = HINTS.get(error.errno or 0, f"{error.strerror or error}. Choose another folder.")
        raise OutputError(f"{path}: the file cannot be written: {reason}") from error
    if os.name == "posix":
        with suppress(OSError):
            _flush(path.parent)


def _flush(path: Path) -> None:
    """Flush a file's data, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
