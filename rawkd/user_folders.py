"""Find the user's cache and configuration folders for rawkd; they may not exist yet."""

from __future__ import annotations

from pathlib import Path

APP = "rawkd"


def cache_folder() -> Path | None:
    """Return the folder for files that rawkd can create again; None for a user without a home folder.

    XDG_CACHE_HOME/rawkd or ~/.cache/rawkd on Linux, ~/Library/Caches/rawkd on macOS, LOCALAPPDATA/rawkd/Cache on
    Windows.
    """
    import platformdirs

    try:
        return _absolute(platformdirs.user_cache_dir(APP, appauthor=False))
    except RuntimeError:
        return None


def config_folder() -> Path | None:
    """Return the folder for installed files, such as calibrations; None for a user without a home folder.

    XDG_CONFIG_HOME/rawkd or ~/.config/rawkd on Linux, ~/Library/Application Support/rawkd on macOS, APPDATA/rawkd on
    Windows.
    """
    import platformdirs

    try:
        return _absolute(platformdirs.user_config_dir(APP, appauthor=False, roaming=True))
    except RuntimeError:
        return None


def _absolute(folder: str) -> Path | None:
    """Return the path, or None if it is relative: an environment variable is relative, or ~ could not be expanded."""
    path = Path(folder)
    return path if path.is_absolute() else None
