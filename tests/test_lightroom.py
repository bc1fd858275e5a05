"""The Lightroom plug-in, run by Lua 5.1 against a stand-in for the SDK. No Lightroom was at hand."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from lua_programs import calls_of, events_of, fake_rawkd, real_rawkd
from small_photos import noisy_photo

import rawkd
from rawkd.cli import main

LUA_FILES = sorted((ROOT / "integrations").rglob("*.lua"))


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """The plug-in as `rawkd integrate` installs it; the program that it names is hidden by the stand-in."""
    assert main(["integrate", "lightroom", "--folder", str(tmp_path)]) == 0
    return tmp_path / "rawkd.lrplugin"


def photo(folder: Path, name: str, **fields: object) -> dict[str, object]:
    (folder / name).touch()
    return {"path": str(folder / name), "fileFormat": "RAW", **fields}


def run(plugin: Path, photos: list[dict[str, object]], **scenario: Any) -> dict[str, list[list[str]]]:
    settings = {"answer": "ok", **scenario}
    return events_of("lightroom.lua", plugin.parent, plugin=str(plugin), photos=photos, **settings)


@pytest.mark.parametrize("path", LUA_FILES, ids=lambda path: path.name)
def test_the_files_are_lua_5_1(path: Path) -> None:
    compiler = shutil.which("luac5.1")
    if compiler is None:
        pytest.skip("needs luac5.1")
    done = subprocess.run([compiler, "-p", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_photo_is_denoised_and_stacked_above_its_original(plugin: Path, tmp_path: Path) -> None:
    """By the real rawkd, so that it takes the options of the plug-in."""
    rawkd.write_dng(tmp_path / "it's a photo.dng", noisy_photo())
    source = photo(tmp_path, "it's a photo.dng", rating=4, pickStatus=1, label="Red", title="T", keywords=["k 1", "k2"])
    source["fileFormat"] = "DNG"
    program = real_rawkd(tmp_path / "bin")
    events = run(plugin, [source], entered={"strength": 0.5, "program": str(program)})
    output = tmp_path / "it's a photo-denoised.dng"
    assert rawkd.read_raw(output).frame.shape == noisy_photo().frame.shape
    assert events["added"] == [[str(output), "above", source["path"]]]
    assert [words[1:] for words in events["set"]] == [
        ["rating", "4"],
        ["pickStatus", "1"],
        ["label", "Red"],
        ["title", "T"],
    ]
    assert [words[1] for words in events["keyword"]] == ["k 1", "k2"]
    assert events["menu"] == [["Denoise with rawkd...", "photosSelected"]]
    assert events["version"] == [[rawkd.__version__]]
    assert sorted(events["remembered"]) == [["model", "fast"], ["program", str(program)], ["strength", "0.5"]]
    assert "message" not in events
    assert sorted(path.name for path in tmp_path.glob("*.log")) == []


def test_options_reach_the_program_and_no_file_is_replaced(plugin: Path, tmp_path: Path) -> None:
    photos = [photo(tmp_path, "a.cr2"), photo(tmp_path, "a.cr2"), photo(tmp_path, "b.jpg", fileFormat="JPG")]
    (tmp_path / "a-denoised.dng").write_text("earlier")
    program = fake_rawkd(tmp_path / "bin")
    stored = {"strength": 0.25, "model": "best", "program": str(program)}
    events = run(plugin, photos, preferences=stored, decimal_comma=True)
    output = tmp_path / "a-denoised-1.dng"
    assert calls_of(program.parent) == [
        f"denoise --quiet --strength 0.25 --model best --output {output} -- {tmp_path / 'a.cr2'}"
    ]
    assert (tmp_path / "a-denoised.dng").read_text() == "earlier"
    assert events["dialog"][0][:4] == ["Denoise with rawkd: 1 photo", "0.25", "best", str(program)]
    assert {"slider", "popup_menu", "edit_field"} <= set(events["dialog"][0][4].split())
    assert events["message"] == [["Denoise with rawkd", "1 photo denoised, left out 1 file (not raw).\\n\\n", "info"]]


def test_a_failure_is_shown_and_the_other_photos_are_done(plugin: Path, tmp_path: Path) -> None:
    fake_rawkd(tmp_path / "bin")
    photos = [photo(tmp_path, name) for name in ("bad.nef", "good.nef")]
    events = run(plugin, photos, search=tmp_path / "bin")
    assert [words[0] for words in events["added"]] == [str(tmp_path / "good-denoised.dng")]
    text = "1 photo denoised, 1 failed.\\n\\nbad.nef: bad.dng: the file is truncated. Copy it again."
    assert events["message"] == [["Denoise with rawkd", text, "critical"]]
    assert events["progress"] == [["1", "2"], ["2", "2"]]
    assert events["cancelable"] == [["true"]]
    assert events["done"]


def test_cancelling_stops_before_the_next_photo(plugin: Path, tmp_path: Path) -> None:
    fake_rawkd(tmp_path / "bin")
    photos = [photo(tmp_path, name) for name in ("a.nef", "b.nef", "c.nef")]
    events = run(plugin, photos, search=tmp_path / "bin", cancel_after=1)
    assert len(calls_of(tmp_path / "bin")) == 1
    assert events["message"][0][1] == "1 photo denoised, 2 cancelled.\\n\\n"
    assert events["done"]


def test_closing_the_dialog_does_nothing(plugin: Path, tmp_path: Path) -> None:
    fake_rawkd(tmp_path / "bin")
    events = run(plugin, [photo(tmp_path, "a.nef")], search=tmp_path / "bin", answer="cancel", entered={"strength": 0})
    assert not calls_of(tmp_path / "bin")
    assert not {"message", "added", "remembered"} & set(events)


def test_a_missing_program_is_said(plugin: Path, tmp_path: Path) -> None:
    events = run(plugin, [photo(tmp_path, "a.nef")])
    assert events["message"][0][1].startswith("rawkd was not found. Install it,")
    gone = str(tmp_path / "gone" / "rawkd")
    events = run(plugin, [photo(tmp_path, "a.nef")], entered={"program": gone})
    assert events["message"][0][1].startswith(f"{gone} does not exist.")


def test_the_program_is_found_in_a_common_folder(plugin: Path, tmp_path: Path) -> None:
    program = fake_rawkd(tmp_path / "bin")
    common = tmp_path / "home" / ".local" / "bin"
    common.mkdir(parents=True)
    program.rename(common / "rawkd")
    assert run(plugin, [photo(tmp_path, "a.nef")])["added"]


def test_a_busy_catalog_leaves_the_dng(plugin: Path, tmp_path: Path) -> None:
    fake_rawkd(tmp_path / "bin")
    events = run(plugin, [photo(tmp_path, "a.nef")], search=tmp_path / "bin", busy=True)
    output = tmp_path / "a-denoised.dng"
    assert output.exists()
    assert f"{output} was written, but could not be added (the catalog is busy)" in events["message"][0][1]


def test_pictures_alone_are_refused(plugin: Path, tmp_path: Path) -> None:
    events = run(plugin, [photo(tmp_path, "a.jpg", fileFormat="JPG")])
    assert events["message"] == [["Denoise with rawkd", "Select raw photos first.", "info"]]
    assert "dialog" not in events
