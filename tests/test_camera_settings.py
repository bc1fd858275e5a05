"""Settings of the camera: decoded for display, and never in the way of a photo."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from rawkd.files.read.camera_settings import CameraSettings, read_settings, settings
from rawkd.files.read.camera_settings.settings import settings_of

ASCII, SHORT, LONG, UNDEFINED = 2, 3, 4, 7
SIZES = {ASCII: 1, SHORT: 2, LONG: 4, UNDEFINED: 1}
Field = tuple[int, int, bytes]


def directory(fields: list[Field], offset: int, after: int = 0) -> bytes:
    """A little-endian TIFF directory at `offset` with its values behind it."""
    head, values = struct.pack("<H", len(fields)), b""
    begin = offset + 2 + 12 * len(fields) + 4
    for number, kind, data in sorted(fields):
        where = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack("<I", begin + len(values))
        values += b"" if len(data) <= 4 else data + b"\0" * (len(data) % 2)
        head += struct.pack("<HHI", number, kind, len(data) // SIZES[kind]) + where
    return head + struct.pack("<I", after) + values


def nikon(path: Path, *, reduction: bytes = b"OFF \0", high_iso: int = 0, lens: bytes = b"AF-S 50/1.8\0") -> Path:
    """A TIFF with Nikon's maker notes: noise reduction (0x95), high-ISO (0xB1), shutter releases (0xA7)."""
    notes = [
        (0x95, ASCII, reduction),
        (0xB1, SHORT, struct.pack("<H", high_iso)),
        (0xA7, LONG, struct.pack("<I", 1234)),
    ]
    maker = b"Nikon\0\x02\x10\0\0" + b"II*\0\x08\0\0\0" + directory(notes, 8)
    main = [(271, ASCII, b"NIKON CORPORATION\0"), (272, ASCII, b"NIKON D1\0"), (34665, LONG, struct.pack("<I", 512))]
    exif = directory([(0xA434, ASCII, lens), (0x927C, UNDEFINED, maker)], 512)
    path.write_bytes((b"II*\0\x08\0\0\0" + directory(main, 8)).ljust(512, b"\0") + exif)
    return path


def test_synthetic_maker_notes_are_decoded(tmp_path: Path) -> None:
    assert read_settings(nikon(tmp_path / "off.nef"), timeout_s=60) == CameraSettings(
        lens="AF-S 50/1.8", noise_reduction="Off", long_exposure_noise_reduction="OFF", shutter_count=1234
    )
    found = read_settings(nikon(tmp_path / "on.nef", reduction=b"FPNR\0", high_iso=4), timeout_s=60)
    assert (found.noise_reduction, found.long_exposure_noise_reduction) == ("Normal", "FPNR")


def test_only_noise_reduction_that_was_on_warns() -> None:
    off = {"MakerNote HighISONoiseReduction": "Off", "MakerNote LongExposureNoiseReduction": "Off (65535)"}
    assert settings_of(off).warnings == ()
    assert settings_of({}).warnings == ()
    on = settings_of({"MakerNote HighISONoiseReduction": "Off", "MakerNote MultiFrameNoiseReduction": "On"})
    assert len(on.warnings) == 1
    assert "the camera's noise reduction was on (On)" in on.warnings[0]
    dark = settings_of({"MakerNote LongExposureNoiseReduction": "On (dark subtracted)"})
    assert "long-exposure noise reduction was on (On (dark subtracted))" in dark.warnings[0]
    both = settings_of({"MakerNote NoiseReduction": "Noise Reduction + Noise Filter"})  # Olympus
    assert len(both.warnings) == 2
    assert len(settings_of({"MakerNote NoiseReduction": "FPNR"}).warnings) == 1  # Nikon


@pytest.mark.parametrize(
    ("texts", "lens"),
    [
        ({"EXIF LensModel": "A 50mm", "MakerNote LensType": "other"}, "A 50mm"),
        ({"MakerNote LensMinMaxFocalMaxAperture": "[18, 70, 7/2, 9/2]"}, "18-70 mm f/3.5-4.5"),
        ({"MakerNote LensType": "6"}, ""),
        ({"EXIF LensSpecification": "[50, 50, 9/5, 9/5]"}, "50 mm f/1.8"),
        ({"EXIF LensSpecification": "[50, 50, 0/0, 9/5]"}, ""),
        ({"EXIF LensSpecification": "[0, 0, 0, 0]"}, ""),
        ({"EXIF LensSpecification": "[1, 2, 3]"}, ""),
        ({"EXIF LensSpecification": "odd"}, ""),
    ],
)  # fmt: skip
def test_lenses(texts: dict[str, str], lens: str) -> None:
    assert settings_of(texts).lens == lens


@pytest.mark.parametrize(
    ("base", "automatic", "iso"),
    [("160", "0", 100.0), ("224", "0", 400.0), ("160", "32", 200.0), ("99999999", "0", None), ("x", "0", None),
     ("0", "0", None)],
)  # fmt: skip
def test_the_iso_of_canon(base: str, automatic: str, iso: float | None) -> None:
    """Codes count 32 a stop; 160 is ISO 100 (100 / 32 * 2^5)."""
    assert settings_of({"MakerNote BaseISO": base, "MakerNote AutoISO": automatic}).real_iso == iso


@pytest.mark.parametrize("count", ["-3", "0", "99999999999", "[1, 2]", ""])
def test_a_count_that_is_none_is_left_out(count: str) -> None:
    assert settings_of({"MakerNote TotalShutterReleases": count}).shutter_count is None


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.abort()",
        "raise SystemExit(3)",
        "print('no json')",
        "print('[1]')",
        "print('{\"EXIF LensModel\": 5')",
        "import sys; sys.stdout.buffer.write(bytes(range(256)))",
    ],
)
def test_a_child_that_fails_leaves_fields_out(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child.py"
    child.write_text(code)
    monkeypatch.setattr(settings, "CHILD", child)
    assert read_settings(nikon(tmp_path / "a.nef"), timeout_s=60) == CameraSettings()


def test_a_child_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child.py"
    child.write_text("import time; time.sleep(600)")
    monkeypatch.setattr(settings, "CHILD", child)
    begin = time.monotonic()
    assert read_settings(nikon(tmp_path / "a.nef"), timeout_s=0.2) == CameraSettings()
    assert time.monotonic() - begin < 60  # far from 600 s, far from what a busy machine takes


def test_the_time_limit_is_two_seconds() -> None:
    assert settings.TIMEOUT_S == 2.0


def test_a_text_cannot_draw_on_the_terminal(tmp_path: Path) -> None:
    found = read_settings(nikon(tmp_path / "a.nef", lens=b"50\x1b[2Jmm\n1.8\0"), timeout_s=60)
    assert found.lens.isprintable()


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty.nef").write_bytes(b"")
    for path in (tmp_path / "empty.nef", tmp_path / "missing.nef", tmp_path):
        assert read_settings(path, timeout_s=60) == CameraSettings()


def test_a_real_photo(data: Path) -> None:
    nef = data / "damaged" / "exiftool--Nikon.nef"  # its pixels are cut off, its tags are whole
    phone = data / "damaged" / "exiv2--IMG_1361.dng"
    if not nef.is_file() or not phone.is_file():
        pytest.skip("needs the damaged files of ../shared/data")
    found = read_settings(nef, timeout_s=60)
    assert (found.lens, found.shutter_count) == ("18-70 mm f/3.5-4.5", 3619)
    assert found.warnings == ()
    assert read_settings(phone, timeout_s=60).lens == "iPhone 12 Pro back triple camera 4.2mm f/1.6"


def test_no_damaged_file_raises(data: Path) -> None:
    for path in sorted((data / "damaged").glob("*"))[::4]:
        assert isinstance(read_settings(path), CameraSettings)
