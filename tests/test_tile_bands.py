"""Compressed DNGs that are decoded in bands: the same pixels, metadata and errors as of the whole file."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DATA, ROOT
from scenes_of_every_cfa import scene_photo
from synthetic_dng import BYTE, LONG, SHORT
from tiled_dngs import random_frame, write_tiled_dng

from rawkd.batch import work
from rawkd.batch.outcome import Failure
from rawkd.batch.store import LocalStore
from rawkd.batch.task import Task
from rawkd.batch.work import Assignment
from rawkd.batch.workers import LocalWorkers
from rawkd.compare.compare import CompareOptions, compare
from rawkd.errors import InputError
from rawkd.files.read import decode, decode_child, raw
from rawkd.files.read.containers import read_tag_tree
from rawkd.files.read.decode import Decoder
from rawkd.files.read.dng_kind import raw_ifd_of
from rawkd.files.read.raw import read_raw
from rawkd.files.tiff import tile_bands
from rawkd.files.tiff.tile_bands import Bands, bands_of
from rawkd.files.write.dng import write_dng as write_our_dng
from rawkd.photo import CFAPattern, Rect
from rawkd.process import ProcessOptions, process_file
from rawkd.restore.options import DenoiseOptions

FRAME = random_frame(300, 400)
EIGHT_BITS = (FRAME % 250 + 1).astype(np.uint8)
SQUARES = (np.arange(256) ** 2 // 4).tolist()
RAMP = (np.arange(16384) // 2 + 7).tolist()
FORMS: dict[str, tuple[np.ndarray, tuple[int, int], dict[str, Any]]] = {
    "plain": (FRAME, (64, 96), {}),
    "phase": (FRAME, (64, 96), {"pattern": CFAPattern.GBRG}),
    "tiles wider than the picture": (FRAME, (64, 512), {}),
    "tiles of half the width": (random_frame(300, 416), (64, 208), {}),
    "no partial tiles": (random_frame(256, 384), (64, 96), {}),
    "flat tiles": (FRAME, (16, 128), {}),
    "a low last row of tiles": (random_frame(258, 400), (64, 96), {}),
    "one component": (FRAME, (64, 96), {"components": 1}),
    "four components": (FRAME, (64, 112), {"components": 4}),
    "big-endian": (FRAME, (64, 96), {"byteorder": ">"}),
    "in a SubIFD": (FRAME, (64, 96), {"in_sub_ifd": True}),
    "table": (FRAME, (64, 96), {"tags": {50712: (SHORT, RAMP)}}),
    "table, in a big-endian SubIFD": (
        FRAME,
        (64, 96),
        {"tags": {50712: (SHORT, RAMP)}, "byteorder": ">", "in_sub_ifd": True},
    ),
    "table, 8 bits": (EIGHT_BITS, (64, 96), {"tags": {50712: (SHORT, SQUARES), 50717: (LONG, 16256)}}),
    "masked pixels": (FRAME, (64, 96), {"tags": {50829: (LONG, (11, 13, 290, 381)), 50830: (LONG, (0, 0, 300, 13))}}),
    "opcodes": (FRAME, (64, 96), {"tags": {51008: (7, (0, 0, 0, 0)), 51009: (7, (0, 0, 0, 0))}}),
    "X-Trans": (FRAME, (64, 96), {"pattern": CFAPattern.XTRANS}),
    "monochrome": (FRAME, (64, 96), {"pattern": CFAPattern.MONO, "components": 1}),
    "monochrome, two components": (FRAME, (64, 96), {"pattern": CFAPattern.MONO}),
}
MISREAD = ("tiles wider than the picture", "tiles of half the width")
"""Forms that LibRaw misreads, in bands too."""


@pytest.fixture(autouse=True)
def bands_of_small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile_bands, "MIN_PIXELS", 1)


def bands_in(path: Path, threads: int = 3) -> Bands | None:
    tree = read_tag_tree(path)
    assert tree is not None
    return bands_of(path, tree, raw_ifd_of(tree), threads)


def a_child(folder: Path, change: str) -> Path:
    """The decoder's script after a change of its module `child`."""
    script = folder / "changed.py"
    script.write_text(
        "import importlib.util, os, sys\n"
        f"spec = importlib.util.spec_from_file_location('decode_child', {decode_child.__file__!r})\n"
        "child = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(child)\n"
        f"{change}\n"
        "sys.exit(child.main())\n"
    )
    return script


@contextmanager
def counted_starts() -> Iterator[list[int]]:
    """The processes of decoders that are started, by their numbers."""
    started: list[int] = []
    inner = decode._start

    def start() -> Any:
        child = inner()
        started.append(child.pid)
        return child

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "_start", start)
        yield started


@pytest.fixture(scope="module")
def whole_decoder():
    with Decoder() as running:
        yield running


@pytest.fixture(scope="module")
def band_decoder(tmp_path_factory: pytest.TempPathFactory):
    """A decoder that refuses to decode a file as a whole."""
    refuse = "child._answer = lambda answers, *_: child._send(answers, {'error': 'whole', 'text': ''}) or True"
    with pytest.MonkeyPatch.context() as patch, Decoder() as running:
        patch.setattr(decode, "CHILD", a_child(tmp_path_factory.mktemp("child"), refuse))
        running.start()
        patch.undo()
        yield running


@pytest.mark.parametrize("threads", [2, 16])
@pytest.mark.parametrize("form", FORMS)
def test_bands_give_the_pixels_and_metadata_of_the_whole(
    form: str, threads: int, tmp_path: Path, whole_decoder: Decoder, band_decoder: Decoder
) -> None:
    frame, tile, options = FORMS[form]
    path = write_tiled_dng(tmp_path / "made.dng", frame, tile, **options)
    bands = bands_in(path, threads)
    assert bands is not None
    whole, banded = whole_decoder.decode(path, 60), band_decoder.decode(path, 60, bands)
    np.testing.assert_array_equal(banded.frame, whole.frame)
    assert banded.header == {**whole.header, "black": None}
    table = options.get("tags", {}).get(50712)
    if form not in MISREAD:
        np.testing.assert_array_equal(banded.frame, frame if table is None else np.array(table[1])[frame])


@pytest.mark.parametrize("pattern", [CFAPattern.RGGB, CFAPattern.GBRG, CFAPattern.XTRANS, CFAPattern.MONO], ids=str)
def test_what_we_write_is_read_in_bands(
    pattern: CFAPattern, tmp_path: Path, whole_decoder: Decoder, band_decoder: Decoder
) -> None:
    frame = random_frame(1230, 612)
    photo = scene_photo(pattern, Rect(0, 0, 60, 60))
    photo = replace(photo, frame=frame, active_area=Rect(6, 12, 1212, 594), default_crop=Rect(0, 0, 1200, 588))
    write_our_dng(tmp_path / "ours.dng", photo, preview=None, software="test")
    whole = read_raw(tmp_path / "ours.dng", decoder=whole_decoder, threads=1)
    banded = read_raw(tmp_path / "ours.dng", decoder=band_decoder, threads=2)
    np.testing.assert_array_equal(banded.frame, whole.frame)
    np.testing.assert_array_equal(banded.mosaic.data, whole.mosaic.data)
    assert banded.capture == whole.capture
    assert banded.warnings == whole.warnings


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the files of ../shared/data")
def test_the_example_is_read_in_bands(whole_decoder: Decoder, band_decoder: Decoder) -> None:
    path = ROOT / "examples" / "canon-s40-box-made-noisy.dng"
    whole, banded = whole_decoder.decode(path, 60), band_decoder.decode(path, 60, bands_in(path))
    np.testing.assert_array_equal(banded.frame, whole.frame)
    assert banded.header == {**whole.header, "black": None}


def entry(number: int, kind: int, count: int) -> bytes:
    """The start of a little-endian field."""
    return struct.pack("<HHI", number, kind, count)


def changed(data: bytes, before: bytes, after: bytes) -> bytes:
    assert data.count(before) >= 1
    return data.replace(before, after, 1)


TILES_OF_FRAME = 25
UNUSUAL: dict[str, Callable[[bytes], bytes]] = {
    "a tile too few": lambda data: changed(
        data, entry(324, LONG, TILES_OF_FRAME), entry(324, LONG, TILES_OF_FRAME - 1)
    ),
    "offsets of a type that LibRaw misreads": lambda data: changed(
        data, entry(324, LONG, TILES_OF_FRAME), entry(324, SHORT, TILES_OF_FRAME)
    ),
    "a field twice": lambda data: changed(data, entry(258, SHORT, 1), entry(277, SHORT, 1)),
    "a field of no type": lambda data: changed(data, entry(262, SHORT, 1), entry(262, 99, 1)),
    "the end is missing": lambda data: data[:-5000],
    "a tile that is no JPEG": lambda data: changed(data, b"\xff\xd8\xff", b"\xff\xd7\xff"),
    "a tile of lossy JPEG": lambda data: changed(data, b"\xff\xc3", b"\xff\xc0"),
    "a tile without a table": lambda data: changed(data, b"\xff\xc4", b"\xff\xc5"),
    "a tile of another height": lambda data: changed(data, b"\x10\0\x40\0\x30\x02", b"\x10\0\x41\0\x30\x02"),
    "a tile of subsampled pixels": lambda data: changed(data, b"\x30\x02\0\x11", b"\x30\x02\0\x21"),
    "a point transform": lambda data: changed(data, b"\x01\0\0", b"\x01\0\x01"),
}


def outcome(path: Path, threads: int, decoder: Decoder) -> tuple[Any, ...]:
    try:
        photo = read_raw(path, decoder=decoder, threads=threads, timeout_s=30)
    except InputError as error:
        return type(error), str(error)
    return photo.frame.tobytes(), photo.warnings, photo.capture, photo.color.as_shot_neutral.tobytes()


@pytest.mark.parametrize("kind", UNUSUAL)
def test_a_file_with_anything_unusual_has_no_bands(kind: str, tmp_path: Path, whole_decoder: Decoder) -> None:
    path = write_tiled_dng(tmp_path / "made.dng", FRAME, (64, 96))
    assert bands_in(path) is not None
    path.write_bytes(UNUSUAL[kind](path.read_bytes()))
    tree = read_tag_tree(path)
    assert tree is not None
    assert bands_of(path, tree, tree.main, 3) is None
    assert outcome(path, 3, whole_decoder) == outcome(path, 1, whole_decoder)


@pytest.mark.parametrize("tags", [{50712: (SHORT, RAMP)}, {50706: (BYTE, (1, 1, 0, 0))}], ids=["table", "version"])
def test_tags_that_libraw_takes_from_any_directory(tags: dict[int, Any], tmp_path: Path) -> None:
    path = write_tiled_dng(tmp_path / "made.dng", FRAME, (64, 96), in_sub_ifd=True, main_tags=tags)
    assert (bands_in(path) is None) == (50712 in tags)
    path = write_tiled_dng(tmp_path / "made.dng", FRAME, (64, 96), in_sub_ifd=True, tags=tags)
    assert (bands_in(path) is None) == (50706 in tags)


def test_one_thread_a_small_picture_and_one_row_of_tiles_have_no_bands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiled_dng(tmp_path / "made.dng", FRAME, (64, 96))
    assert bands_in(path, threads=1) is None
    monkeypatch.setattr(tile_bands, "MIN_PIXELS", FRAME.size + 1)
    assert bands_in(path) is None
    monkeypatch.setattr(tile_bands, "MIN_PIXELS", FRAME.size)
    assert bands_in(path) is not None
    assert bands_in(write_tiled_dng(tmp_path / "tall.dng", FRAME, (304, 96))) is None


@pytest.mark.parametrize("threads", [2, 3, 16, 100])
@pytest.mark.parametrize(("height", "tile_height"), [(300, 64), (258, 64), (1000, 16), (33, 32), (64, 32)])
def test_bands_cover_the_picture_and_none_is_too_low(threads: int, height: int, tile_height: int) -> None:
    edges = tile_bands._edges(height, tile_height, threads)
    assert edges[0] == 0
    assert edges[-1] == -(-height // tile_height)
    tops = [min(edge * tile_height, height) for edge in edges]
    assert min(np.diff(tops)) >= min(height, tile_bands.MIN_ROWS)


def test_damage_in_a_band_is_the_error_of_the_whole(tmp_path: Path, whole_decoder: Decoder) -> None:
    path = write_tiled_dng(tmp_path / "made.dng", FRAME, (64, 96))
    data = bytearray(path.read_bytes())
    middle = data.index(b"\xff\xd8\xff", len(data) // 2)
    data[middle + 1000 : middle + 1002] = b"\xff\xd9"
    path.write_bytes(data)
    assert bands_in(path) is not None
    with pytest.raises(InputError, match="truncated or damaged"):
        read_raw(path, decoder=whole_decoder, threads=3)
    assert outcome(path, 3, whole_decoder) == outcome(path, 1, whole_decoder)


def test_damaged_copies_are_read_or_refused_as_without_bands(tmp_path: Path, whole_decoder: Decoder) -> None:
    path = write_tiled_dng(tmp_path / "made.dng", FRAME, (64, 96))
    sound, kinds = path.read_bytes(), set()
    starts = [at for at in range(len(sound) - 1) if sound[at : at + 2] == b"\xff\xd8"]
    for number in range(40):
        rng = np.random.default_rng([5, number])
        data = bytearray(sound)
        for _ in range(rng.integers(1, 4)):
            at = rng.choice(starts) + rng.integers(0, 64) if number % 2 else rng.integers(0, len(data))
            data[min(at, len(data) - 1)] ^= 1 << rng.integers(0, 8)
        path.write_bytes(data)
        whole = outcome(path, 1, whole_decoder)
        assert outcome(path, 3, whole_decoder) == whole, number
        kinds.add(len(whole))
    assert kinds == {2, 4}, "copies that are all read or all refused prove nothing"


@pytest.mark.parametrize(
    ("change", "starts"),
    [
        ("child._decoded_in_bands = lambda *_: os.abort()", 3),
        ("child._decoded_in_bands = lambda *_: 1 / 0", 3),
        ("child._decoded_in_bands = lambda *_: int('x')", 1),
        ("def refuse(*_): raise RuntimeError('no more threads')\nchild.ThreadPoolExecutor = refuse", 1),
        (
            "inner = child._decoded_in_bands\n"
            "child._decoded_in_bands = lambda *request: os.write(2, b'data corrupted at 5\\n') and inner(*request)",
            1,
        ),
    ],
    ids=["crash", "our mistake", "error", "threads", "message"],
)
def test_what_fails_in_bands_is_decoded_as_a_whole(
    change: str, starts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiled_dng(tmp_path / "made.dng", FRAME, (64, 96))
    monkeypatch.setattr(decode, "CHILD", a_child(tmp_path, change))
    with counted_starts() as started, Decoder() as running:
        for _ in range(2):
            decoded = running.decode(path, 60, bands_in(path))
            np.testing.assert_array_equal(decoded.frame, FRAME)
            assert decoded.header["messages"] == ""
            assert decoded.header["black"] is not None
    assert len(started) == starts


@pytest.mark.parametrize("in_bands", [False, True])
@pytest.mark.parametrize("is_used", [False, True])
def test_a_file_that_crashes_costs_two_processes_at_most(
    is_used: bool, in_bands: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = write_tiled_dng(tmp_path / "made.dng", FRAME, (64, 96))
    bad = write_tiled_dng(tmp_path / "crash.dng", FRAME, (64, 96))
    change = (
        "def dying(inner, at): return lambda *a: os.abort() if 'crash.dng' in str(a[at]) else inner(*a)\n"
        "child._decoded_in_bands = dying(child._decoded_in_bands, 1)\n"
        "child._open = dying(child._open, 1)"
    )
    monkeypatch.setattr(decode, "CHILD", a_child(tmp_path, change))
    with counted_starts() as started, Decoder() as running:
        if is_used:
            np.testing.assert_array_equal(running.decode(good, 60).frame, FRAME)
        with pytest.raises(InputError, match="crashes the raw decoder"):
            running.decode(bad, 60, bands_in(bad) if in_bands else None)
        assert len(started) == (2 if is_used or in_bands else 1)
        np.testing.assert_array_equal(running.decode(good, 60, bands_in(good)).frame, FRAME)


def test_a_request_without_bands_is_not_tried_in_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiled_dng(tmp_path / "made.dng", FRAME, (64, 96))
    monkeypatch.setattr(decode, "CHILD", a_child(tmp_path, "child._answer_in_bands = lambda *_: os.abort()"))
    with Decoder() as running:
        np.testing.assert_array_equal(running.decode(path, 60).frame, FRAME)


def task_of(path: Path) -> Task:
    return Task(LocalStore(str(path.parent)), path.name, LocalStore(str(path.parent / "out")), "out.dng")


def in_batch(function: Any, path: Path, options: DenoiseOptions, jobs: int) -> None:
    workers = LocalWorkers(jobs)
    try:
        ((_, result),) = workers.each(function, [Assignment(task_of(path), ProcessOptions(options))])
    finally:
        workers.close()
    assert not isinstance(result, Failure | Exception), result


READERS: dict[str, Callable[[Path, DenoiseOptions, int], object]] = {
    "process_file": lambda path, options, _: process_file(path, path.with_name("out.dng"), ProcessOptions(options)),
    "compare": lambda path, options, _: compare(path, CompareOptions(denoise=options)),
    "measure": lambda path, options, jobs: in_batch(work.measure, path, options, jobs),
    "denoise": lambda path, options, jobs: in_batch(work.denoise, path, options, jobs),
}


SHARES = [(3, 1, 3), (None, 1, 8), (None, 3, 2), (3, 3, 2), (None, 9, 1)]
"""--threads, --jobs, and the threads that decode each photo of a batch on eight cores."""


@pytest.mark.parametrize(
    ("reader", "threads", "jobs", "expected"),
    [
        ("process_file", 3, 1, 3),
        ("process_file", None, 1, 8),
        ("compare", 3, 1, 3),
        ("compare", None, 1, 8),
        *[("measure", *case) for case in SHARES],
        *[("denoise", *case) for case in SHARES],
    ],
)
def test_threads_reach_the_bands(
    reader: str, threads: int | None, jobs: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(raw, "available_cores", lambda: 8)
    monkeypatch.setattr(work, "available_cores", lambda: 8)
    monkeypatch.setattr(raw, "bands_of", lambda *given: seen.append(given[3]))
    path = write_tiled_dng(tmp_path / "made.dng", FRAME, (64, 96))
    (tmp_path / "out").mkdir()
    options = DenoiseOptions(strength=0, noise=(1e-3, 1e-5), threads=threads)
    READERS[reader](path, options, jobs)
    assert seen == [expected]


def test_a_file_that_changed_meanwhile_is_decoded_as_a_whole(tmp_path: Path, whole_decoder: Decoder) -> None:
    path = write_tiled_dng(tmp_path / "made.dng", FRAME, (64, 96))
    bands = bands_in(path)
    other = random_frame(330, 400)
    write_tiled_dng(path, other, (64, 96))
    np.testing.assert_array_equal(whole_decoder.decode(path, 60, bands).frame, other)


def test_a_file_that_grew_meanwhile_is_found_before_its_bands_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiled_dng(tmp_path / "made.dng", FRAME, (64, 96))
    bands = bands_in(path)
    path.write_bytes(path.read_bytes() + b"more")
    monkeypatch.setattr(decode, "CHILD", a_child(tmp_path, "child.ThreadPoolExecutor = lambda *_: os.abort()"))
    with counted_starts() as started, Decoder() as running:
        np.testing.assert_array_equal(running.decode(path, 60, bands).frame, FRAME)
    assert len(started) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs the memory of glibc")
def test_pixels_that_cannot_be_read_are_not_those_of_an_earlier_photo(tmp_path: Path) -> None:
    frame = random_frame(600, 800)
    path = write_tiled_dng(tmp_path / "first.dng", frame, (64, 96))
    broken = tmp_path / "second.dng"
    broken.write_bytes(changed(path.read_bytes(), b"\xff\xd8\xff", b"\xff\xd7\xff"))
    with Decoder() as running:
        for _ in range(3):
            np.testing.assert_array_equal(running.decode(path, 60).frame, frame)
            assert not running.decode(broken, 60).frame.any()
