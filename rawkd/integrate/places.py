"""Find the folders in which darktable, Lightroom and the desktop look for plug-ins and menu entries.

Sources: darktable's manual (chapter Lua), Adobe's SDK guide for Lightroom Classic, the XDG base directory
specification, Apple's guide to services, and Microsoft's list of known folders (FOLDERID_SendTo).
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Literal

from rawkd.errors import OutputError, UsageError

System = Literal["linux", "macos", "windows"]


def this_system() -> System:
    """Return the kind of system; everything but macOS and Windows is taken for a Linux."""
    systems: dict[str, System] = {"Darwin": "macos", "Windows": "windows"}
    return systems.get(platform.system(), "linux")


def darktable_settings() -> Path:
    """Return darktable's settings folder, which holds `luarc` and `lua/`.

    Raises
    ------
    OutputError: if it does not exist: darktable has never run.
    """
    if this_system() == "windows":
        return _existing("darktable", _variable("LOCALAPPDATA", "AppData/Local") / "darktable")
    return _existing("darktable", _variable("XDG_CONFIG_HOME", ".config") / "darktable")


def lightroom_modules() -> Path:
    """Return the folder from which Lightroom Classic loads plug-ins by itself; it may be missing.

    Raises
    ------
    UsageError: on a system that Lightroom does not run on.
    OutputError: if Lightroom has no folder there: it has never run.
    """
    here = this_system()
    if here == "linux":
        raise UsageError(
            "Lightroom Classic runs on macOS and Windows only. Use --folder DIR to copy the plug-in elsewhere."
        )
    base = _home() / "Library/Application Support" if here == "macos" else _variable("APPDATA", "AppData/Roaming")
    return _existing("Lightroom", base / "Adobe" / "Lightroom") / "Modules"


def desktop_folder() -> Path:
    """Return the folder for menu entries of file managers; it may be missing.

    The user's data folder on Linux (entries are in `applications/`), the services on macOS, SendTo on Windows.
    """
    here = this_system()
    if here == "windows":
        return _variable("APPDATA", "AppData/Roaming") / "Microsoft" / "Windows" / "SendTo"
    if here == "macos":
        return _home() / "Library" / "Services"
    return _variable("XDG_DATA_HOME", ".local/share")


def _existing(program: str, folder: Path) -> Path:
    """Return the folder if it exists. A folder that no program reads would hide that the program is missing."""
    if not folder.is_dir():
        raise OutputError(
            f"{folder}: {program} has no folder here. Start {program} once, or give its folder with --folder."
        )
    return folder


def _variable(name: str, below_home: str) -> Path:
    """Return the folder in an environment variable, or one below the home folder. Relative ones are ignored (XDG)."""
    stated = Path(os.environ.get(name, ""))
    return stated if stated.is_absolute() else _home() / below_home


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise OutputError("your home folder is unknown. Set HOME, or give a folder with --folder.") from None
