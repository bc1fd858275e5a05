"""The shipped plug-ins and menu entries, with the path of the program filled in."""

from __future__ import annotations

import shlex
import shutil
import sys
import sysconfig
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from xml.sax.saxutils import escape

from rawkd.errors import OutputError

PROGRAM = "@RAWKD@"
"""Stands in the shipped files for the path of rawkd. Programs with a window often have a shorter PATH than a shell."""
SCRIPT = "@SCRIPT@"
"""Stands in the .desktop file for the path of the installed shell script."""


def shipped_folder() -> Path:
    """Return the folder of the shipped files: `rawkd/_integrations` of a wheel, or `integrations/` of a checkout.

    Raises
    ------
    OutputError: if neither exists.
    """
    package = Path(str(files("rawkd")))
    for folder in (package / "_integrations", package.parent / "integrations"):
        if folder.is_dir():
            return folder
    raise OutputError(f"{package / '_integrations'}: the plug-ins are missing. Install rawkd again.")


def program_path() -> str:
    """Return the absolute path of the program rawkd, not resolved, or "rawkd" if it cannot be found.

    A link of pipx or uv stays a link, so that it still works after an update.
    """
    if getattr(sys, "frozen", False):
        return sys.executable
    started = sys.argv[0] if Path(sys.argv[0]).stem == "rawkd" else ""
    in_environment = str(Path(sysconfig.get_path("scripts")) / "rawkd")
    for candidate in (started, in_environment, "rawkd"):
        found = shutil.which(candidate) if candidate else None
        if found:
            return str(Path(found).absolute())
    return "rawkd"


def filled(name: str, *, program: str | None = None, script: str | None = None) -> bytes:
    """Return the bytes of a shipped file with paths filled in, quoted as the language of the file asks for.

    Parameters
    ----------
    name : path below the shipped folder.
    program : path of rawkd. script : path of the installed shell script, for the .desktop file.
    """
    source = shipped_folder() / name
    quote = _QUOTED.get(source.suffix, str)
    text = source.read_text(encoding="utf-8")
    for token, path in ((PROGRAM, program), (SCRIPT, script)):
        if path is not None:
            text = text.replace(token, quote(path))
    if source.suffix == ".cmd":
        text = text.replace("\n", "\r\n")
    return text.encode("utf-8", "surrogateescape")


def _in_lua_string(path: str) -> str:
    return path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _in_desktop_entry(path: str) -> str:
    r"""Quote an argument of Exec: \ before " ` $ \ within double quotes, then every \ doubled, and % as %%."""
    argument = "".join(f"\\{char}" if char in '"`$\\' else char for char in path)
    return '"' + argument.replace("\\", "\\\\").replace("%", "%%") + '"'


def _in_batch_file(path: str) -> str:
    return path.replace("%", "%%")


def _in_xml(path: str) -> str:
    return escape(shlex.quote(path))


_QUOTED: dict[str, Callable[[str], str]] = {
    ".cmd": _in_batch_file,
    ".desktop": _in_desktop_entry,
    ".lua": _in_lua_string,
    ".sh": shlex.quote,
    ".wflow": _in_xml,
}
"""How a path is quoted in a shipped file, by the suffix of the file."""
