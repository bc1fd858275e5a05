"""The Python API: names and signatures are frozen, files equal the command line's, and cancelling leaves nothing."""

from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from small_photos import clean_signal, noisy_photo

import rawkd
from rawkd import errors
from rawkd.errors import CancelledError, OutputError
from rawkd.files.read.identify import identify
from rawkd.photo import CFAPattern, Mosaic

FRAME = np.random.default_rng(0).integers(90, 900, (30, 40), np.uint16)
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
    classes = {name: value for name, value in classes.items() if issubclass(value, errors.RawkdError)}
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


def test_only_what_was_denoised_is_an_output(photo_path: Path, tmp_path: Path) -> None:
    """A photo that a program wrote as it is can be denoised, also by `rawkd batch`, which leaves out outputs."""
    assert not identify(photo_path).is_own_output
    assert not [text for text in rawkd.read_raw(photo_path).warnings if "again" in text]
    rawkd.write_dng(tmp_path / "done.dng", rawkd.denoise(rawkd.read_raw(photo_path)))
    assert identify(tmp_path / "done.dng").is_own_output


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


CELLS = ["RGGB", "gbrg", "xtrans", "mono"]


def noisy_frame(pattern: CFAPattern, black: np.ndarray, white: int) -> tuple[np.ndarray, np.ndarray]:
    """(96, 132) uint16 of noise with gain 2e-3 around slow waves, and the waves."""
    rng, light = np.random.default_rng(0), clean_signal(96, 132).astype(np.float64)
    noisy = 2e-3 * rng.poisson(light / 2e-3) + rng.normal(0, 3e-3, light.shape)
    tiled = np.tile(black, (96 // black.shape[0], 132 // black.shape[1]))
    return np.rint(tiled + noisy * (white - black.mean())).clip(0, white).astype(np.uint16), light


@pytest.mark.parametrize("cfa", CELLS)
def test_an_array_is_denoised(cfa: str, tmp_path: Path) -> None:
    """Each pixel of the cell has its own black level; a wrong one would leave a lattice of 4 DN, 0.004 of signal."""
    pattern = {"xtrans": CFAPattern.XTRANS, "mono": CFAPattern.MONO}.get(cfa) or CFAPattern(cfa.upper())
    black = 64 + 4.0 * np.arange(pattern.side**2).reshape(pattern.side, -1) % 12
    frame, light = noisy_frame(pattern, black, 1023)
    before = frame.copy()
    photo = rawkd.photo_of(frame, black=black.ravel().tolist(), white=1023, cfa=cfa, make="Lab", model="One")
    assert (photo.pattern, photo.levels.bits) == (pattern, 10)
    assert bool(photo.warnings) == (cfa != "mono")
    result = rawkd.denoise(photo, rawkd.DenoiseOptions(noise=(2e-3, 9e-6), device="cpu"))
    assert np.abs(photo.mosaic.data - light).mean() > 3 * np.abs(result.mosaic.data - light).mean()
    np.testing.assert_array_equal(frame, before)
    rawkd.write_dng(tmp_path / "a.dng", photo)
    again = rawkd.read_raw(tmp_path / "a.dng")
    np.testing.assert_array_equal(again.mosaic.data, photo.mosaic.data)
    assert (again.pattern, again.capture.make, again.capture.model) == (pattern, "Lab", "One")


@pytest.mark.parametrize("exposure_s", [1 / 3, 2e-6, 0.0123456789, None])
@pytest.mark.parametrize("iso", [1, 200.0, np.int64(102400)])
def test_iso_and_exposure_time_of_an_array_are_written(iso: float, exposure_s: float | None, tmp_path: Path) -> None:
    frame = np.random.default_rng(0).integers(90, 900, (60, 60), np.uint16)
    photo = rawkd.photo_of(frame, black=64, white=1023, iso=iso, exposure_s=exposure_s)
    rawkd.write_dng(tmp_path / "a.dng", photo)
    capture = rawkd.read_raw(tmp_path / "a.dng").capture
    assert capture.iso == iso
    assert capture.exposure_s == (None if exposure_s is None else pytest.approx(exposure_s, rel=1e-6))


@pytest.mark.parametrize("cfa", CELLS)
@pytest.mark.parametrize("classes", [(2e-3, 9e-6), ([1e-3, 2e-3, 4e-3], [1e-6, 9e-6, 4e-6])])
def test_known_noise_is_used(cfa: str, classes: tuple[Any, Any], photo_path: Path, tmp_path: Path) -> None:
    photo = rawkd.photo_of(noisy_frame(CFAPattern.RGGB, np.full((2, 2), 64), 1023)[0], black=64, white=1023, cfa=cfa)
    noise = rawkd.NoiseModel(*map(np.array, classes))
    first = rawkd.denoise(photo, noise=noise)
    assert first.noise.pairs == noise.for_cfa(photo.pattern).pairs
    assert (first.noise.source, first.noise.confidence) == ("given", 1.0)
    second = rawkd.denoise(photo, rawkd.DenoiseOptions(noise_source="iso"), noise=first.noise)
    np.testing.assert_array_equal(first.mosaic.data, second.mosaic.data)
    report = rawkd.denoise_file(photo_path, tmp_path / "a.dng", noise=first.noise)
    assert report.noise.green_gain == first.noise.green_gain


def test_known_noise_that_contradicts_is_refused(photo_path: Path, tmp_path: Path) -> None:
    photo, noise = rawkd.read_raw(photo_path), rawkd.NoiseModel(np.array(1e-3), np.array(1e-6))
    options, wrong = rawkd.DenoiseOptions(noise=(1e-3, 1e-6)), rawkd.NoiseModel(np.array(1.0), np.array(1e-6))
    with pytest.raises(errors.UsageError, match="the options state it too"):
        rawkd.denoise(photo, options, noise=noise)
    with pytest.raises(errors.UsageError, match="the options state it too"):
        rawkd.denoise_file(photo_path, tmp_path / "a.dng", rawkd.ProcessOptions(denoise=options), noise=noise)
    for one in ((1e-3, 1e-6), wrong, rawkd.denoise(photo, rawkd.DenoiseOptions(strength=0)).noise.gain):
        with pytest.raises(errors.UsageError, match="give a NoiseModel of known noise"):
            rawkd.denoise(photo, noise=one)  # type: ignore[arg-type]
    with pytest.raises(errors.UsageError, match=r"a NoiseModel to rawkd\.denoise"):
        rawkd.DenoiseOptions(noise=noise)  # type: ignore[arg-type]


def test_colours_of_an_array_are_stated_or_told_unknown() -> None:
    frame = np.full((30, 30), 300, np.uint16)
    matrix, neutral = np.diag([0.9, 1.1, 0.7]), [0.5, 1.0, 0.6]
    known = rawkd.photo_of(frame, black=64, white=1023, iso=200, camera_from_xyz=matrix, neutral=neutral)
    assert known.warnings == ()
    assert known.capture.iso == 200
    np.testing.assert_array_equal(known.color.camera_from_xyz, matrix)
    np.testing.assert_array_equal(known.color.as_shot_neutral, neutral)
    unknown = rawkd.photo_of(frame, black=64, white=1023)
    matrix_told, balance_told = unknown.warnings
    assert "so rawkd treats its colours as sRGB. If they look wrong, choose" in matrix_told
    assert balance_told == "no white balance is known. Daylight is used instead."
    np.testing.assert_allclose(unknown.color.as_shot_neutral, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cfa": "RGBG"}, "cfa 'RGBG': give RGGB, BGGR, GRBG, GBRG, xtrans or mono."),
        ({"black": [64, 65]}, r"black \[64, 65\]: give one number, or 4, one for each pixel of the cell\."),
        ({"black": 2000}, "the white level 1023 is not between black 2000 and 65535"),
        ({"white": float("nan")}, "white nan: give finite numbers"),
        ({"white": float("inf")}, r"white inf: give finite numbers of shape \(\)\."),
        ({"white": "a"}, r"white 'a': give numbers\."),
        ({"black": [[1, 2], [3]]}, r"black .*: give numbers\."),
        ({"cfa": None}, "cfa None: give RGGB"),
        ({"camera_from_xyz": np.eye(2)}, r"of shape \(3, 3\)\."),
        ({"camera_from_xyz": "x"}, r"camera_from_xyz 'x': give numbers\."),
        ({"iso": 2.5}, r"iso 2\.5: give a whole number from 1 to 4294967295, as EXIF does, or None"),
        ({"iso": 0.5}, r"iso 0\.5: give a whole number"),
        ({"iso": 0}, "iso 0: give a whole number"),
        ({"iso": 2**32}, "iso 4294967296: give a whole number"),
        ({"iso": float("nan")}, "iso nan: give a whole number"),
        ({"iso": "100"}, "iso '100': give a whole number"),
        ({"exposure_s": 0}, r"exposure_s 0: give seconds between 0\.000001 and 1000000, or None"),
        ({"exposure_s": float("inf")}, "exposure_s inf: give seconds"),
        ({"exposure_s": "1/3"}, "exposure_s '1/3': give seconds"),
        ({"neutral": (0, 1, 1)}, "the as-shot neutral .* must be three positive numbers"),
        ({"frame": FRAME.tolist()}, r"a raw frame must be a \(H, W\) uint16 array, not a list\. Pass an array"),
        ({"frame": FRAME[None]}, r"not one of shape \(1, 30, 40\)\. Pass one value for each pixel\."),
        ({"frame": FRAME.astype(np.float32)}, r"not float32 \(30, 40\)\. Pass np\.rint\(scale \* x \+ black\)\.astype"),
        (
            {"frame": FRAME.astype(np.int32)},
            r"not int32 .* astype alone would cut off fractions and wrap numbers below 0",
        ),
        ({"frame": FRAME.astype(np.uint8)}, r"not uint8 .* Pass x\.astype\(np\.uint16\), which keeps every number\."),
        (
            {"frame": FRAME.astype(">u2")},
            r"not >u2 .* Pass x\.astype\(np\.uint16\), .* changes the order of its bytes only",
        ),
        ({"frame": FRAME[:0]}, "a rectangle of 40 x 0 pixels"),
    ],
)
def test_what_is_no_frame_is_refused_with_advice(change: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.InputError, match=message):
        rawkd.photo_of(**({"frame": FRAME, "black": 64, "white": 1023} | change))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (np.zeros((6, 8), np.float32, order="F"), "Fortran-ordered float32"),
        (np.zeros((6, 16), np.float32)[:, ::2], "strided float32"),
        (np.zeros((6, 8)), "float64"),
    ],
)
def test_a_mosaic_of_another_order_or_type_is_refused_with_advice(data: np.ndarray, kind: str) -> None:
    told = f"not {kind} (6, 8). Pass np.ascontiguousarray(x, np.float32), signal that is 0 at black and 1 at white."
    with pytest.raises(errors.InputError, match=re.escape(told)):
        Mosaic(data, CFAPattern.RGGB)
    Mosaic(np.ascontiguousarray(data, np.float32), CFAPattern.RGGB)


@pytest.mark.parametrize("frame", [FRAME.astype(">u2"), FRAME.astype(np.uint8), FRAME / 1023 - 0.1])
def test_the_advice_for_another_array_makes_the_right_frame(frame: np.ndarray) -> None:
    with pytest.raises(errors.InputError) as caught:
        rawkd.photo_of(frame, black=64, white=1023)
    code = re.search(r"Pass (.*?astype\(np\.uint16\))", str(caught.value))
    assert code is not None
    made = eval(code[1], {"np": np, "x": frame, "scale": 900.0, "black": 123.0})  # noqa: S307 -- our own advice
    photo = rawkd.photo_of(made, black=0, white=65535)
    expected = frame * 900.0 + 123 if frame.dtype.kind == "f" else frame
    assert np.abs(photo.frame - expected).max() <= 0.5


@pytest.mark.parametrize("size", [(3, 5), (21, 40), (22, 22)])
def test_a_dng_that_nobody_reads_is_not_written(size: tuple[int, int], tmp_path: Path) -> None:
    photo = rawkd.photo_of(np.random.default_rng(0).integers(90, 900, size, np.uint16), black=64, white=1023)
    if min(size) >= 22:
        assert rawkd.write_dng(tmp_path / "a.dng", photo) == ()
        assert (rawkd.read_raw(tmp_path / "a.dng").frame == photo.frame).all()
        return
    what = f"a picture of {size[1]} x {size[0]} pixels is smaller than the 22 that LibRaw requires"
    with pytest.raises(OutputError, match=what):
        rawkd.write_dng(tmp_path / "a.dng", photo)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    ("levels", "told"),
    [
        ({"black": -5}, "a black level of -5. Add a number to all pixels"),
        ({"black": [64, 60, -0.5, 64]}, "a black level of -0.5"),
        ({"white": 1000.5}, "a white level of 1000.5. Give a whole number"),
        ({"black": 63.75, "white": 1000}, None),
    ],
)
def test_levels_that_a_dng_cannot_hold_are_refused_before_it_is_written(
    levels: dict[str, Any], told: str | None, tmp_path: Path
) -> None:
    photo = rawkd.photo_of(FRAME, **({"black": 64, "white": 1023} | levels))
    if told is None:
        rawkd.write_dng(tmp_path / "a.dng", photo, preview=False)
        np.testing.assert_array_equal(rawkd.read_raw(tmp_path / "a.dng").mosaic.data, photo.mosaic.data)
        return
    with pytest.raises(OutputError, match=re.escape(told)):
        rawkd.write_dng(tmp_path / "a.dng", photo, preview=False)
    assert files_in(tmp_path) == []


def test_a_white_level_that_is_too_low_is_a_warning() -> None:
    frame = np.full((100, 200), 300, np.uint16)
    frame[:2, 0] = 1000  # two hot pixels of 20,000
    quiet = rawkd.photo_of(frame, black=64, white=600, cfa="mono")
    assert quiet.warnings == ()
    frame = frame.copy()
    frame[:43] = 1000
    photo = rawkd.photo_of(frame, black=64, white=600, cfa="mono")
    told = "43 % of the pixels lie above the white level 600 and stay as they are. Give the number at which pixels clip"
    assert photo.warnings == (f"{told} as white.",)
    assert told in rawkd.denoise(photo, rawkd.DenoiseOptions(strength=0, noise=(1e-3, 1e-6))).warnings[0]
    assert rawkd.photo_of(frame, black=64, white=1000, cfa="mono").warnings == ()


PHOTO = rawkd.photo_of(FRAME, black=64, white=1023)
FILES: Any = ("missing.dng", "out.dng")
OTHER_TYPES: dict[str, Callable[[], object]] = {
    "photo must be of type RawPhoto, not ndarray. Pass what": lambda: rawkd.denoise(FRAME),
    "photo must be of type RawPhoto, not Restoration": lambda: rawkd.denoise(_restoration()),
    "photo must be of type RawPhoto or Restoration, not ndarray": lambda: rawkd.write_dng("a.dng", FRAME),
    "mosaic must be of type Mosaic, not ndarray": lambda: PHOTO.with_mosaic(FRAME),
    "pattern must be of type CFAPattern, not str": lambda: Mosaic(FRAME.astype(np.float32), "RGGB"),
    "options must be of type ProcessOptions, not DenoiseOptions": lambda: rawkd.denoise_file(
        *FILES, rawkd.DenoiseOptions()
    ),
    "denoise must be of type DenoiseOptions, not dict": lambda: rawkd.denoise_file(
        *FILES, rawkd.ProcessOptions(denoise={})
    ),
    "crop must be of type Rect, not tuple": lambda: rawkd.denoise_file(*FILES, rawkd.ProcessOptions(crop=(0, 0, 9, 9))),
    "jpeg_quality must be of type Integral, not str": lambda: rawkd.denoise_file(
        *FILES, rawkd.ProcessOptions(jpeg_quality="9")
    ),
    "exposure_ev must be of type Real, not str": lambda: rawkd.denoise_file(
        *FILES, rawkd.ProcessOptions(exposure_ev="1")
    ),
    "jpeg_quality must be of type Integral, not bool": lambda: rawkd.denoise_file(
        *FILES, rawkd.ProcessOptions(jpeg_quality=True)
    ),
    "exposure_ev must be of type Real, not bool": lambda: rawkd.denoise_file(
        *FILES, rawkd.ProcessOptions(exposure_ev=True)
    ),
    "options must be of type DenoiseOptions, not ProcessOptions": lambda: rawkd.denoise(PHOTO, rawkd.ProcessOptions()),
    "context must be of type Context, not int": lambda: rawkd.denoise(PHOTO, context=5),
    "progress 5: give a function": lambda: rawkd.denoise(PHOTO, progress=5),
    "cancel False: give a threading.Event or a function": lambda: rawkd.denoise(PHOTO, cancel=False),
    "path must be of type str or PathLike, not int": lambda: rawkd.read_raw(5),
    "path must be of type str or PathLike, not bytes": lambda: rawkd.write_dng(b"a.dng", PHOTO),
    "output must be of type str or PathLike, not NoneType": lambda: rawkd.denoise_file("a.dng", None),
    "timeout_s must be of type Real, not str": lambda: rawkd.read_raw("a.dng", timeout_s="5"),
    "timeout_s must be of type Real, not bool": lambda: rawkd.read_raw("a.dng", timeout_s=True),
    "software must be of type str, not int": lambda: rawkd.write_dng("a.dng", PHOTO, software=5),
    "make must be of type str, not int": lambda: rawkd.photo_of(FRAME, black=64, white=1023, make=5),
    "model must be of type str, not NoneType": lambda: rawkd.photo_of(FRAME, black=64, white=1023, model=None),
    "noise_source 'foo': give one of auto, calibration": lambda: rawkd.DenoiseOptions(noise_source="foo"),
    "device None: give one of auto, cpu": lambda: rawkd.DenoiseOptions(device=None),
    "model must be of type str or PathLike, not int": lambda: rawkd.DenoiseOptions(model=5),
    "calibration must be of type str or PathLike, not int": lambda: rawkd.DenoiseOptions(calibration=5),
    "precision must be of type str, not int": lambda: rawkd.DenoiseOptions(precision=5),
    "rows must be of type bool, not str": lambda: rawkd.DenoiseOptions(rows="no"),
}


def _restoration() -> rawkd.Restoration:
    return rawkd.denoise(PHOTO, rawkd.DenoiseOptions(strength=0, noise=(1e-3, 1e-6)))


@pytest.mark.parametrize("told", OTHER_TYPES)
def test_an_argument_of_another_type_is_refused_with_a_sentence(told: str) -> None:
    with pytest.raises(errors.UsageError, match=re.escape(told)) as caught:
        OTHER_TYPES[told]()
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("name", ["overwrite", "strip_location", "strip_private", "linear"])
def test_a_switch_of_the_options_is_true_or_false(name: str, photo_path: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jpg"
    output.write_bytes(b"older")
    options: dict[str, Any] = {"overwrite": True, name: "no"}
    with pytest.raises(errors.UsageError, match=rf"^{name} must be of type bool, not str\. Give True or False\.$"):
        rawkd.denoise_file(photo_path, output, rawkd.ProcessOptions(**options))
    assert output.read_bytes() == b"older"
    rawkd.denoise_file(photo_path, output, rawkd.ProcessOptions(overwrite=np.True_))  # type: ignore[arg-type]
    assert output.read_bytes() != b"older"


@pytest.mark.parametrize("name", ["preview", "overwrite", "strip_location", "strip_private"])
def test_a_switch_of_write_dng_is_true_or_false(name: str, tmp_path: Path) -> None:
    switches: dict[str, Any] = {name: 1}
    with pytest.raises(errors.UsageError, match=rf"^{name} must be of type bool, not int\. Give True or False\.$"):
        rawkd.write_dng(tmp_path / "a.dng", PHOTO, **switches)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("seconds", [0, -1.0, float("inf"), float("nan"), 2 * threading.TIMEOUT_MAX, 2**70])
def test_a_time_limit_that_no_thread_can_wait_for_is_refused(
    seconds: float, photo_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.delattr("rawkd.files.read.raw.Decoder")
        with pytest.raises(errors.UsageError, match=rf"^timeout_s {seconds}: give seconds above 0 and up to \d+\.$"):
            rawkd.read_raw(photo_path, timeout_s=seconds)
    assert rawkd.read_raw(photo_path, timeout_s=threading.TIMEOUT_MAX).frame.size


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
