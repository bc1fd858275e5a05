"""The folders of a user stay where rawkd has looked for installed calibrations since its first version."""

from __future__ import annotations

import json
import sys
from pathlib import Path, PureWindowsPath

import platformdirs
import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix
from platformdirs.windows import Windows

from rawkd import user_folders
from rawkd.errors import OutputError
from rawkd.restore.installed_calibration import installed_files, profile_folder
from rawkd.user_folders import cache_folder, config_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows asks the system, and no variable, for folders")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_linux(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platformdirs, "PlatformDirs", Unix)
    assert (cache_folder(), config_folder()) == (home / ".cache" / "rawkd", home / ".config" / "rawkd")
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, "relative")  # which the XDG specification tells programs to ignore
    assert (cache_folder(), config_folder()) == (home / ".cache" / "rawkd", home / ".config" / "rawkd")
    monkeypatch.setenv("XDG_CACHE_HOME", "/a")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/b")
    assert (cache_folder(), config_folder()) == (Path("/a/rawkd"), Path("/b/rawkd"))
    assert profile_folder() == Path("/b/rawkd/cameras")


def test_macos(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platformdirs, "PlatformDirs", MacOS)
    library = home / "Library"
    assert cache_folder() == library / "Caches" / "rawkd"
    assert config_folder() == library / "Application Support" / "rawkd"


def test_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platformdirs, "PlatformDirs", Windows)
    monkeypatch.setattr(user_folders, "Path", PureWindowsPath)
    monkeypatch.setenv("WIN_PD_OVERRIDE_LOCAL_APPDATA", r"C:\Users\me\AppData\Local")
    monkeypatch.setenv("WIN_PD_OVERRIDE_APPDATA", r"C:\Users\me\AppData\Roaming")
    assert cache_folder() == PureWindowsPath("C:/Users/me/AppData/Local/rawkd/Cache")
    assert config_folder() == PureWindowsPath("C:/Users/me/AppData/Roaming/rawkd")


def test_calibrations_that_an_earlier_version_installed_on_macos_are_found(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It did not look at XDG_CONFIG_HOME there; of two files of one name the one in today's folder counts."""
    monkeypatch.setattr(platformdirs, "PlatformDirs", MacOS)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    former = home / "Library" / "Application Support" / "rawkd" / "cameras"
    for folder, names in ((former, ("a.json", "b.json")), (profile_folder(), ("b.json", "c.json"))):
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).write_text(json.dumps({}))
    now = home / "xdg" / "rawkd" / "cameras"
    assert installed_files() == [former / "a.json", now / "b.json", now / "c.json"]
    assert installed_files(former) == [former / "a.json", former / "b.json"]


@pytest.mark.usefixtures("homeless")
def test_a_user_without_a_home_has_none() -> None:
    assert (cache_folder(), config_folder()) == (None, None)
    assert installed_files() == []
    with pytest.raises(OutputError, match="Set HOME"):
        profile_folder()
