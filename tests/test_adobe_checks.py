"""Adobe's SDK on every kind of DNG that we write: no error, and no warning that the source does not have itself."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adobe import complaints, needs_dngpy, was_checked
from conftest import ROOT
from small_photos import noisy_photo
from synthetic_dng import ASCII, BYTE, LONG, RATIONAL, SHORT, SRATIONAL, flat_frame
from synthetic_dng import write_dng as write_with_tags
from test_digest import by_pixels
from test_dng import CAPTURE, GREEN_SPLIT, MATRIX, PREVIEW, SERIAL
from test_history import LIGHTROOM, TREATMENT

from rawkd.errors import RawkdError
from rawkd.files.naming import RAW_SUFFIXES
from rawkd.files.read.raw import read_raw
from rawkd.files.tiff.maker_note import MakerNote, note_record, private_data
from rawkd.files.write.dng import write_dng
from rawkd.photo import CFAPattern, ColorCalibration, Levels, RawPhoto, Rect, Tag
from rawkd.process import ProcessOptions, process_file
from rawkd.restore.options import DenoiseOptions

pytestmark = needs_dngpy

PADDING = "Warning: Too little padding on {} edge of CFA image (possible interpolation artifacts)"
EDGES = [PADDING.format(edge) for edge in ("bottom", "left", "right", "top")]


def photo_of(shape: tuple[int, int] = (140, 200), **changes: Any) -> RawPhoto:
    """A photo with all capture data and a margin around its default crop."""
    frame = np.random.default_rng(0).integers(300, 16383, shape).astype(np.uint16)
    area = changes.pop("active_area", Rect(0, 0, *shape))
    photo = RawPhoto(
        frame=frame,
        active_area=area,
        default_crop=Rect(4, 4, area.height - 8, area.width - 8),
        pattern=CFAPattern("RGGB"),
        levels=Levels(np.full((2, 2), 512.0), 16383, 16383, 14),
        color=ColorCalibration(MATRIX, np.array([0.5, 1, 0.625]), 0.35),
        capture=CAPTURE,
    )
    return replace(photo, **changes)


KINDS: dict[str, Callable[[], RawPhoto]] = {
    "plain": photo_of,
    "narrow, one uncompressed strip": lambda: photo_of((60, 90)),
    "many tiles": lambda: photo_of((600, 1100)),
    "masked pixels and odd margins": lambda: photo_of((161, 231), active_area=Rect(7, 13, 149, 211)),
    **{
        f"phase {pattern}": lambda pattern=pattern: photo_of(pattern=CFAPattern(pattern))
        for pattern in ("GRBG", "BGGR")
    },
    **{f"orientation {number}": lambda number=number: photo_of(orientation=number) for number in (3, 6, 8)},
    "oblong pixels": lambda: photo_of(pixel_aspect=1.53),
    "one black level": lambda: photo_of(levels=Levels(np.array([[512.0]]), 16383, 16383, 14)),
    "fractions of black": lambda: photo_of(levels=Levels(np.full((2, 2), 512.25), 16383, 16383, 14)),
    "black of 4 x 4, and of rows and columns": lambda: photo_of(
        levels=Levels(
            np.arange(16.0).reshape(4, 4) + 512, 15000, 15000, 14, np.arange(140.0) / 8, np.arange(200.0) / 16
        )
    ),
    "fields of a source": lambda: photo_of(tags=(GREEN_SPLIT, SERIAL, Tag(50740, 1, 6, b"Adobe\0"))),
    "maker notes": lambda: photo_of(tags=(private_data([note_record(MakerNote(b"notes", b"MM", 1000))]),)),
    "opcodes": lambda: photo_of(tags=(Tag(51009, 7, 4, bytes(4)), Tag(51008, 7, 4, bytes(4)))),
    "no capture data": lambda: photo_of(capture=replace(CAPTURE, exif=(), gps=(), iso=None, datetime=None)),
    "high ISO": lambda: photo_of(capture=replace(CAPTURE, exif=(), iso=204800)),
    "texts without a zero at the end": lambda: photo_of(
        capture=replace(
            CAPTURE, exif=(Tag(33432, 2, 9, b"Copyright"), Tag(315, 2, 2, b"Me"), Tag(42036, 2, 4, b"Lens"))
        )
    ),
    "exposure of 0": lambda: photo_of(
        capture=replace(CAPTURE, exposure_s=None, exif=(Tag(33434, 5, 1, struct.pack("<II", 0, 1)),))
    ),
    "made by another test": noisy_photo,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "denoised": {"treatment": TREATMENT, "xmp": LIGHTROOM, "noise_profile": (1e-3, 1e-6)},
    "three planes": {"treatment": TREATMENT, "noise_profile": (1e-3, 1e-6) * 3},
    "location left out": {"strip_location": True, "xmp": LIGHTROOM},
    "private fields left out": {"strip_private": True, "xmp": LIGHTROOM},
    "XMP that is none": {"xmp": b"no XML", "treatment": TREATMENT},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_photo(tmp_path: Path, kind: str) -> None:
    photo = KINDS[kind]()
    write_dng(tmp_path / "a.dng", photo, preview=PREVIEW, software="rawkd test", treatment=TREATMENT)
    expected = EDGES[:1] + EDGES[2:3] if kind == "made by another test" else []  # its crop leaves one pixel there
    assert complaints(tmp_path / "a.dng") == expected


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("preview", [PREVIEW, None])
def test_every_kind_of_output(tmp_path: Path, options: str, preview: np.ndarray | None) -> None:
    write_dng(tmp_path / "a.dng", photo_of(), preview=preview, software="rawkd test", **OPTIONS[options])
    assert complaints(tmp_path / "a.dng") == []
    assert was_checked(tmp_path / "a.dng")


def test_the_checks_see_faults(tmp_path: Path) -> None:
    """A digest of other pixels, a crop without a margin, an exposure of 0, a text without its zero."""
    frame = flat_frame(140, 200)
    wrong = write_with_tags(tmp_path / "a.dng", frame, tags={51111: (BYTE, tuple(range(16)))})
    assert complaints(wrong) == sorted(["Error: NewRawImageDigest does not match raw image", *EDGES])
    right = write_with_tags(tmp_path / "b.dng", frame, tags={51111: (BYTE, tuple(by_pixels(frame)))})
    assert complaints(right) == EDGES
    photo = photo_of(default_crop=Rect(0, 0, 140, 200))
    write_dng(tmp_path / "c.dng", photo, preview=None, software="test")
    assert complaints(tmp_path / "c.dng") == EDGES
    data = (tmp_path / "c.dng").read_bytes().replace(b"Canon EOS 6D\0", b"Canon EOS 6D!")
    (tmp_path / "d.dng").write_bytes(data)
    assert any("NULL" in one for one in complaints(tmp_path / "d.dng"))
    (tmp_path / "e.dng").write_bytes(data[:4000])
    assert "refused" in complaints(tmp_path / "e.dng")


SOURCES: dict[str, dict[str, Any]] = {
    "in IFD0": {},
    "in a SubIFD": {"in_sub_ifd": True},
    "big-endian": {"byteorder": ">"},
    "odd active area": {"tags": {50829: (LONG, (3, 5, 137, 195))}},
    "linearisation table": {"tags": {50712: (SHORT, tuple(range(0, 65536, 4))[:16384])}},
    "digests of its own": {"tags": {50972: (BYTE, tuple(range(16)))}},
    "two illuminants": {
        "tags": {
            50778: (SHORT, 17),
            50779: (SHORT, 21),
            50722: (SRATIONAL, (0.7, -0.1, -0.1, -0.4, 1.2, 0.2, -0.1, 0.2, 0.5)),
        }
    },
    "noise reduction applied": {"tags": {50935: (RATIONAL, (0.5,))}},
    "texts": {"tags": {33432: (ASCII, "(c) me"), 270: (ASCII, "a picture"), 50735: (ASCII, "0123")}},
}


@pytest.mark.parametrize(("kind", "strength"), [*((kind, 1.0) for kind in SOURCES), ("in a SubIFD", 0.0)])
def test_no_complaint_that_the_source_does_not_have(tmp_path: Path, kind: str, strength: float) -> None:
    source = write_with_tags(tmp_path / "a.dng", flat_frame(140, 200), **SOURCES[kind])
    options = ProcessOptions(DenoiseOptions(strength=strength, noise=(1e-3, 1e-6), device="cpu"))
    process_file(source, tmp_path / "out.dng", options)
    assert set(complaints(tmp_path / "out.dng")) <= set(complaints(source))


def real_raws() -> list[Path]:
    folders = [ROOT / "examples", ROOT.parent / "shared" / "data" / "raw"]
    return [path for folder in folders for path in sorted(folder.glob("*")) if path.suffix.lower() in RAW_SUFFIXES]


@pytest.mark.parametrize("source", real_raws(), ids=lambda path: path.name)
def test_real_photos(tmp_path: Path, source: Path) -> None:
    """A source that is no DNG has no say; then the default crop of its camera may leave too little of a margin."""
    try:
        read_raw(source)
    except RawkdError as error:
        pytest.skip(f"rawkd refuses it: {error}")
    process_file(source, tmp_path / "out.dng", ProcessOptions(DenoiseOptions(strength=0.0)))
    allowed = complaints(source) if source.suffix.lower() == ".dng" else EDGES
    assert set(complaints(tmp_path / "out.dng")) <= set(allowed)
