"""The command line: its surface is frozen, its codes mean what the table says, its stdout is clean."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from copy import copy
from pathlib import Path
from typing import Any

import click
import pytest
from conftest import ROOT
from small_photos import noisy_photo
from tiny_models import blur, make_model

from rawkd import errors
from rawkd.cli import main
from rawkd.cli.app import COMMANDS, app
from rawkd.cli.console import Console
from rawkd.cli.exit_codes import exit_code_of_kind
from rawkd.files.write.dng import write_dng

SNAPSHOT = ROOT / "tests" / "snapshots" / "command_line.txt"

KEYS = [
    "input", "output", "camera", "iso", "cfa", "width", "height", "noise", "student", "ensemble", "device", "precision",
    "defects", "seconds", "warnings",
]  # fmt: skip


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models")
    make_model(directory / "tiny-low", blur, subrange=[1e-5, 5e-4])
    make_model(directory / "tiny-high", blur, subrange=[5e-4, 1e-1])
    return directory


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "photo.dng"
    raw = noisy_photo()
    write_dng(path, raw, preview=None, software="test", noise_profile=raw.noise_profile)
    return path


def without_root(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run rawkd as a user who may not read every file: root without the two capabilities to do so."""
    drop = "import ctypes, os, sys\nlibc = ctypes.CDLL(None)\n"
    drop += "assert all(libc.prctl(24, one, 0, 0, 0) == 0 for one in (1, 2))\n" if os.geteuid() == 0 else ""
    drop += "os.execv(sys.executable, [sys.executable, '-m', 'rawkd', *sys.argv[1:]])"
    return subprocess.run(
        [sys.executable, "-c", drop, *command], capture_output=True, text=True, check=False, cwd=ROOT, timeout=120
    )


def contents(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name != "cache"}


def surface(command: click.Command) -> list[str]:
    """One line a parameter: everything that a script may depend on."""
    lines = []
    for param in command.params:
        info = param.to_info_dict()
        kind = info["type"]
        choices = f" of {'|'.join(map(str, kind['choices']))}" if "choices" in kind else ""
        limits = f" {kind.get('min')}..{kind.get('max')}" if "min" in kind else ""
        default = (
            f" default {param.default!r}"
            if isinstance(param.default, str | float | int) and not isinstance(param.default, bool)
            else ""
        )
        lines.append(f"  {' '.join(info['opts'])} {kind['name']}{choices}{limits}{default}")
    for name, member in getattr(command, "commands", {}).items():
        lines += [f"  {name}", *(f"  {line}" for line in surface(member))]
    return lines


def test_the_surface_is_frozen() -> None:
    text = ""
    for command in COMMANDS:
        if not command.hidden:
            loaded = app.get_command(click.Context(app), command.name)
            assert loaded is not None
            text += "\n".join([f"rawkd {command.name}: {command.summary}", *surface(loaded)]) + "\n"
    assert text == SNAPSHOT.read_text(encoding="utf-8"), (
        "the command line changed: so must its documentation and snapshot"
    )


def test_help_lists_every_command_that_is_not_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for command in COMMANDS:
        assert (f"  {command.name} " in out) is not command.hidden


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert "Usage: rawkd " + command in capsys.readouterr().out


def commands(name: str, command: click.Command) -> list[tuple[str, click.Command]]:
    """Return a command, or those of a group, by their names."""
    if not isinstance(command, click.Group):
        return [(name, command)]
    return [found for part, member in command.commands.items() for found in commands(f"{name} {part}", member)]


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_every_command_prints_tracebacks_as_its_errors_say(name: str) -> None:
    loaded = app.get_command(click.Context(app), name)
    assert loaded is not None
    without = [full for full, command in commands(name, loaded) if not any("-v" in one.opts for one in command.params)]
    assert without == []


@pytest.mark.parametrize(("flags", "has_traceback"), [(["-v"], True), (["--verbose"], True), ([], False)])
def test_a_command_without_other_messages_prints_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], has_traceback: bool
) -> None:
    assert main(["train", "--recipe", "nowhere", "--out", str(tmp_path), *flags]) == 2
    assert ("Traceback" in capsys.readouterr().err) is has_traceback


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["bogus"],
        ["denoise"],
        ["denoise", "a.dng", "--strength", "1.5"],
        ["denoise", "a.dng", "--ensemble", "3"],
        ["denoise", "a.dng", "--noise", "1e-3"],
        ["denoise", "a.dng", "--noise", "0,1e-6"],
        ["denoise", "a.dng", "--exposure", "nan"],
        ["denoise", "a.dng", "--crop", "1,2,3"],
        ["denoise", "a.dng", "--crop", "1,2,0,4"],
        ["denoise", "a.dng", "--threads", "0"],
        ["denoise", "a.dng", "-q", "-v"],
        ["batch", "shoot", "-q", "-v"],
        ["compare", "a.dng", "-q", "-v"],
        ["calibrate", "a.dng", "-q", "-v"],
        ["verify"],
        ["verify", "a.dng", "-q", "-v"],
        ["batch", "shoot", "--crop", "0,0,8,8"],
        ["inspect", "a.dng", "b.dng", "--plot", "noise.svg"],
        ["denoise", "a.dng", "--format", "gif"],
        ["denoise", "a.dng", "-o", "a.tif", "--format", "jpg"],
        ["denoise", "a.dng", "-o", "a.gif"],
        ["denoise", "a.dng", "-o", "a.png", "--format", "dng"],
        ["denoise", "a.dng", "--crop", "0,0,8,8", "--format", "dng"],
        ["denoise", "a.dng", "b.dng", "-o", "one.dng"],
        ["denoise", "x/a.dng", "x/a.nef"],
    ],
)
def test_usage_errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.strip()
    assert "Traceback" not in printed.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a.dng"], "No such command 'a.dng'. To denoise it: rawkd denoise a.dng"),
        (["my photo.NEF"], "No such command 'my photo.NEF'. To denoise it: rawkd denoise 'my photo.NEF'"),
        (["shoot"], "No such command 'shoot'. To denoise a folder: rawkd batch shoot -o clean/"),
        (["photo.tif"], "No such command 'photo.tif'. To denoise it: rawkd denoise photo.tif"),
        (["denois", "a.dng"], "No such command 'denois'. Did you mean 'denoise'?"),
        (["xyzzy"], "No such command 'xyzzy'."),
        (["denoise", "out.dng", "-o", "out"], "out: for a folder write out/, for a file end the name in"),
    ],
)
def test_what_a_beginner_types_is_answered(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shoot").mkdir()
    Path("photo.tif").write_bytes(b"II")
    assert main(arguments) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("value", ["70%", "0,5", "50", "-0.1", "nan", "much"])
@pytest.mark.parametrize("option", ["--strength", "--luma", "--chroma"])
def test_a_part_that_is_no_number_from_0_to_1(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["denoise", "a.dng", option, value]) == 2
    told = capsys.readouterr().err
    assert f"{option} takes a number from 0 to 1, such as 0.7, not {value!r}." in told


@pytest.mark.parametrize("command", ["denoise", "compare"])
@pytest.mark.parametrize("given", [["no/a.dng"], ["no/a.dng", "-o", "new/"], ["no/a.dng", "-o", "new/a.dng"]])
def test_a_wrong_name_of_a_photo_is_told_before_its_output(
    command: str, given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if command == "compare":
        given = [name.replace("new/a.dng", "new/a.html").replace("new/", "new/a.html") for name in given]
    assert main([command, *given]) == 3
    assert (
        "no/a.dng: there is no such file. Check the name; a name with spaces needs quotes." in capsys.readouterr().err
    )
    assert contents(tmp_path) == set()


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["verify", ""], "the value after verify"),
        (["denoise", "a.dng", "-o", ""], "the value after -o"),
        (["denoise", "a.dng", "--output="], "--output"),
        (["denoise", "a.dng", "", "--strength", "0"], "the value after a.dng"),
        (["denoise", "a.dng", "--model", ""], "the value after --model"),
        (["denoise", "a.dng", "--calibration", ""], "the value after --calibration"),
        (["batch", "", "-r"], "the value after batch"),
        (["batch", ".", "-o", ""], "the value after -o"),
        (["batch", ".", "--report="], "--report"),
        (["batch", ".", "--cluster", ""], "the value after --cluster"),
        (["compare", "a.dng", "--strip", ""], "the value after --strip"),
        (["calibrate", "a.dng", "b.dng", "--out="], "--out"),
        (["integrate", "darktable", "--folder", ""], "the value after --folder"),
        (["models", "--model", ""], "the value after --model"),
        (["bench", "burst", ""], "the value after burst"),
        (["train", "--recipe", "x", "--out", ""], "the value after --out"),
        (["", "a.dng"], "the value after rawkd"),
    ],
)
def test_an_empty_value_is_not_the_current_folder(
    arguments: list[str], place: str, photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a shell variable that is not set gives it."""
    monkeypatch.chdir(photo.parent)
    photo.rename(photo.with_name("a.dng"))
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"error: {place} is empty: give a name\n"
    assert contents(photo.parent) == {"a.dng"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a deleted folder for those who are in it")
def test_a_deleted_folder_is_told(photo: Path, tmp_path: Path) -> None:
    def run(*command: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "gone").mkdir()
        start = "import os, sys; os.rmdir('../gone'); from rawkd.cli import main; sys.exit(main())"
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        words = [sys.executable, "-c", start, *command]
        return subprocess.run(
            words, capture_output=True, text=True, check=False, cwd=tmp_path / "gone", timeout=60, env=environment
        )

    for command in (
        ["denoise", "photo.dng"],
        ["denoise", str(photo), "-o", "b.dng"],
        ["compare", "photo.dng"],
        ["batch", str(photo), "-o", "out", "--strength", "0"],
        ["calibrate", "photo.dng", "other.dng"],
    ):
        done = run(*command)
        assert done.returncode == 2, command
        told = "error: the current folder was deleted: change to another one"
        assert [line for line in done.stderr.splitlines() if "0 denoised" not in line] == [told]
    done = run("denoise", str(photo), "-o", f"{tmp_path}/b.dng", "--strength", "0")  # all names are whole
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("bytes_of_name", [252, 255])
def test_a_photo_with_the_longest_name(bytes_of_name: int, photo: Path, tmp_path: Path) -> None:
    """Its sidecar would have a longer one, which no disk takes."""
    long = photo.rename(tmp_path / ("n" * (bytes_of_name - 4) + ".dng"))
    for command, output in (("denoise", "out.dng"), ("compare", "out.html")):
        assert main([command, str(long), "-o", str(tmp_path / output), "--strength", "0", "-q"]) == 0
    assert contents(tmp_path) == {long.name, "out.dng", "out.html"}


@pytest.mark.parametrize("command", [["verify"], ["models", "--model"], ["denoise", "a.dng", "--model"],
                                     ["integrate", "darktable", "--folder"]])  # fmt: skip
def test_a_name_too_long_to_exist_is_no_unexpected_error(
    command: list[str], photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(photo.parent)
    photo.rename(photo.with_name("a.dng"))
    assert main([*command, "n" * 300]) in (3, 5, 6)
    assert "unexpected" not in capsys.readouterr().err


RESULTS = {
    "denoise": ["a.dng", "b.dng", "-o", "out/", "--strength", "0"],
    "batch in JSON": ["a.dng", "b.dng", "-o", "out", "--strength", "0", "--jobs", "1", "--json"],
    "batch, dry": ["a.dng", "b.dng", "-o", "out", "--dry-run"],
    "inspect": ["a.dng", "b.dng"],
    "verify": ["a.dng", "b.dng"],
    "models": [],
    "compare": ["a.dng", "-o", "out.html", "--strength", "0"],
    "integrate": ["desktop", "--folder", ".", "--dry-run"],
}
WRITING = ("denoise", "batch in JSON")


def without_stdout(name: str, photo: Path, stdout: Any, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a command of RESULTS on a.dng and b.dng, where stdout cannot be written."""
    for copied in ("a.dng", "b.dng"):
        shutil.copy(photo, photo.with_name(copied))
    command = [sys.executable, "-m", "rawkd", re.split(r"\W", name)[0], *RESULTS[name]]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    more = {"stderr": subprocess.PIPE} | more
    return subprocess.run(
        command, stdout=stdout, text=True, check=False, cwd=photo.parent, timeout=120, env=environment, **more
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pipe whose reader has gone")
@pytest.mark.parametrize("name", RESULTS)
def test_a_reader_that_has_gone_ends_no_work(name: str, photo: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as stdout:
        done = without_stdout(name, photo, stdout)
    assert done.returncode == 0, done.stderr
    assert "rror" not in done.stderr
    assert "Exception" not in done.stderr
    if name in WRITING:
        assert contents(tmp_path / "out") - {".rawkd"} == {"a-denoised.dng", "b-denoised.dng"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("name", RESULTS)
def test_a_full_disk_under_stdout_is_told_once_and_ends_no_work(name: str, photo: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as stdout:
        done = without_stdout(name, photo, stdout)
    assert done.returncode == 6, done.stderr
    assert done.stderr.count("error: stdout cannot be written (No space left on device): free some space") == 1
    assert done.stderr.count("rror") == 1
    if name in WRITING:
        assert contents(tmp_path / "out") - {".rawkd"} == {"a-denoised.dng", "b-denoised.dng"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_lost_stderr_ends_no_work(photo: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        assert without_stdout("batch in JSON", photo, subprocess.DEVNULL, stderr=full).returncode == 0
        assert contents(tmp_path / "out") - {".rawkd"} == {"a-denoised.dng", "b-denoised.dng"}
        assert without_stdout("verify", photo, full, stderr=full).returncode == 6


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_what_is_wrong_with_a_photo_goes_before_a_full_disk(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.dng").write_bytes(b"no photo")
    command = [sys.executable, "-m", "rawkd", "verify", str(photo), str(tmp_path / "bad.dng")]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, cwd=ROOT, timeout=60)
    assert done.returncode == 1


FAILURES = [
    (errors.UsageError("u"), 2),
    (errors.InputError("i"), 3),
    (errors.UnsupportedRawError("x"), 3),
    (errors.NoiseError("n"), 4),
    (errors.ModelError("m"), 5),
    (errors.OutputError("o"), 6),
    (errors.MemoryLimitError("l"), 7),
    (MemoryError(), 7),
    (ZeroDivisionError("z"), 1),
]


@pytest.mark.parametrize(("error", "code"), FAILURES, ids=[type(error).__name__ for error, _ in FAILURES])
def test_exit_codes(
    error: Exception, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(path: Path, *_rest: Any, **_named: Any) -> None:
        raise error

    monkeypatch.setattr("rawkd.process.process_file", fails)
    assert main(["denoise", str(tmp_path / "a.dng")]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert str(tmp_path / "a.dng") in printed.err
    assert ("-v to see the traceback" in printed.err) == (code == 1)
    assert main(["denoise", "-v", str(tmp_path / "a.dng")]) == code
    assert "Traceback" in capsys.readouterr().err
    assert main(["denoise", str(tmp_path / "a.dng"), str(tmp_path / "b.dng")]) == 1
    assert "2 of 2 photos failed" in capsys.readouterr().err


def test_a_missing_file_is_an_input_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["denoise", str(tmp_path / "none.dng")]) == 3
    assert "none.dng" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "none.dng")]) == 3


def test_an_empty_folder_of_models_is_a_model_error(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["denoise", str(photo), "--model", str(tmp_path / "empty")]) == 5
    assert main(["models", "--model", str(tmp_path / "empty")]) == 5
    assert main(["inspect", str(photo), "--model", "no such model"]) == 5
    assert capsys.readouterr().out == ""
    assert contents(tmp_path) == {"photo.dng", "empty"}


@pytest.mark.parametrize("options", [(), ("--json",), ("--verbose",)])
def test_a_damaged_model_is_named(
    family: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], options: Any
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(family, folder)
    assert main(["models", "--model", str(folder), *options]) == 0
    network = folder / "tiny-low" / "network.onnx"
    network.write_bytes(network.read_bytes()[:-1])
    assert main(["models", "--model", str(folder), *options]) == 5
    shown = capfd.readouterr()
    assert shown.err.count("error:") == 1
    assert f"{network}: its sha256 differs" in shown.err.replace("\n", "")
    assert "tiny-low" in shown.out


def test_one_path_a_photo_on_stdout(
    photo: Path, family: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.dng"
    bad.write_bytes(b"no photo")
    good = photo.rename(tmp_path / "good.dng")
    assert main(["denoise", str(bad), str(good), "--model", str(family)]) == 1
    printed = capfd.readouterr()
    assert printed.out == f"{tmp_path / 'good-denoised.dng'}\n"
    assert "bad.dng" in printed.err
    assert "1 of 2 photos failed" in printed.err
    assert contents(tmp_path) == {"bad.dng", "good.dng", "good-denoised.dng"}


def test_json(photo: Path, family: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["denoise", str(photo), "--model", str(family), "--json", "-q", "--noise", "1e-3,3e-6"]) == 0
    printed = capfd.readouterr()
    assert printed.err == ""
    assert printed.out.count("\n") == 1
    record = json.loads(printed.out)
    assert list(record) == KEYS
    assert list(record["noise"]) == ["gain", "read_variance", "source", "confidence"]
    assert list(record["seconds"]) == ["read", "noise", "denoise", "render", "write", "total"]
    assert sum(record["seconds"].values()) <= 2 * record["seconds"]["total"] + 1e-3
    assert record["student"] == "tiny-high"
    assert (record["device"], record["ensemble"], record["cfa"]) == ("cpu", 1, "GBRG")
    assert (record["width"], record["height"]) == (296, 200)
    assert record["noise"]["gain"] == pytest.approx(1e-3)
    assert record["output"] == str(tmp_path / "photo-denoised.dng")


def test_nothing_is_replaced_unasked(
    photo: Path, family: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "photo-denoised.dng"
    output.write_bytes(b"precious")
    command = ["denoise", str(photo), "--model", str(family)]
    assert main(command) == 6
    assert "--overwrite" in capfd.readouterr().err
    assert output.read_bytes() == b"precious"
    assert main([*command, "--overwrite"]) == 0
    assert output.stat().st_size > 1000


def test_the_photo_itself_is_never_the_output(photo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = photo.read_bytes()
    assert main(["denoise", str(photo), "-o", str(photo), "--overwrite"]) == 6
    assert photo.read_bytes() == before


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "dng"])
def test_formats_by_name(photo: Path, family: Path, tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"clean.{suffix}"
    assert main(["denoise", str(photo), "--model", str(family), "-o", str(output), "-q"]) == 0
    magic = {"jpg": b"\xff\xd8", "png": b"\x89PNG", "tif": b"II", "dng": b"II"}[suffix]
    assert output.read_bytes().startswith(magic)
    assert contents(tmp_path) == {"photo.dng", output.name}


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system that takes any bytes as a name")
@pytest.mark.parametrize("missing", ["stderr", "home"])
def test_programs_without_a_console_or_a_home(photo: Path, family: Path, tmp_path: Path, missing: str) -> None:
    """As cron, containers and desktops start them."""
    without = {
        "stderr": "import sys; sys.stderr = None",
        "home": "import os, pwd; del os.environ['HOME']; pwd.getpwuid = lambda _: {}['nobody']",
    }
    start = f"{without[missing]}; from rawkd.cli import main; raise SystemExit(main())"
    command = [sys.executable, "-c", start, "denoise", str(photo), "--model", str(family)]
    poor = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    done = subprocess.run(command, capture_output=True, check=False, cwd=ROOT, timeout=60, env=poor)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "photo-denoised.dng").is_file()


def test_a_name_cannot_draw_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["denoise", str(tmp_path / "a\x1b[2J\nerror: b.dng")]) == 3
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "a\\x1b[2J\\nerror: b.dng" in printed


@pytest.mark.parametrize("name", ["bad  x.dng", "bad\n x.dng", "bad\tx.dng", " bad.dng", "bad.dng"])
@pytest.mark.parametrize("kind", [errors.InputError, ValueError])
def test_a_name_with_white_space_is_told_once_and_as_it_is(name: str, kind: type[Exception]) -> None:
    sentence = errors.sentence_of(kind(f"{name}: it is\n  damaged."), name)
    assert sentence.count(name) == 1
    assert sentence.count("bad") == 1
    assert "it is damaged." in sentence
    assert errors.sentence_of(kind("it  is damaged."), name).startswith(f"{name}: ")
    if kind is errors.InputError:
        assert sentence == f"{name}: it is damaged."
        collapsed = " ".join(name.split())
        assert errors.sentence_of(kind(f"{collapsed}: damaged."), name) == f"{collapsed}: damaged."


def test_a_call_with_all_photos_of_a_folder_can_be_repeated(
    tmp_path: Path, family: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`rawkd denoise *.dng` finds its own outputs the second time: they are left out, not refused or denoised."""
    first, second = tmp_path / "a.dng", tmp_path / "b.dng"
    for photo in (first, second):
        write_dng(photo, noisy_photo(48, 48), preview=None, software="a camera")
    options = ["--model", str(family)]
    assert main(["denoise", str(first), *options]) == 0
    written = tmp_path / "a-denoised.dng"
    before = written.read_bytes()
    capsys.readouterr()
    everything = [str(path) for path in sorted(tmp_path.glob("*.dng"))]
    assert main(["denoise", *everything, *options]) == 1  # a exists
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(tmp_path / "b-denoised.dng")]
    assert f"{written}: left out, because it is the output of another of these photos" in printed.err
    assert "1 of 2 photos failed" in printed.err
    assert written.read_bytes() == before
    everything = [str(path) for path in sorted(tmp_path.glob("*.dng"))]
    assert main(["denoise", *everything, *options, "--overwrite"]) == 0
    assert sorted(path.name for path in tmp_path.glob("*.dng")) == [
        "a-denoised.dng",
        "a.dng",
        "b-denoised.dng",
        "b.dng",
    ]


def test_a_photo_that_is_named_twice_is_denoised_once(
    photo: Path, tmp_path: Path, family: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    spellings = ["photo.dng", "photo.dng", str(photo), f"../{tmp_path.name}/photo.dng"]
    assert main(["denoise", *spellings, "-o", "out/", "--model", str(family)]) == 0
    printed = capfd.readouterr()
    assert printed.out.splitlines() == ["out/photo-denoised.dng"]
    assert "left out" not in printed.err
    assert main(["denoise", *spellings, "-o", "one.jpg", "--model", str(family)]) == 0
    shutil.copy(photo, "other.dng")
    capfd.readouterr()
    twice = ["photo.dng", "other.dng", "photo.dng", "-o", "out/", "--model", str(family), "--overwrite"]
    assert main(["denoise", *twice]) == 0
    assert capfd.readouterr().out.splitlines() == ["out/photo-denoised.dng", "out/other-denoised.dng"]


def test_a_photo_with_the_name_of_an_output_is_never_left_out(
    tmp_path: Path, family: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """rawkd did not write it."""
    photos = [tmp_path / "a.dng", tmp_path / "a-denoised.dng"]
    for photo in photos:
        write_dng(photo, noisy_photo(48, 48), preview=None, software="a camera")
    before = photos[1].read_bytes()
    assert main(["denoise", *map(str, photos), "--model", str(family), "--overwrite"]) == 6
    assert "this is one of the photos. rawkd never overwrites a photo" in capsys.readouterr().err
    assert photos[1].read_bytes() == before


def test_a_missing_file_without_a_name_is_no_deleted_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """A connection to a socket that is not there raises it too."""
    assert Console().fail(FileNotFoundError(2, "No such file or directory"), Path("a.dng")) == 1
    printed = capsys.readouterr().err
    assert "a.dng: unexpected error" in printed
    assert "folder" not in printed


def test_advice_that_was_followed_is_left_out() -> None:
    """An error that crossed a process still knows its advice."""
    error = errors.ModelError("it fails", "install it", "use --device cpu")
    assert str(error) == "it fails: install it, or use --device cpu"
    for same in (error, pickle.loads(pickle.dumps(error)), copy(error)):  # noqa: S301 (our own bytes)
        assert isinstance(same, errors.ModelError)
        assert str(same) == str(error)
        assert same.without("use --device cpu") == "it fails: install it"
        assert same.without(*error.advice) == same.reason == "it fails"
    assert str(errors.ModelError("it fails. Install it.")) == "it fails. Install it."


def test_a_loop_of_links_is_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.dng").symlink_to(tmp_path / "b.dng")
    (tmp_path / "b.dng").symlink_to(tmp_path / "a.dng")
    assert main(["denoise", str(tmp_path / "a.dng")]) == 3
    assert "there is no such file" in capsys.readouterr().err


def test_names_that_are_no_text(photo: Path, family: Path, tmp_path: Path) -> None:
    odd = photo.rename(tmp_path / os.fsdecode(b"odd \xff\n name.dng"))
    command = [sys.executable, "-m", "rawkd", "denoise", str(odd), "--model", str(family)]
    done = subprocess.run(command, capture_output=True, check=False, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == os.fsencode(tmp_path / os.fsdecode(b"odd \xff\n name-denoised.dng")) + b"\n"
    assert Path(os.fsdecode(done.stdout[:-1])).is_file()
    command[3:5] = ["inspect", str(odd)]
    done = subprocess.run(command, capture_output=True, check=False, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    assert os.fsencode(odd) in done.stdout


def test_a_folder_is_created_when_it_is_named_as_one(photo: Path, family: Path, tmp_path: Path) -> None:
    command = ["denoise", str(photo), "--model", str(family), "-q"]
    assert main([*command, "-o", f"{tmp_path}/clean/"]) == 0
    assert contents(tmp_path / "clean") == {"photo-denoised.dng"}
    assert main([*command, "-o", f"{tmp_path}/new/folder/"]) == 0
    assert contents(tmp_path / "new" / "folder") == {"photo-denoised.dng"}
    assert main([*command, "-o", f"{tmp_path}/none/a.dng"]) == 6


def test_inspect(photo: Path, family: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(photo), "--model", str(family), "--json"]) == 0
    record = json.loads(capfd.readouterr().out)
    assert record["cfa"] == "GBRG"
    assert record["student"] == "tiny-high"
    assert record["noise"]["source"]
    assert main(["inspect", str(photo), "--model", str(family)]) == 0
    assert "tiny-high" in capfd.readouterr().out


def test_models(family: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--model", str(family)]) == 0
    title, *rows = capfd.readouterr().out.splitlines()
    assert [row.split()[:3] for row in rows] == [["-", "bayer", "tiny-low"], ["-", "bayer", "tiny-high"]]
    ends = [title.index(name) + len(name) for name in ("gain or sigma", "params", "GMAC/MP", "(noisy)")]
    for row in rows:  # numbers end where the title of their column ends
        assert all(row[end - 1] != " " and row[end : end + 1] in ("", " ") for end in ends), row
    assert "ISO 80-4000" in rows[0]  # gains 1e-5 to 5e-4 over 1.2e-5, which a full frame has at ISO 100
    assert "1e-05 .. 0.0005" in rows[0]
    card = family / "tiny-low" / "card.json"
    files = [{"file": f"{number}.jpg", "licence": "CC0"} for number in range(3)] + [
        {"file": "a.jpg", "use": "held out"}
    ]
    card.write_text(json.dumps(json.loads(card.read_text()) | {"data": files, "recipe": {"name": "small", "steps": 9}}))
    assert main(["models", "--model", str(family), "--verbose"]) == 0
    printed = capfd.readouterr().out
    assert "Apache-2.0" in printed
    assert "data     4 files (--json lists them): 3 CC0; 1 held out\n" in printed
    assert "recipe   small, made " in printed
    assert '["generated"]' in printed  # a card without a list of files
    assert main(["models", "--model", str(family), "--json"]) == 0
    assert [json.loads(line)["name"] for line in capfd.readouterr().out.splitlines()] == ["tiny-low", "tiny-high"]


@pytest.mark.parametrize("name", ["dng", "DNG", "tif", "tiff", "png", "jpg", "JPG", "jpeg"])
def test_every_spelling_of_a_format(photo: Path, family: Path, tmp_path: Path, name: str) -> None:
    assert main(["denoise", str(photo), "--model", str(family), "--format", name, "-q"]) == 0
    suffix = {"dng": "dng", "tif": "tif", "tiff": "tif", "png": "png", "jpg": "jpg", "jpeg": "jpg"}[name.lower()]
    assert contents(tmp_path) == {"photo.dng", f"photo-denoised.{suffix}"}
    place = str(tmp_path / "out")
    assert main(["batch", str(photo), "-o", place, "--format", name, "--dry-run", "-q"]) == 0


def test_a_folder_points_to_batch(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shoot").mkdir()
    assert main(["denoise", str(tmp_path / "shoot")]) == 3
    printed = capfd.readouterr()
    assert printed.err == f"error: {tmp_path}/shoot: this is a folder. Run: rawkd batch {tmp_path}/shoot\n"
    assert printed.out == ""


@pytest.mark.skipif(sys.platform != "linux", reason="drops capabilities as Linux has them")
@pytest.mark.parametrize("command", ["denoise", "inspect", "compare", "batch", "calibrate"])
def test_a_file_that_may_not_be_read(command: str, photo: Path, tmp_path: Path) -> None:
    photo.chmod(0)
    words = {"denoise": ["-o", f"{tmp_path}/a.dng"], "batch": ["-o", f"{tmp_path}/a"], "calibrate": [str(photo)]}
    done = without_root([command, str(photo), *words.get(command, [])])
    assert done.returncode == (1 if command == "batch" else 3), done.stderr
    assert photo.name in done.stderr
    assert "ermission" in done.stderr
    assert "unexpected" not in done.stderr
    assert "Usage:" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="drops capabilities as Linux has them")
def test_a_file_in_a_folder_that_may_not_be_entered(photo: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    hidden = photo.rename(locked / "photo.dng")
    locked.chmod(0)
    try:
        there, out = str(hidden), f"{tmp_path}/a.dng"
        for command in (["inspect", there], ["denoise", there, "-o", out], ["batch", there, "-o", f"{tmp_path}/a"]):
            done = without_root(command)
            assert done.returncode == (1 if "batch" in command else 3), done.stderr
            assert "Permission denied" in done.stderr
    finally:
        locked.chmod(0o755)


@pytest.mark.parametrize("name", ["a" * 300 + ".dng", "ä" * 130 + ".dng"])
def test_an_output_name_beyond_255_bytes(
    name: str, photo: Path, family: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for output in (tmp_path / name, tmp_path / name / "photo.dng"):
        assert main(["denoise", str(photo), "--model", str(family), "-o", str(output)]) == 6
        err = capfd.readouterr().err
        assert "too long" in err
        assert "unexpected" not in err
    long_stem = photo.rename(tmp_path / ("b" * 245 + ".dng"))  # 249 bytes: the default name of the output has 258
    assert main(["denoise", str(long_stem), "--model", str(family)]) == 6
    assert main(["batch", str(long_stem), "--model", str(family), "--json"]) == 1
    assert failure_of(capfd.readouterr().out)["exit_code"] == 6
    assert main(["compare", str(long_stem), "-o", str(tmp_path / f"{name}.html")]) == 6
    assert contents(tmp_path) <= {long_stem.name, ".rawkd"}


def failure_of(line: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(line)
    return record


def test_json_of_a_photo_that_failed(
    photo: Path, family: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.dng"
    bad.write_bytes(b"no photo")
    words = ["--model", str(family), "--json"]
    for command in (["denoise"], ["inspect"], ["batch", "-q", "-o", str(tmp_path / "out")]):
        assert main([*command, str(bad), str(photo), *words]) == 1
        printed = capfd.readouterr()
        records = sorted(map(failure_of, printed.out.splitlines()), key=lambda record: str(record["input"]))
        assert [record["input"] for record in records] == [str(bad), str(photo)]
        failed, done = records
        assert failed["exit_code"] == 3
        assert failed["error"]["kind"] == "InputError"
        assert failed["error"]["sentence"].startswith(f"{bad}: this is a text")
        assert not done.get("error")
        assert "exit_code" not in done
    assert main(["inspect", str(bad), *words]) == 3
    assert failure_of(capfd.readouterr().out)["exit_code"] == 3


@pytest.mark.parametrize(("error", "code"), FAILURES, ids=[type(error).__name__ for error, _ in FAILURES])
def test_the_exit_code_of_an_error_known_by_name(error: Exception, code: int) -> None:
    assert exit_code_of_kind(type(error).__name__) == code
    assert exit_code_of_kind("NoSuchError") == 1


def test_inspect_takes_several_photos(
    photo: Path, family: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.dng"
    other.write_bytes(photo.read_bytes())
    assert main(["inspect", str(photo), str(other), "--model", str(family)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line for line in lines if line in (str(photo), str(other))] == [str(photo), str(other)]
    assert main(["inspect", str(photo), str(other), "--model", str(family), "--json"]) == 0
    records = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [record["input"] for record in records] == [str(photo), str(other)]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("columns", "has_gains"), [(80, False), (120, True)])
def test_the_table_of_the_shipped_models_fits_a_terminal(columns: int, has_gains: bool) -> None:
    import pty

    first, second = pty.openpty()
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "xterm"}
    command = [sys.executable, "-m", "rawkd", "models"]
    subprocess.run(command, stdout=second, check=True, cwd=ROOT, timeout=60, env=environment)
    os.close(second)
    text = re.sub(r"\x1b\[[0-9;]*m", "", os.read(first, 1 << 16).decode())
    os.close(first)
    assert ("gain or sigma" in text) is has_gains
    assert "…" not in text
    assert "teacher-fanet" in text
    assert max(map(len, text.splitlines())) <= columns


def test_shell_completion_offers_commands_and_options() -> None:
    def offered(*words: str) -> set[str]:
        environment = {
            "_RAWKD_COMPLETE": "zsh_complete",
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
        }
        command = [sys.executable, "-c", "from rawkd.cli import main; main([])"]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=60, env=os.environ | environment
        )
        return set(done.stdout.split())

    assert {"denoise", "inspect", "models"} <= offered("rawkd", "")
    assert "--strength" in offered("rawkd", "denoise", "--str")


ENDS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if sys.platform != "win32" else [])]
"""Signals of Ctrl-C, of a system that shuts down, and of a lost terminal."""


@pytest.mark.parametrize("number", ENDS)
def test_an_interrupted_run_leaves_nothing(photo: Path, family: Path, tmp_path: Path, number: int) -> None:
    script = (
        "import os, signal, sys, rawkd.process as process\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background inherits none\n"
        "def interrupted(path, *rest, **named):\n"
        "    from rawkd.files.write.atomic import atomic_output\n"
        "    with atomic_output(path, False) as temporary:\n"
        "        temporary.write_bytes(b'half')\n"
        f"        os.kill(os.getpid(), {int(number)})\n"
        "        while True: pass\n"
        "process.write_dng = interrupted\n"
        "from rawkd.cli import main\n"
        f"sys.exit(main(['denoise', {str(photo)!r}, '--model', {str(family)!r}]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
    )
    assert done.returncode == 130, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert contents(tmp_path) == {"photo.dng"}


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGHUP")
def test_nohup_still_works(tmp_path: Path) -> None:
    script = (
        "import os, signal\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does\n"
        "import rawkd.cli.app as app\n"
        "invoke = app.app.invoke\n"
        "app.app.invoke = lambda context: (os.kill(os.getpid(), signal.SIGHUP), invoke(context))[1]\n"
        "raise SystemExit(app.main(['models']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_a_cpu_denoise_never_loads_torch(photo: Path, family: Path) -> None:
    script = (
        "import sys\nfrom rawkd.cli import main\n"
        f"code = main(['denoise', {str(photo)!r}, '--model', {str(family)!r}, '--device', 'cpu', '-q'])\n"
        "assert 'openvino' in sys.modules\n"
        "assert not {'torch', 'colour_demosaicing', 'rich'} & set(sys.modules)\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
