"""The folders that the system keeps for a program's files of one user; they may not exist yet."""

from __future__ import annotations

from pathlib import Path

APP = "rawkd"


def cache_folder() -> Path | None:
    """Folder for files that rawkd can make again; None for a user without a home folder.

    XDG_CACHE_HOME/rawkd or ~/.cache/rawkd on Linux, ~/Library/Caches/rawkd on macOS, LOCALAPPDATA/rawkd/Cache on
    Windows.
    """
    import platformdirs

    try:
        return _absolute(platformdirs.user_cache_dir(APP, appauthor=False))
    except RuntimeError:
        return None


def config_folder() -> Path | None:
    """Folder for what the user has installed; None for a user without a home folder.

    XDG_CONFIG_HOME/rawkd or ~/.config/rawkd on Linux, ~/Library/Application Support/rawkd on macOS, APPDATA/rawkd on
    Windows.
    """
    import platformdirs

    try:
        return _absolute(platformdirs.user_config_dir(APP, appauthor=False, roaming=True))
    except RuntimeError:
        return None


def _absolute(folder: str) -> Path | None:
    """The folder, None where it begins with a ~ that could not be expanded, or a variable names a relative one."""
    path = Path(folder)
    return path if path.is_absolute() else None
