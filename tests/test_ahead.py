"""What is started ahead is what a photo needs, changes nothing, and fails in silence."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from small_photos import GAIN, READ_VARIANCE, noisy_photo
from tiny_models import even_blur, make_card, make_model

from rawkd import process
from rawkd.errors import ModelError, RawkdError
from rawkd.files.read import decode
from rawkd.files.read.decode import Decoder
from rawkd.files.write.dng import write_dng
from rawkd.inference.card import ModelCard
from rawkd.inference.cpu.openvino_engine import OpenVINOEngine
from rawkd.inference.engines import Engines
from rawkd.photo import BAYER_PHASES, Capture, CFAPattern, FloatArray, Mosaic
from rawkd.process import ProcessOptions, process_file
from rawkd.restore import ahead
from rawkd.restore.ahead import import_ahead, load_ahead
from rawkd.restore.context import Context
from rawkd.restore.mosaic import restore_mosaic, tile_shape
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import denoise, restore
from rawkd.sensor.noise import NoiseModel

NOISE = (GAIN, READ_VARIANCE)
ISO_OF_GAIN = GAIN / 5e-5 * 100
"""ISO at which the usual gain of a sensor of unknown size is GAIN (`sensor.iso_prior.UNKNOWN_GAIN`)."""
SIZE = (210, 262)
"""Rows and columns that need several tiles of 64 packed pixels, with odd halves."""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A family of two students, below and above half of GAIN."""
    for name, low, high in (("low", 1e-6, GAIN / 2), ("high", GAIN / 2, 1e-1)):
        make_model(tmp_path / "models" / name, even_blur, subrange=[low, high], tile=64, family="two")
    return tmp_path / "models"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, ...]]]:
    """Model and shape of all that is compiled."""
    found: list[tuple[str, tuple[int, ...]]] = []
    original = OpenVINOEngine._compile

    def noted(engine: OpenVINOEngine, shape: tuple[int, ...]) -> Any:
        found.append((engine._path.parent.name, shape))
        return original(engine, shape)

    monkeypatch.setattr(OpenVINOEngine, "_compile", noted)
    return found


def finished(thread: Thread | None) -> None:
    assert thread is not None
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize("pattern", BAYER_PHASES)
def test_what_is_compiled_ahead_is_what_runs(
    pattern: CFAPattern, models: Path, compiled: list[tuple[str, tuple[int, ...]]]
) -> None:
    photo = noisy_photo(*SIZE, pattern=pattern)
    options = DenoiseOptions(model=models, noise=NOISE, device="cpu")
    alone = denoise(photo, options)
    needed = compiled[-1]
    compiled.clear()
    context = Context()
    finished(load_ahead(photo, options, context))
    foreseen = list(compiled)
    assert foreseen[-1] == needed
    after = denoise(photo, options, context=context)
    assert compiled == foreseen, "the photo compiled something that was not foreseen"
    np.testing.assert_array_equal(after.photo.frame, alone.photo.frame)


class Watching:
    """An engine that returns what it gets, and notes its shape."""

    device, precision, streams, identity = "cpu", "f32", 1, "none"

    def __init__(self) -> None:
        self.shapes: set[tuple[int, ...]] = set()

    def run(self, planes: FloatArray) -> FloatArray:
        self.shapes.add(planes.shape)
        return planes


@pytest.mark.parametrize("pattern", [CFAPattern.XTRANS, CFAPattern.MONO, CFAPattern("GBRG")], ids=lambda cfa: cfa.kind)
@pytest.mark.parametrize("size", [(210, 262), (203, 301), (24, 20)])
@pytest.mark.parametrize("halo", [2, 20])
def test_tiles_of_every_sensor(pattern: CFAPattern, size: tuple[int, int], halo: int) -> None:
    card = make_card("own", 1e-6, 1e-1, cfa=pattern.kind, halo=halo)
    noise = NoiseModel(np.array(GAIN), np.array(READ_VARIANCE), "given").for_cfa(pattern)
    mosaic, engine = Mosaic(np.full(size, np.float32(0.3)), pattern), Watching()
    restore_mosaic(mosaic, noise, card, engine, DenoiseOptions(), floor=-0.03, saturation=1.0)
    assert engine.shapes == {tile_shape(size, pattern, card)}


@pytest.mark.parametrize(("iso", "expected"), [(ISO_OF_GAIN, {"high"}), (ISO_OF_GAIN / 20, {"low"}), (None, set())])
def test_the_iso_tells_the_student(
    iso: float | None, expected: set[str], models: Path, compiled: list[tuple[str, tuple[int, ...]]]
) -> None:
    photo = noisy_photo(*SIZE)
    photo = replace(photo, capture=Capture(iso=iso))
    thread = load_ahead(photo, DenoiseOptions(model=models, device="cpu"), Context())
    assert (thread is None) == (not expected)
    if thread is not None:
        finished(thread)
    assert {name for name, _ in compiled} == expected


def test_a_wrong_guess_changes_nothing(models: Path, compiled: list[tuple[str, tuple[int, ...]]]) -> None:
    options = DenoiseOptions(model=models, noise=NOISE, device="cpu")
    photo = replace(noisy_photo(*SIZE), capture=Capture(iso=ISO_OF_GAIN / 20))
    context = Context()
    finished(load_ahead(photo, replace(options, noise=None), context))
    assert {name for name, _ in compiled} == {"low"}
    after = denoise(photo, options, context=context)
    assert after.student == denoise(photo, options).student
    np.testing.assert_array_equal(after.photo.frame, denoise(photo, options).photo.frame)


def test_nothing_is_begun_while_the_photo_is_restored(
    models: Path, compiled: list[tuple[str, tuple[int, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiles of the right network would compete with a wrong one that is compiled."""
    options, photo, restoring = DenoiseOptions(model=models, noise=NOISE, device="cpu"), noisy_photo(*SIZE), Event()
    original, loads = Engines.load, []

    def load(engines: Engines, card: ModelCard, **options: Any) -> Any:
        loads.append(card.name)
        loaded = original(engines, card, **options)
        compiled.clear()  # of its self-test
        restoring.set()
        return loaded

    monkeypatch.setattr(Engines, "load", load)
    for _ in range(2):  # the photo is restored while the network loads, and before
        finished(load_ahead(photo, options, Context(), restoring=restoring))
        assert (loads, compiled) == (["high"], [])


def test_a_file_that_is_restored_stops_what_runs_ahead(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags: list[Event] = []
    seen: list[bool] = []

    def load(*_: Any, restoring: Event) -> None:
        flags.append(restoring)
        seen.append(restoring.is_set())

    def restored(*words: Any) -> Any:
        seen.append(flags[0].is_set())
        return restore(*words)

    monkeypatch.setattr(process, "load_ahead", load)
    monkeypatch.setattr(process, "restore", restored)
    source = tmp_path / "photo.dng"
    write_dng(source, noisy_photo(*SIZE), preview=None, software="test")
    process_file(source, tmp_path / "out.dng", ProcessOptions(DenoiseOptions(model=models, noise=NOISE, device="cpu")))
    assert seen == [False, True]


def test_a_system_without_more_threads_is_no_error(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    options = DenoiseOptions(model=models, noise=NOISE, device="cpu")
    monkeypatch.setattr(Thread, "start", refused)
    assert import_ahead(options) is None
    assert load_ahead(noisy_photo(*SIZE), options, Context()) is None


def test_nothing_is_loaded_for_a_copy(models: Path) -> None:
    options = DenoiseOptions(model=models, noise=NOISE, strength=0.0)
    assert load_ahead(noisy_photo(*SIZE), options, Context()) is None
    assert import_ahead(options) is None


def test_errors_are_left_to_the_photo(models: Path, capfd: pytest.CaptureFixture[str]) -> None:
    network = models / "high" / "network.onnx"
    network.write_bytes(network.read_bytes() + b"\0")
    photo, context = noisy_photo(*SIZE), Context()
    options = DenoiseOptions(model=models, noise=NOISE, device="cpu")
    finished(load_ahead(photo, options, context))
    assert capfd.readouterr() == ("", "")
    with pytest.raises(ModelError, match="its sha256 differs"):
        denoise(photo, options, context=context)


def test_a_file_is_the_same_with_and_without(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "photo.dng"
    write_dng(source, noisy_photo(*SIZE), preview=None, software="test")
    options = ProcessOptions(DenoiseOptions(model=models, noise=NOISE, device="cpu"))
    process_file(source, tmp_path / "ahead.dng", options)
    monkeypatch.setattr(ahead, "_in_background", lambda _work: None)
    process_file(source, tmp_path / "alone.dng", options)
    assert (tmp_path / "ahead.dng").read_bytes() == (tmp_path / "alone.dng").read_bytes()


def test_the_decoder_starts_ahead(tmp_path: Path) -> None:
    write_dng(tmp_path / "photo.dng", noisy_photo(), preview=None, software="test")
    with Decoder() as decoder:
        decoder.start()
        child = decoder._child
        assert child is not None
        assert child.poll() is None
        decoder.decode(tmp_path / "photo.dng", 60)
        assert decoder._child is child
    assert child.poll() is not None


def test_a_decoder_that_cannot_start_fails_with_the_first_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Any:
        raise RawkdError("no process")

    monkeypatch.setattr(decode, "_start", refuse)
    with Decoder() as decoder:
        decoder.start()
        with pytest.raises(RawkdError, match="no process"):
            decoder.decode(Path("photo.dng"), 60)


def test_a_child_that_ended_while_it_waited_is_started_again(tmp_path: Path) -> None:
    write_dng(tmp_path / "photo.dng", noisy_photo(), preview=None, software="test")
    with Decoder() as decoder:
        decoder.start()
        assert decoder._child is not None
        decoder._child.kill()
        decoder._child.wait()
        assert decoder.decode(tmp_path / "photo.dng", 60).frame.size


STAGES = {
    "read": "rawkd.process.read_raw",
    "noise": "rawkd.process.prepare",
    "tiles": "rawkd.restore.mosaic.denoise_tiled",
    "render": "rawkd.process.render_preview",
    "encode": "rawkd.files.write.dng.raw_image_digest",
    "compile ahead": "rawkd.inference.cpu.openvino_engine.OpenVINOEngine._compile",
    "keep the compiled": "rawkd.disk_cache.keep",
}
"""Functions in which the interrupt arrives; the last two run in the background."""


@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupt_at_any_stage_leaves_nothing(stage: str, models: Path, tmp_path: Path) -> None:
    """The signal is sent when the function has returned, once, and half a second is left to it."""
    source, folder, cache = tmp_path / "photo.dng", tmp_path / "out", tmp_path / "cache"
    write_dng(source, noisy_photo(*SIZE), preview=None, software="test")
    folder.mkdir()
    module, _, name = STAGES[stage].rpartition(".")
    program = (
        "import os, pkgutil, signal, sys, time\n"
        "import rawkd.process, rawkd.inference.cpu.openvino_engine\n"
        "from rawkd.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background inherits none\n"
        f"owner = pkgutil.resolve_name({module!r})\n"
        f"original = getattr(owner, {name!r})\n"
        "def interrupted(*rest, **named):\n"
        "    result = original(*rest, **named)\n"
        f"    setattr(owner, {name!r}, original)  # once\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(0.5)\n"
        "    return result\n"
        f"setattr(owner, {name!r}, interrupted)\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    options = ["--model", str(models), "--noise", f"{GAIN},{READ_VARIANCE}", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-c", program, "denoise", str(source), "-o", str(folder / "photo.dng"), *options],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr.strip() == "interrupted; no partial file was left behind"
    assert list(folder.iterdir()) == []
    assert not list(cache.rglob("*.part")) + list(cache.rglob("*.tmp"))
