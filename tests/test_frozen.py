"""The frozen app's entry point: child processes start through the program itself. `make app` checks the real app."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from small_photos import noisy_photo

import rawkd
from rawkd.errors import RawkdError
from rawkd.files import child_process
from rawkd.files.read.camera_settings import settings
from rawkd.files.read.decode import CHILD, Decoder

ENTRY = ROOT / "packaging" / "app.py"


@pytest.fixture
def frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of one file, as PyInstaller makes it, and rawkd as if it ran in it."""
    if os.name != "posix":
        pytest.skip("needs scripts that run by their first line")
    program = tmp_path / "rawkd"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> "{tmp_path}/calls"\nPYTHONPATH="{ROOT}" exec "{sys.executable}" "{ENTRY}" "$@"\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(program))
    return program


def test_the_decoder_starts_through_the_program(frozen: Path, tmp_path: Path) -> None:
    photo = noisy_photo()
    rawkd.write_dng(tmp_path / "photo.dng", photo)
    assert np.array_equal(rawkd.read_raw(tmp_path / "photo.dng").frame, photo.frame)
    assert (tmp_path / "calls").read_text() == "--rawkd-child decode_child\n"


def test_camera_settings_come_through_the_program(frozen: Path, tmp_path: Path) -> None:
    photo = ROOT / "examples" / "canon-s40-box-made-noisy.dng"
    assert settings.read_settings(photo, timeout_s=60) == settings.CameraSettings()
    command = child_process.child_command(settings.CHILD, str(photo))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Canon PowerShot S40" in done.stdout
    assert (tmp_path / "calls").read_text() == f"--rawkd-child child {photo}\n" * 2


def test_the_command_line_is_behind_the_same_entry(frozen: Path, tmp_path: Path) -> None:
    done = subprocess.run([str(frozen), "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"rawkd {rawkd.__version__}\n"


def test_an_unknown_child_is_refused(frozen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawkd.files.read.decode.CHILD", CHILD.with_name("other.py"))
    with Decoder() as decoder, pytest.raises(RawkdError, match="cannot be started"):
        decoder.decode(ROOT / "examples" / "canon-s40-box.crw", 60)


def test_unfrozen_children_are_scripts_of_the_interpreter() -> None:
    assert child_process.child_command(CHILD) == [sys.executable, "-P", str(CHILD)]


def test_a_child_without_a_pipe_is_named() -> None:
    with pytest.raises(RawkdError, match="the reader of settings's process has no pipe"):
        child_process.pipe_of(None, "the reader of settings")


def test_the_entry_point_repeats_the_option() -> None:
    assert f'CHILD_OPTION = "{child_process.CHILD_OPTION}"' in ENTRY.read_text(encoding="utf-8")
