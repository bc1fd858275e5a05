"""Time and place in a sidecar reach the EXIF of pictures; descriptive fields of the main directory stay."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from exif_sidecars import OLD_PLACE, TAKEN, sidecar
from small_photos import noisy_photo
from synthetic_dng import flat_frame
from synthetic_dng import write_dng as write_with_tags

from rawkd.files.write.dng import write_dng
from rawkd.files.xmp.capture import with_sidecar
from rawkd.process import ProcessOptions, process_file
from rawkd.restore.options import DenoiseOptions

OPTIONS = ProcessOptions(DenoiseOptions(strength=0, noise=(1e-3, 1e-6)))
ASCII = 2
needs_exiftool = pytest.mark.skipif(not shutil.which("exiftool"), reason="needs exiftool")


@pytest.mark.parametrize("packet", [None, b"", b"no XML", b"<a/>", sidecar(), sidecar(ISOSpeedRatings="100")])
def test_a_sidecar_without_time_and_place(packet: bytes | None) -> None:
    assert with_sidecar(TAKEN, packet) == (TAKEN, ())


def test_what_exif_cannot_hold_is_named() -> None:
    packet = sidecar(DateTimeOriginal="2021", GPSLatitude="north", GPSLongitude="11,0E")
    capture, warnings = with_sidecar(TAKEN, packet)
    assert capture == TAKEN
    assert warnings == (
        "the time of the capture in the sidecar (2021) cannot be written as EXIF",
        "the place of the capture in the sidecar (north 11,0E) cannot be written as EXIF",
    )
    for latitude in ("91,0N", "48,8.5", ""):
        _, warnings = with_sidecar(TAKEN, sidecar(GPSLatitude=latitude, GPSLongitude="11,0E"))
        assert len(warnings) == 1


def read(path: Path, *names: str) -> dict[str, Any]:
    command = ["exiftool", "-j", "-n", "-G1", *(f"-{name}" for name in names), str(path)]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)[0]
    return {name: value for name, value in found.items() if name != "SourceFile"}


@needs_exiftool
@pytest.mark.parametrize("name", ["out.jpg", "out.png", "out.tif"])
def test_pictures_have_time_and_place_of_the_sidecar(tmp_path: Path, name: str) -> None:
    photo = replace(noisy_photo(60, 96), capture=replace(OLD_PLACE, make="Rawkd", model="One"))
    write_dng(tmp_path / "in.dng", photo, preview=None, software="test")
    (tmp_path / "in.xmp").write_bytes(
        sidecar(DateTimeOriginal="2021-07-08T09:10:11", GPSLatitude="33,51.5S", GPSLongitude="151,12.5E")
    )
    process_file(tmp_path / "in.dng", tmp_path / name, OPTIONS)
    assert read(tmp_path / name, "ExifIFD:DateTimeOriginal", "GPS:GPSLatitude", "GPS:GPSLatitudeRef") == {
        "ExifIFD:DateTimeOriginal": "2021:07:08 09:10:11",
        "GPS:GPSLatitude": pytest.approx(33 + 51.5 / 60),
        "GPS:GPSLatitudeRef": "S",
    }
    stripped = replace(OPTIONS, strip_location=True, overwrite=True)
    process_file(tmp_path / "in.dng", tmp_path / name, stripped)
    assert list(read(tmp_path / name, "ExifIFD:DateTimeOriginal", "GPS:all")) == ["ExifIFD:DateTimeOriginal"]


FIELDS = {
    269: (ASCII, "roll 7"),
    285: (ASCII, "frame 12"),
    306: (ASCII, "2024:05:06 07:08:09"),
    316: (ASCII, "studio-mac"),
    36867: (ASCII, "2020:01:02 03:04:05"),
}
NAMES = ("IFD0:DocumentName", "IFD0:PageName", "IFD0:XResolution", "IFD0:ResolutionUnit", "IFD0:ModifyDate")


@needs_exiftool
def test_descriptive_fields_stay(tmp_path: Path) -> None:
    source = write_with_tags(tmp_path / "in.dng", flat_frame(64, 96), tags=FIELDS)
    resolution = ["-XResolution=240", "-YResolution=240", "-ResolutionUnit=cm"]
    subprocess.run(["exiftool", "-q", "-overwrite_original", *resolution, str(source)], check=True)
    wanted = read(source, *NAMES, "IFD0:HostComputer")
    assert (len(wanted), wanted["IFD0:XResolution"], wanted["IFD0:ResolutionUnit"]) == (6, 240, 3)
    process_file(source, tmp_path / "out.dng", OPTIONS)
    assert read(tmp_path / "out.dng", *NAMES, "IFD0:HostComputer") == wanted
    process_file(source, tmp_path / "out.jpg", OPTIONS)
    assert read(tmp_path / "out.jpg", *NAMES) == {
        **{name: wanted[name] for name in NAMES},
        "IFD0:XResolution": 300,  # rawkd's own
        "IFD0:ResolutionUnit": 2,
    }
    private = replace(OPTIONS, strip_private=True, strip_location=True, overwrite=True)
    process_file(source, tmp_path / "out.dng", private)
    left = read(tmp_path / "out.dng", *NAMES, "IFD0:HostComputer")
    assert wanted.keys() - left.keys() == {"IFD0:DocumentName", "IFD0:PageName", "IFD0:HostComputer"}


@needs_exiftool
@pytest.mark.parametrize("unset", [None, "0000:00:00 00:00:00", "    :  :     :  :  "])
def test_without_a_time_of_the_change_it_is_that_of_the_capture(tmp_path: Path, unset: str | None) -> None:
    tags = {36867: FIELDS[36867]} | ({} if unset is None else {306: (ASCII, unset)})
    source = write_with_tags(tmp_path / "in.dng", flat_frame(64, 96), tags=tags)
    process_file(source, tmp_path / "out.dng", OPTIONS)
    assert read(tmp_path / "out.dng", "IFD0:ModifyDate") == {"IFD0:ModifyDate": "2020:01:02 03:04:05"}
