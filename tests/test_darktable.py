"""The darktable script: in a real darktable under Xvfb, and by Lua 5.1 against a stand-in for its failures."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from lua_programs import calls_of, events_of, fake_rawkd, lua_of, real_rawkd
from small_photos import noisy_photo

import rawkd
from rawkd.cli import main

DRIVER = """
local dt = require "darktable"
local out = io.open({out}, "w")
local function say(...)
  out:write(table.concat({{ ... }}, "\\t"), "\\n")
end
local fine, problem = pcall(function()
  local script = package.loaded.rawkd
  local photo, bad = dt.database.import({photo}), dt.database.import({bad})
  photo.rating, photo.red, photo.purple, photo.title = 3, true, true, "A title"
  photo:attach_tag(dt.tags.create("places|here"))
  say("text", (script.denoise({{ photo, bad, photo }}):gsub("\\n", " / ")))
  dt.preferences.write("rawkd", "program", "file", "/nowhere/rawkd")
  say("missing", script.denoise({{ photo }}))
  for _, image in ipairs(dt.database) do
    local tags = {{}}
    for _, tag in ipairs(image:get_tags()) do
      if not tag.name:match("^darktable|") then tags[#tags + 1] = tag.name end
    end
    say("image", image.filename, image.rating, tostring(image.red), tostring(image.green), tostring(image.purple),
      image.title, table.concat(tags, " "), image.group_leader.filename)
  end
  script.destroy()
end)
say("end", tostring(fine), tostring(problem))
out:close()
os.exit(0)
"""


START_S, RUN_S, STARTS = 120, 600, 5


def run_darktable(command: list[str], out: Path) -> None:
    """Run darktable to its end; start it again if it has not opened `out` in time.

    At start-up darktable 4.2 sometimes waits for itself for ever, before any script of the user and also without one.
    """
    environment = os.environ | {"HOME": str(out.parent), "XDG_CACHE_HOME": str(out.parent / "cache")}
    log = out.with_suffix(".log")
    for _ in range(STARTS):
        with log.open("w") as messages:
            process = subprocess.Popen(
                command, stdout=messages, stderr=messages, env=environment, start_new_session=True
            )
        start = time.monotonic()
        try:
            while process.poll() is None and (out.exists() or time.monotonic() < start + START_S):
                assert time.monotonic() < start + RUN_S, log.read_text()
                time.sleep(0.1)
            if out.exists():
                return
            assert process.poll() is None, log.read_text()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    pytest.fail(f"darktable did not start in {STARTS} tries: {log.read_text()}")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings folder of darktable with the installed script, which names a program that works."""
    folder = tmp_path / "settings of darktable"
    folder.mkdir()
    (folder / "luarc").write_text("-- the user's own")
    monkeypatch.setattr(sys, "argv", [str(real_rawkd(tmp_path / "real"))])
    assert main(["integrate", "darktable", "--folder", str(folder)]) == 0
    return folder


def test_in_darktable(settings: Path, tmp_path: Path) -> None:
    """Two photos, one of them damaged: the other is denoised, imported, grouped, its leader, and has its metadata.

    Without sidecars, from which rawkd would copy the metadata itself.
    """
    if not shutil.which("darktable") or not shutil.which("xvfb-run"):
        pytest.skip("needs darktable and xvfb-run")
    rawkd.write_dng(tmp_path / "it's.dng", noisy_photo())
    (tmp_path / "it's-denoised.dng").write_bytes(b"an earlier one")
    whole = (tmp_path / "it's.dng").read_bytes()
    (tmp_path / "bad.dng").write_bytes(whole[: len(whole) // 2])
    paths = {"out": tmp_path / "out", "photo": tmp_path / "it's.dng", "bad": tmp_path / "bad.dng"}
    with (settings / "luarc").open("a", encoding="utf-8") as luarc:
        luarc.write(DRIVER.format(**{key: lua_of(str(path)) for key, path in paths.items()}))
    command = ["xvfb-run", "-a", "darktable", "--configdir", str(settings), "--cachedir", str(tmp_path / "cache")]
    run_darktable([*command, "--library", ":memory:", "--conf", "write_sidecar_files=never"], paths["out"])
    lines = [line.split("\t") for line in paths["out"].read_text(encoding="utf-8").splitlines()]
    told = {line[0]: line[1:] for line in lines if line[0] != "image"}
    assert told["end"] == ["true", "nil"]
    assert told["text"][0].startswith("rawkd: 1 photo denoised, 1 failed / bad.dng: ")
    assert "damaged" in told["text"][0] or "truncated" in told["text"][0]
    assert told["missing"][0].startswith("rawkd: /nowhere/rawkd does not exist.")
    images = {line[1]: line[2:] for line in lines if line[0] == "image"}
    copied = ["3", "true", "false", "true", "A title", "places|here", "it's-denoised-2.dng"]
    assert images == {"it's.dng": copied, "it's-denoised-2.dng": copied, "bad.dng": images["bad.dng"]}
    assert images["bad.dng"][-1] == "bad.dng"
    assert rawkd.read_raw(tmp_path / "it's-denoised-2.dng").frame.shape == noisy_photo().frame.shape
    assert (tmp_path / "it's-denoised.dng").read_bytes() == b"an earlier one"


def run(settings: Path, names: list[str], search: Path | None = None, **scenario: Any) -> dict[str, list[list[str]]]:
    folder = settings.parent
    images = [
        {"folder": str(folder), "name": name, "is_ldr": name.endswith(".jpg"), "is_hdr": False, "rating": 2}
        for name in names
    ]
    chosen = {"preferences": {"strength": 1}, "script": str(settings / "lua" / "rawkd.lua"), **scenario}
    return events_of("darktable.lua", folder, search, images=images, **chosen)


@pytest.fixture
def unnamed(settings: Path, tmp_path: Path) -> Path:
    """The settings folder after the program that the script names was removed."""
    (tmp_path / "real" / "rawkd").unlink()
    return settings


def test_options_and_the_output_folder_reach_the_program(unnamed: Path, tmp_path: Path) -> None:
    program = fake_rawkd(tmp_path / "bin")
    chosen = {"strength": 0.25, "model": "best", "folder": str(tmp_path / "clean"), "program": str(program)}
    (tmp_path / "clean").mkdir()
    events = run(unnamed, ["a.b.cr2", "a.b.cr2", "x.jpg"], preferences=chosen, decimal_comma=True)
    output = tmp_path / "clean" / "a.b-denoised.dng"
    source = tmp_path / "a.b.cr2"
    assert calls_of(program.parent) == [f"denoise --quiet --strength 0.25 --model best --output {output} -- {source}"]
    assert events["imported"] == [[str(output)]]
    assert events["leader"] == [["a.b-denoised.dng", "2"]]
    assert events["grouped"] == [["a.b-denoised.dng", "a.b.cr2"]]
    assert events["print"] == [["rawkd: 1 photo denoised, left out 1 picture (not raw)"]]
    assert events["valid"] == [["false"]]
    assert sorted(words[0] for words in events["destroyed"]) == ["action", "shortcut"]


def test_a_failure_is_said_and_the_other_photos_are_done(unnamed: Path, tmp_path: Path) -> None:
    fake_rawkd(tmp_path / "bin")
    events = run(unnamed, ["bad.nef", "good.nef"], tmp_path / "bin")
    reason = "bad.nef: bad.dng: the file is truncated. Copy it again."
    assert events["print"] == [[f"rawkd: 1 photo denoised, 1 failed\\n{reason}"]]
    assert events["log"] == [[f"rawkd: {reason}"]]
    assert events["percent"] == [["0.5"], ["1"]]


def test_cancelling_stops_before_the_next_photo(unnamed: Path, tmp_path: Path) -> None:
    fake_rawkd(tmp_path / "bin")
    events = run(unnamed, ["a.nef", "b.nef", "c.nef"], tmp_path / "bin", cancel_at=0.3)
    assert len(calls_of(tmp_path / "bin")) == 1
    assert events["print"] == [["rawkd: 1 photo denoised, 2 cancelled"]]
    assert events["valid"] == [["false"]]


def test_a_missing_program_is_said(unnamed: Path) -> None:
    events = run(unnamed, ["a.nef"])
    assert events["print"][0][0].startswith("rawkd: rawkd was not found. Install it,")
    assert "percent" not in events


def test_the_program_is_found_in_a_common_folder(unnamed: Path, tmp_path: Path) -> None:
    program = fake_rawkd(tmp_path / "bin")
    common = tmp_path / ".local" / "bin"
    common.mkdir(parents=True)
    program.rename(common / "rawkd")
    assert run(unnamed, ["a.nef"])["imported"]


def test_a_dng_that_cannot_be_imported_is_named(unnamed: Path, tmp_path: Path) -> None:
    fake_rawkd(tmp_path / "bin")
    events = run(unnamed, ["a.nef"], tmp_path / "bin", import_fails=True)
    output = tmp_path / "a-denoised.dng"
    assert output.exists()
    assert f"{output} was written, but darktable could not import it (the library is locked)" in events["print"][0][0]


def test_pictures_alone_are_refused(unnamed: Path) -> None:
    assert run(unnamed, ["a.jpg"])["print"] == [["rawkd: select raw photos first"]]


def test_an_old_darktable_is_refused(unnamed: Path) -> None:
    assert run(unnamed, ["a.nef"], api=6) == {"print": [["rawkd needs darktable 3.6 or newer"]]}
