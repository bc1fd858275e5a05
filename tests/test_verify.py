"""`rawkd verify`: every storage of samples that it reads, every kind of damage that it names, and its exit codes."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from conftest import ROOT
from small_photos import noisy_photo
from synthetic_dng import BYTE, LONG, RATIONAL, SHORT, flat_frame
from synthetic_dng import write_dng as write_with_tags
from test_cli import without_root
from test_digest import by_pixels

from rawkd.cli import main
from rawkd.files.tiff.ifd import STRIPS, TILES, OutputIfd, integers, long, raw_bytes, short, write_tiff
from rawkd.files.tiff.tags import read_tiff
from rawkd.files.verify.check import check_digest, find_dngs
from rawkd.files.write.dng import write_dng
from rawkd.files.write.ljpeg import encode_tile


def status_of(path: Path) -> str:
    with ThreadPoolExecutor(2) as pool:
        return check_digest(path, pool).status


def dng_of(
    path: Path,
    samples: np.ndarray,
    encode: Callable[[np.ndarray], bytes],
    *,
    compression: int = 7,
    block: tuple[int, int] | None = None,
    bits: int = 16,
    more: tuple[Any, ...] = (),
    stated: bytes | None = None,
) -> Path:
    """A DNG of `samples` in strips of full width, or in tiles if `block` has another width; their edges are padded."""
    height, width = samples.shape[:2]
    rows, columns = block or (height, width)
    planes = 1 if samples.ndim == 2 else samples.shape[2]
    padded = samples
    if columns != width:
        beyond = ((0, -height % rows), (0, -width % columns), (0, 0))
        padded = np.pad(samples, beyond[: samples.ndim], "edge")
    blocks = [
        encode(np.ascontiguousarray(padded[top : top + rows, left : left + columns]))
        for top in range(0, height, rows)
        for left in range(0, width, columns)
    ]
    size = [integers(322, [columns]), integers(323, [rows])] if columns != width else [integers(278, [rows])]
    tags = [
        long(254, [0]), integers(256, [width]), integers(257, [height]), short(258, [bits] * planes),
        short(259, [compression]), short(262, [32803 if planes == 1 else 34892]), short(277, [planes]),
        raw_bytes(50706, bytes((1, 4, 0, 0))), raw_bytes(51111, by_pixels(samples) if stated is None else stated),
        *size, *more,
    ]  # fmt: skip
    with path.open("wb") as stream:
        write_tiff(stream, OutputIfd(tags, {}, blocks, TILES if columns != width else STRIPS))
    return path


def lossless(predictor: int, bits: int = 16) -> Callable[[np.ndarray], bytes]:
    def encode(tile: np.ndarray) -> bytes:
        return bytes(imagecodecs.jpeg8_encode(tile, lossless=True, predictor=predictor, bitspersample=bits))

    return encode


def in_two_components(tile: np.ndarray) -> bytes:
    return encode_tile(tile)


def in_half_the_rows(tile: np.ndarray) -> bytes:
    """As Adobe stores some cameras: the JPEG has half the height and twice the width."""
    return encode_tile(tile.reshape(tile.shape[0] // 2, -1))


FRAME = flat_frame(300, 272)
DEEP = np.random.default_rng(0).integers(0, 65536, (64, 48)).astype(np.uint16)
CASES: dict[str, Callable[[Path], Path]] = {
    "tiles of two components": lambda path: dng_of(path, FRAME, in_two_components, block=(112, 96)),
    "strips of two components": lambda path: dng_of(path, FRAME, in_two_components, block=(70, 272)),
    "one strip": lambda path: dng_of(path, FRAME, in_two_components),
    "another shape in the JPEG": lambda path: dng_of(path, FRAME, in_half_the_rows, block=(150, 272)),
    "predictor 6, one component": lambda path: dng_of(path, DEEP, imagecodecs.ljpeg_encode, block=(32, 32)),
    **{
        f"predictor {number}": lambda path, number=number: dng_of(path, DEEP, lossless(number), block=(32, 32))
        for number in range(1, 8)
    },
    "14 bits in a JPEG of 14": lambda path: dng_of(path, DEEP >> 2, lossless(1, 14), bits=14),
    "12 bits in a JPEG of 12": lambda path: dng_of(path, DEEP >> 4, lossless(1, 12), bits=12),
    "8 bits in a JPEG": lambda path: dng_of(path, (DEEP >> 8).astype(np.uint8), lossless(1, 8), bits=8),
    "three components": lambda path: dng_of(
        path, np.stack([DEEP, DEEP[::-1], DEEP ^ 7], 2), lossless(1), block=(32, 32)
    ),
    "plain, 16 bits": lambda path: dng_of(path, DEEP, np.ndarray.tobytes, compression=1),
    "plain strips": lambda path: dng_of(path, DEEP, np.ndarray.tobytes, compression=1, block=(10, 48)),
    "plain tiles": lambda path: dng_of(path, DEEP, np.ndarray.tobytes, compression=1, block=(16, 32)),
    "plain, 8 bits": lambda path: dng_of(path, (DEEP >> 8).astype(np.uint8), np.ndarray.tobytes, compression=1, bits=8),
    "big-endian": lambda path: write_with_tags(
        path, FRAME, tags={51111: (BYTE, tuple(by_pixels(FRAME)))}, byteorder=">"
    ),
    "below a linearisation table": lambda path: write_with_tags(
        path,
        FRAME // 8,
        tags={50712: (SHORT, tuple(range(0, 65536, 16))), 51111: (BYTE, tuple(by_pixels(FRAME // 8)))},
    ),
    "in a SubIFD behind a preview": lambda path: write_with_tags(
        path, FRAME, in_sub_ifd=True, main_tags={51111: (BYTE, tuple(by_pixels(FRAME)))}
    ),
}


def packed(bits: int) -> Callable[[np.ndarray], bytes]:
    """Rows of samples of `bits` bits, most significant bit first; a row ends with its byte (TIFF 6.0)."""

    def encode(tile: np.ndarray) -> bytes:
        rows = ("".join(f"{sample:0{bits}b}" for sample in row) for row in tile)
        return b"".join(
            int(row.ljust(-(-len(row) // 8) * 8, "0"), 2).to_bytes(-(-len(row) // 8), "big") for row in rows
        )

    return encode


for depth in (10, 12, 14):
    CASES[f"packed, {depth} bits"] = lambda path, depth=depth: dng_of(
        path, DEEP[:, :45] >> (16 - depth), packed(depth), compression=1, bits=depth, block=(20, 45)
    )


@pytest.mark.parametrize("name", CASES)
def test_every_storage_is_read_and_every_change_is_seen(tmp_path: Path, name: str) -> None:
    path = CASES[name](tmp_path / "a.dng")
    assert status_of(path) == "intact"
    data = bytearray(path.read_bytes())
    at = data.index(stated_in(path))
    data[at] ^= 1
    path.write_bytes(data)
    assert status_of(path) == "mismatch"


def stated_in(path: Path) -> bytes:
    with ThreadPoolExecutor(1) as pool:
        stated = check_digest(path, pool).stated
    assert stated is not None
    return bytes.fromhex(stated)


PLACES = list(zip(TILES, STRIPS, strict=True))


@pytest.mark.parametrize("shape", [(203, 301), (30, 50)])
def test_a_flipped_bit_in_the_pixels_of_our_own_file(tmp_path: Path, shape: tuple[int, int]) -> None:
    path = tmp_path / "a.dng"
    write_dng(path, noisy_photo(*shape), preview=None, software="test")
    assert status_of(path) == "intact"
    intact = path.read_bytes()
    with path.open("rb") as stream:
        main_ifd = read_tiff(stream).main
    at, count = (int((main_ifd.numbers(number) or main_ifd.numbers(other))[0]) for number, other in PLACES)
    for part in (0.4, 0.5, 0.6, 0.7):
        data = bytearray(intact)
        data[at + int(part * count)] ^= 0x10
        path.write_bytes(data)
        assert status_of(path) in ("mismatch", "unreadable")  # no decoder may take a damaged JPEG
    path.write_bytes(intact[:-500])
    assert status_of(path) == "unreadable"


def without_digest(path: Path) -> Path:
    """The file with its NewRawImageDigest under a tag that nobody knows."""
    path.write_bytes(path.read_bytes().replace(struct.pack("<HHI", 51111, 1, 16), struct.pack("<HHI", 51999, 1, 16)))
    return path


@pytest.mark.parametrize("name", ["tiles of two components", "strips of two components", "plain strips", "plain tiles"])
@pytest.mark.parametrize("has_digest", [True, False])
def test_a_file_that_is_cut_off_is_unreadable_with_and_without_a_digest(
    tmp_path: Path, name: str, has_digest: bool
) -> None:
    path = CASES[name](tmp_path / "a.dng")
    if not has_digest:
        without_digest(path)
    assert status_of(path) == ("intact" if has_digest else "no digest")
    whole = path.read_bytes()
    for kept in (len(whole) - 2, len(whole) // 2):
        path.write_bytes(whole[:kept])
        with ThreadPoolExecutor(1) as pool:
            check = check_digest(path, pool)
        assert check.status == "unreadable"
        assert "its raw picture extends beyond its end" in check.sentence
    assert main(["verify", str(path)]) == 3


@pytest.mark.parametrize(
    ("tag", "value", "expected"),
    [
        (323, 16, "strips or tiles instead of"),
        (324, None, "it has 0 strips or tiles instead of"),
        (262, 2, "it has no raw picture"),
        (325, None, ""),
    ],
)
def test_a_raw_picture_without_a_digest_must_be_there(
    tmp_path: Path, tag: int, value: int | None, expected: str
) -> None:
    """Sound files may lack the byte counts of their tiles (325)."""
    path = without_digest(dng_of(tmp_path / "a.dng", FRAME, in_two_components, block=(112, 96)))
    data = path.read_bytes()
    path.write_bytes(cut(data, tag, value) if value is not None else data.replace(struct.pack("<H", tag), b"\1\1", 1))
    with ThreadPoolExecutor(1) as pool:
        check = check_digest(path, pool)
    assert check.status == ("unreadable" if expected else "no digest")
    assert expected in check.sentence


def test_a_cut_picture_of_an_unknown_kind_is_unreadable(tmp_path: Path) -> None:
    path = dng_of(tmp_path / "a.dng", DEEP, np.ndarray.tobytes, compression=8)
    assert status_of(path) == "not checked"
    path.write_bytes(path.read_bytes()[:-2])
    assert status_of(path) == "unreadable"


UNKNOWN = {
    "floats": {"more": (short(339, [3]),), "bits": 16},
    "32 bits": {"bits": 32},
    "1 bit": {"bits": 1},
    "deflate": {"compression": 8},
    "lossy": {"compression": 34892},
    "reversed bits": {"more": (short(266, [2]),)},
    "interleaved": {"more": (short(50975, [2]),)},
    "sub-tiles": {"more": (short(50974, [2, 2]),)},
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_storages_that_are_not_known_are_said_not_guessed(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = dng_of(tmp_path / "a.dng", DEEP, np.ndarray.tobytes, **({"compression": 1} | UNKNOWN[name]))
    assert status_of(path) == "not checked"
    assert main(["verify", str(path)]) == 0
    printed = capsys.readouterr()
    assert printed.out == "1 file: 0 intact, 1 not checked\n"
    assert printed.err.startswith(f"warning: {path}: rawkd cannot check a raw picture with ")


def test_a_lossy_jpeg_is_not_decoded_to_something_else(tmp_path: Path) -> None:
    lossy = dng_of(tmp_path / "a.dng", (DEEP >> 8).astype(np.uint8), imagecodecs.jpeg8_encode, bits=8)
    assert status_of(lossy) == "not checked"


@pytest.mark.parametrize("name", ["tiles of two components", "three components", "packed, 12 bits", "plain tiles"])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_damage_ends_the_program(tmp_path: Path, name: str, seed: int) -> None:
    """Bytes anywhere in the file, or in the headers of a tile; a decoder that crashed would end this test run, too."""
    path = CASES[name](tmp_path / "a.dng")
    intact, rng = path.read_bytes(), np.random.default_rng(seed)
    with path.open("rb") as stream:
        ifd = read_tiff(stream).main
    tile = int((ifd.numbers(TILES[0]) or ifd.numbers(STRIPS[0]))[0])
    found = set()
    with ThreadPoolExecutor(2) as pool:
        for start, stop in ((8, len(intact)), (8, 300), (tile, tile + 100)) * 40:
            data = bytearray(intact)
            for at in rng.integers(start, stop, 4):
                data[at] = rng.integers(0, 256)
            path.write_bytes(data[: len(data) - int(rng.integers(0, 2) * rng.integers(0, 4000))])
            found.add(check_digest(path, pool).status)
    assert {"mismatch", "unreadable"} <= found


def cut(data: bytes, tag: int, value: int) -> bytes:
    """The file with the first value of a SHORT or LONG field of IFD0 changed."""
    entry = next(at for at in range(10, len(data), 12) if data[at : at + 2] == struct.pack("<H", tag))
    return data[: entry + 8] + struct.pack("<I", value) + data[entry + 12 :]


@pytest.mark.parametrize(
    ("tag", "value", "expected"),
    [
        (256, 10**6, "strips or tiles instead of"),
        (257, 0, "does not state how"),
        (322, 0, "does not state how"),
        (323, 16, "strips or tiles instead of"),
        (277, 9, "does not state how"),
        (262, 2, "it has no raw picture"),
        (50706, None, "this is not a DNG"),
    ],
)
def test_damaged_fields(tmp_path: Path, tag: int, value: int | None, expected: str) -> None:
    path = dng_of(tmp_path / "a.dng", FRAME, in_two_components, block=(112, 96))
    data = path.read_bytes()
    path.write_bytes(cut(data, tag, value) if value is not None else data.replace(struct.pack("<H", tag), b"\1\1", 1))
    with ThreadPoolExecutor(1) as pool:
        check = check_digest(path, pool)
    assert check.status == "unreadable"
    assert expected in check.sentence
    assert str(path) in check.sentence


def resized(data: bytes, **sizes: int) -> bytes:
    """The file with sizes in pixels changed, as LONG."""
    numbers = {"width": 256, "height": 257, "rows_per_strip": 278, "tile_width": 322, "tile_height": 323}
    for name, value in sizes.items():
        entry = next(at for at in range(10, len(data), 12) if data[at : at + 2] == struct.pack("<H", numbers[name]))
        data = data[:entry] + struct.pack("<HHII", numbers[name], 4, 1, value) + data[entry + 12 :]
    return data


@pytest.mark.parametrize("side", [4294967295, 65500, 20000])
def test_more_pixels_than_the_file_can_hold(tmp_path: Path, side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One strip of 6 KiB: beyond what numpy can address, beyond the limit, and below it."""
    path = dng_of(tmp_path / "a.dng", DEEP, np.ndarray.tobytes, compression=1)
    path.write_bytes(resized(path.read_bytes(), width=side, height=side, rows_per_strip=side))
    monkeypatch.setattr(np, "empty", lambda *given, **_: pytest.fail(f"asked for an array of {given}"))
    with ThreadPoolExecutor(1) as pool:
        check = check_digest(path, pool)
    assert check.status == "unreadable"
    assert f"the file is damaged: it states {side} x {side} pixels" in check.sentence


@pytest.mark.parametrize(("side", "expected"), [(65500, "it states 65500 x 65500 pixels"), (20000, "the wrong size")])
def test_a_tile_larger_than_its_bytes_can_hold(
    tmp_path: Path, side: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The JPEG's header agrees with the tile: beyond the limit of pixels, and below it."""

    def encode(tile: np.ndarray) -> bytes:
        jpeg = bytearray(imagecodecs.ljpeg_encode(tile))
        frame = jpeg.index(b"\xff\xc3")
        jpeg[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
        return bytes(jpeg)

    path = dng_of(tmp_path / "a.dng", DEEP, encode, block=(64, 64))
    path.write_bytes(resized(path.read_bytes(), tile_width=side, tile_height=side))
    monkeypatch.setattr(imagecodecs, "jpeg8_decode", lambda _: pytest.fail("decoded"))
    with ThreadPoolExecutor(1) as pool:
        check = check_digest(path, pool)
    assert check.status == "unreadable"
    assert expected in check.sentence


@pytest.mark.parametrize(("module", "name"), [(np, "empty"), (imagecodecs, "jpeg8_decode")])
def test_too_little_memory_costs_one_file_and_is_no_damage(
    tmp_path: Path, module: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dng_of(tmp_path / "a.dng", DEEP, in_two_components)

    def refuse(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(module, name, refuse)
    with ThreadPoolExecutor(1) as pool:
        check = check_digest(path, pool)
    assert check.status == "unreadable"
    assert check.sentence == f"{path}: the raw picture does not fit into memory. Close other programs."


def archive(folder: Path) -> Path:
    """Seven DNGs in three folders, one of each status but one, and files that are none."""
    (folder / "2025" / ".hidden").mkdir(parents=True)
    (folder / "2026").mkdir()
    dng_of(folder / "2025" / "a.dng", DEEP, in_two_components)
    dng_of(folder / "2025" / "b.DNG", DEEP, in_two_components)
    dng_of(folder / "2025" / ".hidden" / "c.dng", DEEP, in_two_components, stated=b"x" * 16)
    dng_of(folder / "2026" / "changed.dng", DEEP, in_two_components, stated=b"x" * 16)
    dng_of(folder / "2026" / "zeros.dng", DEEP, in_two_components, stated=bytes(16))
    write_with_tags(folder / "old.dng", FRAME, tags={50972: (BYTE, tuple(range(16)))})
    (folder / "photo.nef").write_bytes(b"no DNG")
    return folder


def test_what_rawkd_wrote_can_be_written_again(tmp_path: Path) -> None:
    """Another program's DNG may be the only one."""
    sentences = {}
    for software in ("rawkd 1.0", "Adobe DNG Converter"):
        path = tmp_path / "made.dng"
        write_dng(path, noisy_photo(64, 96), preview=None, software=software, overwrite=True)
        tree = read_tiff(path.open("rb"))
        assert tree is not None
        digest = tree.main.tags[51111].data
        data = path.read_bytes()
        assert data.count(digest) == 1
        path.write_bytes(data.replace(digest, bytes(range(16))))
        with ThreadPoolExecutor(2) as pool:
            sentences[software] = check_digest(path, pool).sentence
    assert sentences["rawkd 1.0"].endswith("Restore it from a backup, or delete it and denoise its photo again.")
    assert sentences["Adobe DNG Converter"].endswith("Restore it from a backup.")


def test_an_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = archive(tmp_path)
    assert [path.name for path in find_dngs(folder, pytest.fail)] == [
        "old.dng", "a.dng", "b.DNG", "changed.dng", "zeros.dng",
    ]  # fmt: skip
    assert main(["verify", str(folder)]) == 8
    printed = capsys.readouterr()
    assert printed.out == "5 files: 2 intact, 1 changed, 2 without a digest\n"
    (line,) = printed.err.splitlines()
    assert line == (
        f"error: {folder / '2026' / 'changed.dng'}: the raw picture does not match its digest: its pixels have changed."
        " Restore it from a backup."
    )
    assert main(["verify", "-v", str(folder), str(folder / "2025" / "a.dng")]) == 8
    printed = capsys.readouterr()
    assert printed.out.startswith("5 files: ")  # a.dng counts once
    assert f"{folder / '2025' / 'a.dng'}: intact" in printed.err
    assert "old.dng: the file states only a RawImageDigest of DNG 1.2, which rawkd does not check" in printed.err
    assert "zeros.dng: the file states no digest" in printed.err
    assert main(["verify", "-q", str(folder)]) == 8
    printed = capsys.readouterr()
    assert (printed.out, len(printed.err.splitlines())) == ("", 1)


def test_json_of_an_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = archive(tmp_path)
    assert main(["verify", "--json", str(folder), str(folder / "photo.nef")]) == 8
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [list(record) for record in records] == [
        ["input", "status", "stated", "computed", "sentence", "exit_code"]
    ] * 6
    found = {Path(record["input"]).name: record for record in records}
    assert {name: (record["status"], record["exit_code"]) for name, record in found.items()} == {
        "old.dng": ("no digest", 0),
        "a.dng": ("intact", 0),
        "b.DNG": ("intact", 0),
        "changed.dng": ("mismatch", 8),
        "zeros.dng": ("no digest", 0),
        "photo.nef": ("not a DNG", 3),
    }
    assert found["changed.dng"]["stated"] == (b"x" * 16).hex()
    assert found["changed.dng"]["computed"] == found["a.dng"]["stated"] == by_pixels(DEEP).hex()


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["2025"], 0),
        (["2025/a.dng"], 0),
        (["old.dng"], 0),
        (["photo.nef"], 3),
        (["none.dng"], 3),
        (["empty"], 3),
        (["2025", "none.dng"], 1),
        (["none.dng", "photo.nef"], 1),
        (["none.dng", "2026"], 8),
    ],
)
def test_exit_codes(tmp_path: Path, names: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    folder = archive(tmp_path)
    (folder / "empty").mkdir()
    assert main(["verify", *(str(folder / name) for name in names)]) == code
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert bool(printed.err) == (code != 0)


def test_a_healthy_file_of_another_kind_is_not_called_unreadable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """But one that is named .dng is: its first bytes may be lost."""
    jpeg = imagecodecs.jpeg8_encode(np.zeros((8, 8), np.uint8))
    paths = [tmp_path / name for name in ("photo.jpg", "photo.DNG")]
    for path in paths:
        path.write_bytes(jpeg)
    assert main(["verify", *map(str, paths)]) == 1
    assert capsys.readouterr().out == "2 files: 0 intact, 1 not a DNG, 1 unreadable\n"
    assert main(["verify", str(paths[0])]) == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "a.dng")
    assert main(["verify", str(tmp_path)]) == 3
    assert "this is not a regular file" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs the permissions of POSIX")
def test_what_may_not_be_read_is_named_and_the_rest_is_checked(tmp_path: Path) -> None:
    folder = archive(tmp_path)
    (folder / "2025" / "b.DNG").chmod(0)
    (folder / "2026").chmod(0)
    try:
        done = without_root(["verify", str(folder)])
    finally:
        (folder / "2026").chmod(0o700)
    assert done.returncode == 1
    assert done.stdout == "3 files: 1 intact, 1 without a digest, 1 unreadable\n"
    assert f"{folder / '2026'}: this folder cannot be read (Permission denied). Check its permissions." in done.stderr
    assert "b.DNG: the file cannot be read (Permission denied)." in done.stderr


def test_what_we_write_is_what_others_would_call_intact(tmp_path: Path) -> None:
    """The oracle of this file writes BlackLevel and more as another program does; ours is read with the same rule."""
    photo = noisy_photo()
    write_dng(tmp_path / "a.dng", photo, preview=None, software="test")
    assert stated_in(tmp_path / "a.dng") == by_pixels(photo.frame)
    tags = {50714: (RATIONAL, (0.0,)), 50717: (LONG, 65535), 51111: (BYTE, tuple(by_pixels(photo.frame)))}
    assert status_of(write_with_tags(tmp_path / "b.dng", photo.frame, tags=tags)) == "intact"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("as_json", [False, True])
def test_on_a_terminal_a_bar_shows_progress_and_lines_stand_above_it(tmp_path: Path, as_json: bool) -> None:
    import pty

    folder = archive(tmp_path)
    first, second = pty.openpty()
    command = [sys.executable, "-m", "rawkd", "verify", *(["--json"] if as_json else []), str(folder)]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "500"}
    child = subprocess.Popen(command, stdout=second, stderr=second, cwd=ROOT, env=environment | {"NO_COLOR": "1"})
    os.close(second)
    shown = ""
    with suppress(OSError), os.fdopen(first, "rb", 0) as terminal:  # its end is an error on Linux
        while part := terminal.read(1 << 16):
            shown += part.decode()
    assert child.wait(60) == 8
    assert ("checking digests" in shown) is not as_json
    assert ("100%" in shown) is not as_json
    before, error, _ = shown.partition("error: ")
    assert error
    assert before.endswith(("\n", "\x1b[2K")) or not before  # at the start of a line, or of one that was cleared
    assert shown.count('{"input"') == 5 * as_json
