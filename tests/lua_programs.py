"""Run the plug-ins outside their programs: stand-ins for the program and for rawkd, and the events they report."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

LUA = ROOT / "tests" / "lua"
FAKE = """#!/bin/sh
# Writes an empty file where --output says; fails for every photo named bad.
echo "$*" >> {calls}
[ "$1" = --version ] && exit 0
case "$*" in
  *bad*) echo "reading" >&2; echo "error: bad.dng: the file is truncated. Copy it again." >&2; exit 3 ;;
esac
while [ "$1" != --output ]; do shift; done
: > "$2"
"""


def need_lua() -> str:
    """The interpreter; the test is skipped where it is missing."""
    lua = shutil.which("lua5.1")
    if lua is None:
        pytest.skip("needs lua5.1")
    return lua


def fake_rawkd(folder: Path) -> Path:
    """A program that writes down its arguments in `folder`/calls."""
    return _program(folder, FAKE.format(calls=shlex.quote(str(folder / "calls"))))


def real_rawkd(folder: Path) -> Path:
    """A program that runs the rawkd of this interpreter."""
    return _program(folder, f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m rawkd "$@"\n')


def calls_of(folder: Path) -> list[str]:
    """The arguments of every denoising by the fake program."""
    path = folder / "calls"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [line for line in lines if line != "--version"]


def events_of(driver: str, folder: Path, search: Path | None = None, **scenario: object) -> dict[str, list[list[str]]]:
    """Run a driver of tests/lua and return the words of its events by their name.

    `search` is a folder on PATH, which has nothing else but the tools of a shell.
    """
    path = folder / "scenario.lua"
    path.write_text(f"return {lua_of({'root': str(folder), **scenario})}\n", encoding="utf-8")
    tools = "/usr/bin:/bin" if shutil.which("rawkd", path="/usr/bin:/bin") is None else ""
    environment = {"PATH": os.pathsep.join(filter(None, (str(search) if search else "", tools))), "HOME": str(folder)}
    done = subprocess.run(
        [need_lua(), str(LUA / driver), str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    events: dict[str, list[list[str]]] = {}
    for line in done.stdout.splitlines():
        name, *words = line.split("\t")
        events.setdefault(name, []).append(words)
    return events


def lua_of(value: Any) -> str:
    """A Lua expression for plain Python values."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"[{lua_of(key)}] = {lua_of(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "{ " + ", ".join(map(lua_of, value)) + " }"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    return str(value)


def _program(folder: Path, text: str) -> Path:
    if os.name != "posix":
        pytest.skip("needs scripts that run by their first line")
    folder.mkdir(exist_ok=True)
    program = folder / "rawkd"
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    return program
