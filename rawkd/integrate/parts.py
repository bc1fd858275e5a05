"""What each integration consists of: files to write, a line in a file of the user, and what to do next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rawkd.integrate.places import darktable_settings, desktop_folder, lightroom_modules, this_system
from rawkd.integrate.shipped import filled, program_path, shipped_folder

MARK = "installed by: rawkd integrate"
"""Stands in every installed file and line; files without it are not ours."""
ENTRY = "Denoise with rawkd"
"""The text of the menu entries."""


@dataclass(frozen=True)
class Parts:
    """What is installed for one program.

    Attributes
    ----------
    files : content of every file by its path.
    own_folders : folders that hold nothing but these files, the inner ones first; removed when empty.
    loader : a file of the user, and the line in it that loads the plug-in; None if none is needed.
    next_step : what the user does next, one sentence or two.
    applications : folder whose menu entries the desktop has indexed; None if there is no index.
    """

    files: dict[Path, bytes]
    next_step: str
    own_folders: tuple[Path, ...] = ()
    loader: tuple[Path, str] | None = None
    applications: Path | None = None


def parts_of(name: str, folder: Path | None = None) -> Parts:
    """Return the parts of `darktable`, `lightroom` or `desktop`.

    Parameters
    ----------
    folder : where to install instead of the program's own folder.

    Raises
    ------
    UsageError, OutputError: as the functions of `places`.
    """
    return PARTS[name](folder)


def _darktable(folder: Path | None) -> Parts:
    settings = folder or darktable_settings()
    return Parts(
        files={settings / "lua" / "rawkd.lua": filled("darktable/rawkd.lua", program=program_path())},
        loader=(settings / "luarc", f'require "rawkd" -- {MARK} darktable'),
        next_step="Restart darktable. In the lighttable, select raw photos and press 'denoise with rawkd' in the module"
        " 'actions on selection'.",
    )


def _lightroom(folder: Path | None) -> Parts:
    target = (folder or lightroom_modules()) / "rawkd.lrplugin"
    source = shipped_folder() / "lightroom" / "rawkd.lrplugin"
    names = sorted(path.name for path in source.glob("*.lua"))
    return Parts(
        files={target / name: filled(f"lightroom/rawkd.lrplugin/{name}", program=program_path()) for name in names},
        own_folders=(target,),
        next_step="Restart Lightroom Classic. Select raw photos and choose Library > Plug-in Extras > Denoise with"
        " rawkd.",
    )


def _desktop(folder: Path | None) -> Parts:
    base, system, program = folder or desktop_folder(), this_system(), program_path()
    if system == "macos":
        workflow = base / f"{ENTRY}.workflow"
        contents = workflow / "Contents"
        return Parts(
            files={
                contents / file: filled(f"desktop/rawkd.workflow/Contents/{file}", program=program)
                for file in ("Info.plist", "document.wflow")
            },
            own_folders=(contents, workflow),
            next_step=f"In the Finder, right-click raw photos and choose Quick Actions > {ENTRY}.",
        )
    if system == "windows":
        return Parts(
            files={base / f"{ENTRY}.cmd": filled("desktop/rawkd.cmd", program=program)},
            next_step=f"In the Explorer, right-click raw photos and choose Send to > {ENTRY}.",
        )
    script = base / "rawkd" / "denoise-in-terminal.sh"
    return Parts(
        files={
            script: filled("desktop/denoise-in-terminal.sh", program=program),
            base / "applications" / "rawkd.desktop": filled("desktop/rawkd.desktop", script=str(script.absolute())),
        },
        own_folders=(script.parent,),
        applications=base / "applications",
        next_step=f"In your file manager or digiKam, right-click raw photos and choose Open With > {ENTRY}.",
    )


PARTS: dict[str, Callable[[Path | None], Parts]] = {
    "darktable": _darktable,
    "lightroom": _lightroom,
    "desktop": _desktop,
}
"""The integrations by the name that `rawkd integrate` takes."""
