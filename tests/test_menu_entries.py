"""The menu entries of file managers do what they say, as far as this system can run them."""

from __future__ import annotations

import os
import platform
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lua_programs import calls_of, fake_rawkd

from rawkd.cli import main
from rawkd.integrate.shipped import filled

AWKWARD = 'it\'s 100% "$HOME" `x` \\ & <b>'
"""A folder name with everything that some language of these files treats in a special way."""
posix = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")


def install(folder: Path, system: str, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(sys, "argv", [str(program)])
    assert main(["integrate", "desktop", "--folder", str(folder)]) == 0


@posix
@pytest.mark.parametrize("name", ["share", AWKWARD], ids=["plain", "awkward"])
def test_a_linux_file_manager_denoises(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By GLib, which GNOME and Xfce use, with a stand-in for the terminal."""
    gio = shutil.which("gio")
    if gio is None or shutil.which("desktop-file-validate") is None:
        pytest.skip("needs gio and desktop-file-validate")
    share = tmp_path / name
    share.mkdir()
    program = fake_rawkd(share / "bin")
    install(share, "Linux", program, monkeypatch)
    entry = share / "applications" / "rawkd.desktop"
    checked = subprocess.run(["desktop-file-validate", str(entry)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")
    terminal = tmp_path / "bin" / "xterm"
    terminal.parent.mkdir()
    terminal.write_text(f'#!/bin/sh\nshift\n"$@" </dev/null >"{tmp_path}/seen" 2>&1\necho $? >"{tmp_path}/rc"\n')
    terminal.chmod(0o755)
    tools = [tmp_path / "bin", tmp_path / "tools"]
    tools[1].mkdir()
    for tool in ("sh", "echo", "cat"):
        (tools[1] / tool).symlink_to(shutil.which(tool) or tool)
    photos = [tmp_path / photo for photo in ("a b.nef", "it's.cr2")]
    for photo in photos:
        photo.touch()
    environment = {"PATH": os.pathsep.join(map(str, tools)), "HOME": str(tmp_path)}
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" > "{tmp_path}/calls"\nexit $(cat "{tmp_path}/code")\n')
    for code in (0, 3):
        for path in (tmp_path / "rc", tmp_path / "calls"):
            path.unlink(missing_ok=True)
        (tmp_path / "code").write_text(str(code))
        subprocess.run([gio, "launch", str(entry), *map(str, photos)], env=environment, check=True, timeout=60)
        _wait_for(tmp_path / "rc")
        assert (tmp_path / "calls").read_text() == f"denoise|--|{photos[0]}|{photos[1]}|"
        assert ("Press Enter" in (tmp_path / "seen").read_text()) is (code != 0)
    program.unlink()
    (tmp_path / "rc").unlink()
    subprocess.run([gio, "launch", str(entry), str(photos[0])], env=environment, check=True, timeout=60)
    _wait_for(tmp_path / "rc")
    assert "rawkd was not found." in (tmp_path / "seen").read_text()


def _wait_for(path: Path) -> None:
    """`gio launch` does not wait for the program."""
    import time

    end = time.monotonic() + 60
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < end, f"{path} does not appear"
        time.sleep(0.02)


@posix
def test_another_raw_program_stays_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gio, index = shutil.which("gio"), shutil.which("update-desktop-database")
    types = Path("/usr/share/mime/packages/freedesktop.org.xml")
    if gio is None or index is None or not types.exists():
        pytest.skip("needs gio, update-desktop-database and shared-mime-info")
    share, system = tmp_path / "share", tmp_path / "system"
    share.mkdir()
    (system / "applications").mkdir(parents=True)
    (system / "mime").symlink_to("/usr/share/mime")
    (system / "applications" / "other.desktop").write_text(
        "[Desktop Entry]\nType=Application\nName=Other\nExec=true %F\nMimeType=image/x-nikon-nef;\n"
    )
    subprocess.run([index, str(system / "applications")], check=True)
    install(share, "Linux", fake_rawkd(tmp_path / "bin"), monkeypatch)
    environment = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(share), "XDG_DATA_DIRS": str(system), "LC_ALL": "C"}
    asked = [gio, "mime", "image/x-nikon-nef"]
    told = subprocess.run(asked, env=environment | {"PATH": "/bin"}, capture_output=True, text=True, check=True).stdout
    default, _, others = told.partition("\n")
    assert default.endswith(": other.desktop")
    assert "rawkd.desktop" in others


def command_of(folder: Path) -> str:
    """The shell command of the Quick Action."""
    contents = folder / "Denoise with rawkd.workflow" / "Contents"
    (action,) = plistlib.loads((contents / "document.wflow").read_bytes())["actions"]
    (service,) = plistlib.loads((contents / "Info.plist").read_bytes())["NSServices"]
    assert service["NSMessage"] == "runWorkflowAsService"
    assert "public.camera-raw-image" in service["NSSendFileTypes"]
    assert action["action"]["BundleIdentifier"] == "com.apple.RunShellScript"
    assert action["action"]["ActionParameters"]["inputMethod"] == 1  # photos are arguments, not stdin
    command = action["action"]["ActionParameters"]["COMMAND_STRING"]
    assert isinstance(command, str)
    return command


@posix
@pytest.mark.parametrize("name", ["services", AWKWARD], ids=["plain", "awkward"])
def test_the_quick_action_of_macos_denoises(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its shell command, with a stand-in for osascript, which shows alerts and notifications."""
    program = fake_rawkd(tmp_path / name)
    install(tmp_path, "Darwin", program, monkeypatch)
    command = command_of(tmp_path)
    shown = tmp_path / "bin" / "osascript"
    shown.parent.mkdir(exist_ok=True)
    shown.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >> "{tmp_path}/shown"\n')
    shown.chmod(0o755)
    environment = {"PATH": f"{shown.parent}:/usr/bin:/bin", "HOME": str(tmp_path)}

    def run(*photos: str) -> str:
        (tmp_path / "shown").unlink(missing_ok=True)
        done = subprocess.run(
            ["/bin/sh", "-c", command, "-", *photos], env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return (tmp_path / "shown").read_text()

    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" > "{tmp_path}/calls"\n')
    assert "display notification" in run("/a b.nef", "/it's.cr2")
    assert (tmp_path / "calls").read_text() == "denoise|--quiet|--|/a b.nef|/it's.cr2|"
    fake_rawkd(tmp_path / name)
    assert run("/bad.nef").endswith("error: bad.dng: the file is truncated. Copy it again.|")
    assert calls_of(program.parent) == ["denoise --quiet -- /bad.nef"]
    program.unlink()
    assert "rawkd was not found" in run("/a.nef")


def test_the_script_of_windows_names_the_program() -> None:
    """cmd.exe reads lines that end in CR LF, and a percent sign if it is doubled. Not run: there was no Windows."""
    text = filled("desktop/rawkd.cmd", program=r"C:\Users\Jörg\100%\rawkd.exe").decode("utf-8")
    assert r'set "RAWKD=C:\Users\Jörg\100%%\rawkd.exe"' in text
    assert text.count("\r\n") == text.count("\n") > 10
    assert text.index("chcp 65001") < text.index("Jörg")
    assert '"%RAWKD%" denoise -- %*\r\nif errorlevel 1 pause' in text
