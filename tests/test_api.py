"""The Python API: names and signatures are frozen, files equal the command line's, and cancelling leaves nothing."""

from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import ROOT
from small_photos import noisy_photo

import rawkd
from rawkd import errors
from rawkd.errors import CancelledError, OutputError

SNAPSHOT = ROOT / "tests" / "snapshots" / "python_api.txt"


def parameters_of(name: str, function: object) -> list[str]:
    assert callable(function)
    signature = inspect.signature(function)
    lines = [f"{name}() -> {signature.return_annotation}"] if inspect.isfunction(function) else [f"{name}()"]
    for parameter in signature.parameters.values():
        default = parameter.default
        if default is parameter.empty:
            shown = ""
        elif default.__class__.__module__ == "builtins":
            shown = f" = {default!r}".replace(rawkd.__version__, "VERSION")
        else:
            shown = " = (made anew)"
        lines.append(f"    {parameter.kind.description}: {parameter.name}: {parameter.annotation}{shown}")
    return lines


def api() -> str:
    """Every public name: parameters of functions and options, attributes of results, error classes."""
    lines: list[str] = []
    for name in sorted(rawkd.__all__):
        value = getattr(rawkd, name)
        if inspect.isfunction(value) or name in ("DenoiseOptions", "ProcessOptions", "Context"):
            lines += parameters_of(f"rawkd.{name}", value)
        elif dataclasses.is_dataclass(value) and name != "RawPhoto":
            lines += [f"rawkd.{name}", *(f"    .{one.name}: {one.type}" for one in dataclasses.fields(value))]
        elif name in ("Cancel", "Progress"):
            lines.append(f"rawkd.{name} = {value}")
        else:
            lines.append(f"rawkd.{name}")
    classes = {name: value for name, value in vars(errors).items() if inspect.isclass(value)}
    lines += [f"rawkd.errors.{name}({value.__base__.__name__})" for name, value in sorted(classes.items())]
    return "\n".join(lines) + "\n"


def test_names_and_signatures_are_frozen() -> None:
    """A change of the snapshot is a change for programs. To write it anew: `python tests/test_api.py`."""
    assert api() == SNAPSHOT.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def photo_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "photo.dng"
    rawkd.write_dng(path, noisy_photo())
    return path


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_denoised_as_by_the_command_line(photo_path: Path, tmp_path: Path) -> None:
    from rawkd.cli import main

    seen: list[float] = []
    report = rawkd.denoise_file(str(photo_path), tmp_path / "api.dng", progress=seen.append)
    assert main(["denoise", "--quiet", "-o", str(tmp_path / "cli.dng"), str(photo_path)]) == 0
    assert (tmp_path / "api.dng").read_bytes() == (tmp_path / "cli.dng").read_bytes()
    assert (report.input, report.output) == (photo_path, tmp_path / "api.dng")
    assert report.student is not None
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)


@pytest.mark.parametrize("link", ["same", "symlink", "hard link"])
def test_a_photo_is_never_its_own_output(photo_path: Path, tmp_path: Path, link: str) -> None:
    photo = tmp_path / "photo.dng"
    photo.write_bytes(before := photo_path.read_bytes())
    output = photo if link == "same" else tmp_path / "other.dng"
    if link == "symlink":
        output.symlink_to(photo)
    elif link == "hard link":
        output.hardlink_to(photo)
    with pytest.raises(errors.OutputError, match="this is one of the photos"):
        rawkd.denoise_file(photo, output, rawkd.ProcessOptions(overwrite=True))
    assert photo.read_bytes() == before


@pytest.mark.parametrize("stops", [float("nan"), float("inf"), -10.5])
def test_an_impossible_exposure_writes_nothing(photo_path: Path, tmp_path: Path, stops: float) -> None:
    with pytest.raises(errors.UsageError, match="give a number between -10 and 10"):
        rawkd.denoise_file(photo_path, tmp_path / "out.jpg", rawkd.ProcessOptions(exposure_ev=stops))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["dng", "jpg"])
@pytest.mark.parametrize("at", range(4))
def test_a_cancelled_file_leaves_nothing(photo_path: Path, tmp_path: Path, suffix: str, at: int) -> None:
    """Cancelled at the start, after reading, after the tile, and before writing; an older output stays."""
    output = tmp_path / f"out.{suffix}"
    output.write_bytes(b"older")
    checks = 0

    def cancel() -> bool:
        nonlocal checks
        checks += 1
        return checks > at

    with pytest.raises(CancelledError, match="cancelled"):
        rawkd.denoise_file(photo_path, output, rawkd.ProcessOptions(overwrite=True), cancel=cancel)
    assert checks == at + 1
    assert output.read_bytes() == b"older"
    assert files_in(tmp_path) == [output.name]


def test_an_event_cancels_from_another_thread(photo_path: Path, tmp_path: Path) -> None:
    event, reached = threading.Event(), threading.Event()

    def progress(_part: float) -> None:
        reached.set()
        assert event.wait(60)

    def stop() -> None:
        assert reached.wait(60)
        event.set()

    other = threading.Thread(target=stop)
    other.start()
    with pytest.raises(CancelledError):
        rawkd.denoise_file(photo_path, tmp_path / "out.dng", progress=progress, cancel=event)
    other.join()
    assert files_in(tmp_path) == []


def test_an_event_that_is_not_set_cancels_nothing(photo_path: Path, tmp_path: Path) -> None:
    rawkd.denoise_file(photo_path, tmp_path / "out.jpg", cancel=threading.Event())
    assert files_in(tmp_path) == ["out.jpg"]


def test_an_error_of_the_callback_stops_the_work(photo_path: Path, tmp_path: Path) -> None:
    def progress(part: float) -> None:
        if part == 1:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rawkd.denoise_file(photo_path, tmp_path / "out.dng", progress=progress)
    assert files_in(tmp_path) == []


def test_a_photo_is_denoised_with_progress_and_cancel(photo_path: Path) -> None:
    photo, seen = rawkd.read_raw(photo_path), list[float]()
    rawkd.denoise(photo, progress=seen.append)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    event = threading.Event()
    event.set()
    with pytest.raises(CancelledError):
        rawkd.denoise(photo, cancel=event)


def test_a_written_restoration_states_what_was_done(photo_path: Path, tmp_path: Path) -> None:
    restoration = rawkd.denoise(rawkd.read_raw(photo_path))
    rawkd.write_dng(tmp_path / "api.dng", restoration)
    rawkd.write_dng(tmp_path / "photo.dng", restoration.photo)
    rawkd.denoise_file(photo_path, tmp_path / "file.dng")
    stated = {name: _history(tmp_path / name) for name in ("api.dng", "photo.dng", "file.dng")}
    assert stated["api.dng"] == stated["file.dng"] != []
    assert stated["photo.dng"] == []


def test_what_a_dng_does_not_keep_is_a_warning(tmp_path: Path) -> None:
    photo = dataclasses.replace(noisy_photo(), dropped=("maker notes", "opcode list 1"))
    assert rawkd.write_dng(tmp_path / "a.dng", photo, preview=False) == (
        "not copied to the DNG: maker notes, opcode list 1. Keep the original file.",
    )


def _history(path: Path) -> list[bytes]:
    return re.findall(rb"stEvt:parameters[^>]*", path.read_bytes())


def test_a_written_photo_is_read_again(photo_path: Path, tmp_path: Path) -> None:
    photo = rawkd.read_raw(photo_path)
    rawkd.write_dng(tmp_path / "copy.dng", photo, software="my program")
    again = rawkd.read_raw(tmp_path / "copy.dng")
    assert (again.frame == photo.frame).all()
    with pytest.raises(OutputError, match="exists"):
        rawkd.write_dng(tmp_path / "copy.dng", photo)
    rawkd.write_dng(tmp_path / "plain.dng", photo, preview=False)
    assert (tmp_path / "plain.dng").stat().st_size < (tmp_path / "copy.dng").stat().st_size


def test_programs_see_the_types(tmp_path: Path) -> None:
    """A type checker accepts right calls of the lazily loaded names and refuses wrong ones."""
    pytest.importorskip("mypy", reason="needs mypy")
    script = tmp_path / "program.py"
    script.write_text(
        "import threading\nimport rawkd\n"
        "options = rawkd.ProcessOptions(denoise=rawkd.DenoiseOptions(strength=0.5), overwrite=True)\n"
        "report: rawkd.Report = rawkd.denoise_file('a.nef', 'b.dng', options, cancel=threading.Event())\n"
        "seconds: float = report.seconds['total']\n"
        "photo: rawkd.RawPhoto = rawkd.read_raw('a.nef')\n"
        "rawkd.denoise(photo, cancel=lambda: True).photo.levels\n"
        "rawkd.denoise_file('a.nef', 'b.dng', progress=3)\n"
        "rawkd.write_dng('b.dng')\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"), str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=500)
    wrong = [line.split(":")[1] for line in done.stdout.splitlines() if "error:" in line]
    assert wrong == ["8", "9"], done.stdout + done.stderr


if __name__ == "__main__":
    SNAPSHOT.write_text(api(), encoding="utf-8")
