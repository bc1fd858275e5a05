"""`rawkd integrate`: the folders of three systems, what is written, what is left alone, what is removed."""

from __future__ import annotations

import os
import platform
import stat
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from test_cli import without_root

from rawkd.cli import main
from rawkd.errors import OutputError, UsageError
from rawkd.integrate import places, shipped
from rawkd.integrate.changes import plan_install, plan_removal
from rawkd.integrate.parts import MARK, PARTS, parts_of

VARIABLES = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "LOCALAPPDATA", "APPDATA")
NAMES = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder of a user whose environment names no other folder."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    return home


def on(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)


@pytest.mark.parametrize("system", NAMES)
def test_the_system_is_named(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    on(system, monkeypatch)
    assert places.this_system() == NAMES[system]


@pytest.mark.parametrize(
    ("system", "darktable", "desktop"),
    [
        ("Linux", ".config/darktable", ".local/share"),
        ("Darwin", ".config/darktable", "Library/Services"),
        ("Windows", "AppData/Local/darktable", "AppData/Roaming/Microsoft/Windows/SendTo"),
    ],
)
def test_folders_below_the_home(
    system: str, darktable: str, desktop: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(system, monkeypatch)
    (home / darktable).mkdir(parents=True)
    assert places.darktable_settings() == home / darktable
    assert places.desktop_folder() == home / desktop


@pytest.mark.parametrize(
    ("system", "lightroom"),
    [
        ("Darwin", "Library/Application Support/Adobe/Lightroom"),
        ("Windows", "AppData/Roaming/Adobe/Lightroom"),
    ],
)
def test_lightroom_has_a_folder_where_it_runs(
    system: str, lightroom: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(system, monkeypatch)
    with pytest.raises(OutputError, match=r"Lightroom has no folder here\. Start Lightroom once"):
        places.lightroom_modules()
    (home / lightroom).mkdir(parents=True)
    assert places.lightroom_modules() == home / lightroom / "Modules"


def test_lightroom_does_not_run_on_linux(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on("Linux", monkeypatch)
    with pytest.raises(UsageError, match="runs on macOS and Windows only"):
        places.lightroom_modules()


def test_folders_in_the_environment(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, str(tmp_path / name))
        (tmp_path / name / "darktable").mkdir(parents=True)
        (tmp_path / name / "Adobe" / "Lightroom").mkdir(parents=True)
    on("Linux", monkeypatch)
    assert places.darktable_settings() == tmp_path / "XDG_CONFIG_HOME" / "darktable"
    assert places.desktop_folder() == tmp_path / "XDG_DATA_HOME"
    on("Windows", monkeypatch)
    assert places.darktable_settings() == tmp_path / "LOCALAPPDATA" / "darktable"
    assert places.lightroom_modules() == tmp_path / "APPDATA" / "Adobe" / "Lightroom" / "Modules"
    assert places.desktop_folder() == tmp_path / "APPDATA" / "Microsoft" / "Windows" / "SendTo"
    on("Linux", monkeypatch)
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # which the XDG specification tells programs to ignore
    assert places.desktop_folder() == home / ".local" / "share"


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_a_user_without_a_home_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(OutputError, match="Set HOME"):
        places.desktop_folder()


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


EXPECTED = {
    ("Linux", "darktable"): {"lua/rawkd.lua", "luarc"},
    ("Linux", "lightroom"): {f"rawkd.lrplugin/{name}.lua" for name in ("DenoisePhotos", "Info", "Program", "Settings")},
    ("Linux", "desktop"): {"applications/rawkd.desktop", "rawkd/denoise-in-terminal.sh"},
    ("Darwin", "desktop"): {
        f"Denoise with rawkd.workflow/Contents/{name}" for name in ("Info.plist", "document.wflow")
    },
    ("Windows", "desktop"): {"Denoise with rawkd.cmd"},
}


@pytest.mark.parametrize(("system", "name"), EXPECTED)
def test_installed_twice_then_removed(
    system: str,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    on(system, monkeypatch)
    monkeypatch.setenv("PATH", "")  # no index of menu entries
    command = ["integrate", name, "--folder", str(tmp_path)]
    assert main([*command, "--dry-run"]) == 0
    planned = capsys.readouterr().out
    assert not tree(tmp_path)
    assert main(command) == 0
    out = capsys.readouterr().out
    assert planned == out.replace("wrote", "would write")
    installed = tree(tmp_path)
    assert set(installed) == EXPECTED[system, name]
    assert {line.removeprefix("wrote ") for line in out.splitlines()} == {str(tmp_path / path) for path in installed}
    assert all(MARK.encode() in content for content in installed.values())
    assert not [path for path, content in installed.items() if b"@RAWKD@" in content or b"@SCRIPT@" in content]
    assert main(command) == 0
    assert capsys.readouterr().out.count("is up to date") == len(installed)
    assert main([*command, "--remove", "--dry-run"]) == 0
    assert tree(tmp_path) == installed
    assert main([*command, "--remove"]) == 0
    assert not tree(tmp_path)
    assert not list(tmp_path.rglob("*rawkd*"))  # own folders are gone, too
    assert main([*command, "--remove"]) == 0
    assert "nothing of rawkd is installed" in capsys.readouterr().err


def test_every_shipped_file_is_installed_somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[str] = set()

    def noted(name: str, program: str = "", script: str = "") -> bytes:
        used.add(name)
        return b""

    monkeypatch.setattr("rawkd.integrate.parts.filled", noted)
    for system in NAMES:
        on(system, monkeypatch)
        for name in PARTS:
            parts_of(name, tmp_path)
    shipped_files = (ROOT / "integrations").rglob("*")
    assert used == {path.relative_to(ROOT / "integrations").as_posix() for path in shipped_files if path.is_file()}


@pytest.mark.parametrize("before", [b"-- mine", b"-- mine\n", b'require "other"\r\n-- \xff\r\n'])
def test_luarc_keeps_what_the_user_wrote(before: bytes, tmp_path: Path) -> None:
    luarc = tmp_path / "luarc"
    luarc.write_bytes(before)
    luarc.chmod(0o640)
    command = ["integrate", "darktable", "--folder", str(tmp_path)]
    assert main(command) == 0
    extended = luarc.read_bytes()
    assert extended.startswith(before)
    assert extended[len(before) :].strip() == f'require "rawkd" -- {MARK} darktable'.encode()
    assert stat.S_IMODE(luarc.stat().st_mode) == 0o640
    assert main(command) == 0
    assert luarc.read_bytes() == extended
    assert main([*command, "--remove"]) == 0
    assert luarc.read_bytes().rstrip(b"\n") == before.rstrip(b"\n")


def test_a_file_of_another_origin_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing else is written."""
    script = tmp_path / "lua" / "rawkd.lua"
    script.parent.mkdir()
    script.write_text("-- mine\n")
    command = ["integrate", "darktable", "--folder", str(tmp_path)]
    assert main(command) == 6
    assert f"error: {script}: rawkd has not written this file, so it stays." in capsys.readouterr().err
    assert tree(tmp_path) == {"lua/rawkd.lua": b"-- mine\n"}
    assert main([*command, "--remove"]) == 0
    assert capsys.readouterr().out == f"kept {script}: rawkd did not write it\n"
    assert tree(tmp_path) == {"lua/rawkd.lua": b"-- mine\n"}
    assert main([*command, "--overwrite"]) == 0
    assert f"replaced {script}\n" in capsys.readouterr().out


def test_an_earlier_version_of_ours_is_replaced_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["integrate", "darktable", "--folder", str(tmp_path)]
    assert main(command) == 0
    script = tmp_path / "lua" / "rawkd.lua"
    current = script.read_bytes()
    script.write_bytes(current.replace(b"local", b"local ", 1))
    capsys.readouterr()
    assert main(command) == 0
    assert f"replaced {script}\n" in capsys.readouterr().out
    assert script.read_bytes() == current


def test_a_missing_program_or_folder_is_said(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on("Linux", monkeypatch)
    assert main(["integrate", "darktable"]) == 6
    assert "darktable has no folder here. Start darktable once" in capsys.readouterr().err
    assert main(["integrate", "lightroom"]) == 2
    assert "runs on macOS and Windows only" in capsys.readouterr().err
    assert main(["integrate", "desktop", "--folder", str(tmp_path / "none")]) == 6
    assert "this folder does not exist" in capsys.readouterr().err
    assert main(["integrate", "gimp"]) == 2
    assert not tree(home)


@pytest.mark.skipif(os.name != "posix", reason="needs the permissions of POSIX")
@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_a_luarc_that_is_a_link_stays_one(tmp_path: Path) -> None:
    """To the folder in which the user keeps the files of his programs."""
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "darktable").mkdir()
    kept, link = tmp_path / "dotfiles" / "luarc", tmp_path / "darktable" / "luarc"
    kept.write_text("-- mine\n")
    link.symlink_to(kept)
    assert main(["integrate", "darktable", "--folder", str(tmp_path / "darktable")]) == 0
    assert link.is_symlink()
    assert kept.read_text().startswith("-- mine\n")
    assert MARK in kept.read_text()
    assert main(["integrate", "darktable", "--folder", str(tmp_path / "darktable"), "--remove"]) == 0
    assert link.is_symlink()
    assert kept.read_text() == "-- mine\n"


@pytest.mark.parametrize("protected", ["folder", "luarc"])
def test_a_read_only_place_is_said_before_anything_is_written(protected: str, tmp_path: Path) -> None:
    folder = tmp_path / "darktable"
    folder.mkdir()
    (folder / "luarc").write_text("-- mine\n")
    (folder / "luarc" if protected == "luarc" else folder).chmod(0o500)
    done = without_root(["integrate", "darktable", "--folder", str(folder)])
    assert done.returncode == 6
    assert done.stdout == ""
    assert ("not writable" if protected == "folder" else "write-protected") in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert set(tree(folder)) == {"luarc"}


@pytest.mark.skipif(os.name != "posix", reason="needs the permissions of POSIX")
def test_a_protected_luarc_keeps_the_plug_in_that_it_loads(tmp_path: Path) -> None:
    command = ["integrate", "darktable", "--folder", str(tmp_path)]
    (tmp_path / "luarc").write_text("-- mine\n")
    assert main(command) == 0
    installed = tree(tmp_path)
    (tmp_path / "luarc").chmod(0o400)
    done = without_root([*command, "--remove"])
    assert (done.returncode, done.stdout) == (6, "")
    assert "write-protected" in done.stderr
    assert tree(tmp_path) == installed


def test_the_line_that_loads_the_plug_in_is_removed_before_its_file(tmp_path: Path) -> None:
    assert main(["integrate", "darktable", "--folder", str(tmp_path)]) == 0
    removed = [change.path.name for change in plan_removal(parts_of("darktable", tmp_path))]
    assert removed == ["luarc", "rawkd.lua"]


@pytest.mark.skipif(os.name != "posix", reason="needs the permissions of POSIX")
def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "luarc").write_text("-- mine\n")
    (tmp_path / "luarc").chmod(0o200)
    done = without_root(["integrate", "darktable", "--folder", str(tmp_path)])
    assert (done.returncode, done.stdout) == (6, "")
    assert done.stderr.startswith(f"error: {tmp_path / 'luarc'}: cannot be read (Permission denied)")


def test_a_folder_in_the_way_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "luarc").mkdir()
    with pytest.raises(OutputError, match="luarc: cannot be read"):
        plan_install(parts_of("darktable", tmp_path))


def test_the_program_keeps_its_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pipx puts the program elsewhere with every version; its link stays."""
    for folder in ("venv", "bin"):
        (tmp_path / folder).mkdir()
    real, link = tmp_path / "venv" / "rawkd", tmp_path / "bin" / "rawkd"
    real.write_text("#!/bin/sh\n")
    real.chmod(0o755)
    link.symlink_to(real)
    monkeypatch.setattr(sys, "argv", [str(link)])
    assert shipped.program_path() == str(link)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(real))
    assert shipped.program_path() == str(real)


def test_a_program_that_was_not_installed_is_looked_for_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/rawkd/__main__.py"])
    monkeypatch.setattr(shipped.sysconfig, "get_path", lambda _name: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert shipped.program_path() == "rawkd"
    (tmp_path / "rawkd").write_text("#!/bin/sh\n")
    (tmp_path / "rawkd").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(shipped.sysconfig, "get_path", lambda _name: "/nowhere")
    assert shipped.program_path() == str(tmp_path / "rawkd")


def test_a_wheel_has_its_own_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "rawkd"
    package.mkdir()
    monkeypatch.setattr(shipped, "files", lambda _name: package)
    with pytest.raises(OutputError, match="Install rawkd again"):
        shipped.shipped_folder()
    for folder in (tmp_path / "integrations", package / "_integrations"):
        folder.mkdir()
        assert shipped.shipped_folder() == folder
