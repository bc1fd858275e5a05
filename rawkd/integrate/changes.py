"""Install and remove the parts of an integration. Everything is checked before the first file is written."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rawkd.errors import OutputError
from rawkd.files.naming import refuse_existing
from rawkd.files.write.atomic import atomic_output
from rawkd.integrate.parts import MARK, Parts


@dataclass(frozen=True)
class Change:
    """One file that is written, changed, removed or left alone.

    Attributes
    ----------
    what : `write`, `replace`, `extend`, `shorten`, `remove`, `unchanged` or `not ours`.
    content : the new bytes; None if the file is removed or stays as it is.
    """

    what: str
    path: Path
    content: bytes | None = None


def plan_install(parts: Parts, *, overwrite: bool = False) -> tuple[Change, ...]:
    """Return the changes that install the parts; nothing is written.

    Parameters
    ----------
    overwrite : replace files that rawkd has not written.

    Raises
    ------
    OutputError: if a file that rawkd has not written is in the way, or a file or folder cannot be read or written.
    """
    changes = [_written(path, content, overwrite=overwrite) for path, content in parts.files.items()]
    if parts.loader is not None:
        changes.append(_extended(*parts.loader))
    for change in changes:
        if change.content is not None:
            _check_writable(change.path)
            refuse_existing(change.path, overwrite=True)
    return tuple(changes)


def plan_removal(parts: Parts) -> tuple[Change, ...]:
    """Return the changes that remove the parts, those files alone that rawkd has written; nothing is removed yet.

    Raises
    ------
    OutputError: if a file cannot be read, or may not be removed.
    """
    # the line that loads the plug-in goes first: without its file it would be an error at every start of the program
    changes = [] if parts.loader is None else _shortened(parts.loader[0])
    for path in parts.files:
        current = _bytes_of(path)
        if current is not None:
            changes.append(Change("remove" if MARK.encode() in current else "not ours", path))
    for change in changes:
        if change.what != "not ours":
            _check_writable(change.path)
            refuse_existing(change.path, overwrite=True)
    return tuple(changes)


def apply(changes: tuple[Change, ...], parts: Parts) -> None:
    """Make the changes: whole files or none, then folders of ours that are empty, then the index of menu entries.

    Raises
    ------
    OutputError: if a file or folder cannot be written.
    """
    for change in changes:
        try:
            if change.content is not None:
                change.path.parent.mkdir(parents=True, exist_ok=True)
                # a file of the user stays where it is kept, also if the program finds it through a link
                is_users = change.what in ("extend", "shorten")
                with atomic_output(change.path.resolve() if is_users else change.path, overwrite=True) as temporary:
                    temporary.write_bytes(change.content)
            elif change.what == "remove":
                change.path.unlink()
        except OSError as error:
            raise _cannot("changed", change.path, error) from error
    for folder in parts.own_folders:
        with suppress(OSError):  # missing, or not empty
            folder.rmdir()
    _index(parts.applications)


def _written(path: Path, content: bytes, *, overwrite: bool) -> Change:
    current = _bytes_of(path)
    if current is None:
        return Change("write", path, content)
    if current == content:
        return Change("unchanged", path)
    if MARK.encode() not in current and not overwrite:
        raise OutputError(
            f"{path}: rawkd has not written this file, so it stays. Move it away, or give --overwrite to replace it."
        )
    return Change("replace", path, content)


def _extended(path: Path, line: str) -> Change:
    """Add a line at the end of a file of the user, unless it has it."""
    current = _bytes_of(path) or b""
    if MARK.encode() in current:
        return Change("unchanged", path)
    gap = b"\n" if current and not current.endswith(b"\n") else b""
    return Change("extend" if current else "write", path, current + gap + line.encode() + b"\n")


def _shortened(path: Path) -> list[Change]:
    """Take our line out of a file of the user; remove a file that had no other."""
    current = _bytes_of(path)
    if current is None or MARK.encode() not in current:
        return []
    rest = b"".join(line for line in current.splitlines(keepends=True) if MARK.encode() not in line)
    return [Change("shorten", path, rest) if rest.strip() else Change("remove", path)]


def _bytes_of(path: Path) -> bytes | None:
    """Return the content of a file, None if there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _cannot("read", path, error) from error


def _check_writable(path: Path) -> None:
    """Check the nearest folder that exists, before anything is written."""
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"{path}: the folder {folder} is not writable. Change its permissions, or give another one with --folder."
        )


def _cannot(verb: str, path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path}: cannot be {verb} ({error.strerror or error}). Check its permissions.")


def _index(applications: Path | None) -> None:
    """Tell the desktop about new menu entries. Where the tool is missing, it finds them after the next log-in."""
    tool = shutil.which("update-desktop-database")
    if applications is not None and applications.is_dir() and tool:
        subprocess.run([tool, "--quiet", str(applications)], check=False, capture_output=True)  # noqa: S603
