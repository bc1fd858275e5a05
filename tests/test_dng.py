from __future__ import annotations

import io
import shutil
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rawpy
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from rawkd.errors import OutputError
from rawkd.files.read.raw import read_raw
from rawkd.files.tiff.tags import Ifd, TagTree, read_tiff
from rawkd.files.write.dng import write_dng
from rawkd.files.write.raw_storage import tile_shape
from rawkd.photo import BAYER_PHASES, Capture, CFAPattern, ColorCalibration, Levels, RawPhoto, Rect, Tag

MATRIX = np.array([[0.7034, -0.0804, -0.1014], [-0.442, 1.2564, 0.2058], [-0.0851, 0.1994, 0.5758]])
SOFTWARE = "rawkd test"
GPS = (
    Tag(1, 2, 2, b"N\0"),
    Tag(2, 5, 3, struct.pack("<6I", 48, 1, 8, 1, 0, 1)),
    Tag(3, 2, 2, b"E\0"),
    Tag(4, 5, 3, struct.pack("<6I", 11, 1, 34, 1, 0, 1)),
)
CAPTURE = Capture(
    make="Canon",
    model="Canon EOS 6D",
    unique_camera_model="Canon EOS 6D",
    iso=1600,
    datetime="2024:05:06 07:08:09",
    exif=(Tag(33434, 5, 1, struct.pack("<II", 1, 125)), Tag(34855, 3, 1, struct.pack("<H", 1600))),
    gps=GPS,
)
PREVIEW = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)


def photo_of(
    shape: tuple[int, int] = (60, 132),
    area: Rect | None = None,
    pattern: str = "RGGB",
    levels: Levels | None = None,
    top_dn: int = 16383,
    **changes: Any,
) -> RawPhoto:
    frame = np.random.default_rng(shape[1]).integers(0, top_dn + 1, shape).astype(np.uint16)
    area = area or Rect(0, 0, *shape)
    photo = RawPhoto(
        frame=frame,
        active_area=area,
        default_crop=Rect(0, 0, area.height, area.width),
        pattern=CFAPattern(str(pattern)),
        levels=levels or Levels(np.full((2, 2), 512.0), 16383, 16383, 14),
        color=ColorCalibration(MATRIX, np.array([0.5, 1, 0.625]), 0.35),
        capture=CAPTURE,
    )
    return replace(photo, **changes)


def write(folder: Path, photo: RawPhoto, preview: NDArray[np.uint8] | None = PREVIEW, **options: Any) -> Path:
    path = folder / "out.dng"
    write_dng(path, photo, preview=preview, overwrite=True, software=SOFTWARE, **options)
    return path


def tree_of(path: Path) -> TagTree:
    with path.open("rb") as stream:
        tree = read_tiff(stream)
    assert tree is not None
    return tree


def raw_ifd(path: Path) -> Ifd:
    main = tree_of(path).main
    return main.sub[0] if main.sub else main


@pytest.mark.parametrize("pattern", BAYER_PHASES)
@pytest.mark.parametrize(
    ("shape", "area"),
    [
        ((300, 400), Rect(0, 0, 300, 400)),
        ((301, 401), Rect(1, 1, 299, 399)),
        ((301, 399), Rect(7, 12, 291, 380)),
        ((520, 1100), Rect(3, 5, 511, 1033)),
    ],
)
def test_libraw_reads_every_sample(tmp_path: Path, pattern: str, shape: tuple[int, int], area: Rect) -> None:
    photo = photo_of(shape, area, pattern)
    path = write(tmp_path, photo)
    with rawpy.imread(str(path)) as raw:
        assert np.array_equal(raw.raw_image, photo.frame)
        site = np.array([[raw.raw_color(area.top + r, area.left + c) for c in (0, 1)] for r in (0, 1)])
        visible = "".join(raw.color_desc.decode()[c] for c in site.ravel())
    assert visible == str(pattern)


@pytest.mark.parametrize("width", [95, 96, 97, 111, 112, 113, 128, 160, 512, 1024, 1025, 1536])
@pytest.mark.parametrize("has_preview", [True, False])
def test_widths_at_which_libraw_misreads_tiles(tmp_path: Path, width: int, has_preview: bool) -> None:
    photo = photo_of((40, width), top_dn=65535, levels=Levels(np.zeros((1, 1)), 65535, 65535, 16))
    path = write(tmp_path, photo, PREVIEW if has_preview else None)
    with rawpy.imread(str(path)) as raw:
        assert np.array_equal(raw.raw_image, photo.frame)


@given(st.integers(1, 30000), st.integers(96, 30000))
def test_tiles_are_none_that_libraw_misreads(height: int, width: int) -> None:
    tile_height, tile_width = tile_shape(height, width)
    assert tile_height % 16 == tile_width % 16 == 0
    assert tile_width < width
    assert 2 * tile_width != width
    assert max(tile_height, tile_width) <= 512 + 16


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(22, 62), st.integers(22, 162), st.sampled_from([255, 4095, 65535]))
def test_tifffile_reads_every_sample_of_any_size(tmp_path: Path, height: int, width: int, top_dn: int) -> None:
    photo = photo_of((height, width), top_dn=top_dn)
    with tifffile.TiffFile(write(tmp_path, photo)) as file:
        page = file.pages[0].pages[0]
        assert np.array_equal(page.asarray(), photo.frame)
        assert page.bitspersample == 16


@pytest.mark.parametrize(
    ("make", "model", "name"),
    [("Canon", "Canon EOS 6D", "Canon EOS 6D"), ("Sony", "ILCE-7", "Sony ILCE-7"), ("", "", "Unknown camera")],
)
def test_the_name_of_an_arrays_camera_has_the_make_once(tmp_path: Path, make: str, model: str, name: str) -> None:
    tree = read_tiff(io.BytesIO(write(tmp_path, photo_of(capture=Capture(make, model))).read_bytes()))
    assert tree is not None
    assert tree.main.text(50708) == name


@pytest.mark.parametrize(
    "photo",
    [
        photo_of(),
        photo_of((61, 135), Rect(3, 5, 55, 127), "GBRG", orientation=6, pixel_aspect=1.53),
        photo_of(
            levels=Levels(
                np.arange(16.0).reshape(4, 4) + 512.25, 15000, 15000, 14, np.arange(60.0) / 8, np.arange(132.0) / 16
            )
        ),
        photo_of(default_crop=Rect(3, 5, 50, 120), pixel_aspect=0.5, dng_version=(1, 6, 0, 0)),
    ],
)
def test_our_reader_finds_the_same_photo(tmp_path: Path, photo: RawPhoto) -> None:
    found = read_raw(write(tmp_path, photo, noise_profile=(4e-4, 1.25e-7)))
    assert np.array_equal(found.frame, photo.frame)
    for name in ("active_area", "default_crop", "pattern", "orientation", "dng_version"):
        assert getattr(found, name) == getattr(photo, name), name
    for name in ("make", "model", "unique_camera_model", "iso", "datetime"):
        assert getattr(found.capture, name) == getattr(photo.capture, name), name
    assert set(photo.capture.exif) <= set(found.capture.exif)
    assert set(photo.capture.gps) <= set(found.capture.gps)
    assert found.noise_profile == (4e-4, 1.25e-7)
    assert found.pixel_aspect == pytest.approx(photo.pixel_aspect, rel=1e-9)
    assert np.array_equal(found.levels.black_dn, photo.levels.black_dn)
    assert found.levels.white_dn == photo.levels.white_dn
    for name in ("row_delta_dn", "column_delta_dn"):
        seen, given_deltas = getattr(found.levels, name), getattr(photo.levels, name)
        assert seen is given_deltas is None or np.array_equal(seen, given_deltas), name
    assert np.array_equal(found.color.camera_from_xyz, photo.color.camera_from_xyz)
    assert np.array_equal(found.color.as_shot_neutral, photo.color.as_shot_neutral)
    assert found.color.baseline_exposure == photo.color.baseline_exposure


def test_colour_tags_of_the_source_are_written_untouched(tmp_path: Path) -> None:
    odd = struct.pack("<" + "ii" * 9, *(n for i in range(9) for n in (1234567 * (i + 1), 10000019)))
    tags = (Tag(50721, 10, 9, odd), Tag(50728, 5, 3, struct.pack("<6I", 3, 7, 1, 1, 5, 9)), Tag(50778, 3, 1, b"\x11\0"))
    photo = photo_of(color=ColorCalibration(MATRIX, np.ones(3), 0.35, tags))
    main = tree_of(write(tmp_path, photo)).main
    assert tuple(main.tags[tag.number] for tag in tags) == tags
    assert 50730 not in main.tags, "a field that the source lacks was made up"


def exif_of(path: Path) -> Ifd:
    exif = tree_of(path).main.exif
    assert exif is not None
    return exif


def test_what_the_capture_knows_reaches_exif(tmp_path: Path) -> None:
    known = Capture("Maker", "X", "Maker X", 1600, 1 / 250, 2.8, 35.0, "2024:05:06 07:08:09")
    path = write(tmp_path, photo_of(capture=known))
    assert [exif_of(path).number(number) for number in (34855, 33434, 33437, 37386)] == [1600, 1 / 250, 2.8, 35]
    found = read_raw(path).capture
    for name in ("make", "model", "iso", "exposure_s", "aperture", "focal_length_mm", "datetime"):
        assert getattr(found, name) == getattr(known, name), name
    stated = replace(known, exif=(Tag(34855, 3, 1, b"\x64\0"),))
    assert exif_of(write(tmp_path, photo_of(capture=stated))).number(34855) == 100, "the source's own field wins"


def test_an_iso_beyond_16_bits_is_written_twice(tmp_path: Path) -> None:
    path = write(tmp_path, photo_of(capture=Capture(iso=102400)))
    assert [exif_of(path).number(number) for number in (34855, 34864, 34866)] == [65535, 2, 102400]
    assert read_raw(path).capture.iso == 102400


def test_what_the_source_calls_unknown_is_not_copied(tmp_path: Path) -> None:
    nothing, apex = struct.pack("<II", 0, 1000000), struct.pack("<ii", 0, 1)
    exif = (
        Tag(33434, 5, 1, nothing),
        Tag(33437, 5, 1, struct.pack("<II", 0, 0)),
        Tag(37377, 10, 1, apex),
        Tag(37378, 5, 1, apex),
        Tag(37386, 5, 1, nothing),
        Tag(42034, 5, 4, struct.pack("<8I", 24, 1, 70, 1, 0, 0, 0, 0)),  # 0/0 means unknown here, by EXIF itself
    )
    path = write(tmp_path, photo_of(capture=replace(CAPTURE, exif=exif)))
    assert not {33434, 33437, 37377, 37378, 37386} & exif_of(path).tags.keys()
    assert exif_of(path).tags[42034] == exif[-1]
    assert read_raw(path).capture.exposure_s is None


def test_texts_are_closed_by_a_zero(tmp_path: Path) -> None:
    exif = (Tag(33432, 2, 4, b"(c)!"), Tag(42036, 2, 5, b"35mm!"))
    path = write(tmp_path, photo_of(capture=replace(CAPTURE, exif=exif), tags=(Tag(50735, 2, 3, b"123"),)))
    main = tree_of(path).main
    assert [main.tags[33432].data, main.tags[50735].data, exif_of(path).tags[42036].data] == [
        b"(c)!\0",
        b"123\0",
        b"35mm!\0",
    ]
    if shutil.which("exiftool"):
        assert exiftool(path) == ["OK"]


@pytest.mark.parametrize("strip", [False, True])
def test_private_data_and_its_safety_go_together(tmp_path: Path, strip: bool) -> None:
    tags = (Tag(50740, 1, 6, b"Adobe\0"), Tag(50741, 3, 1, b"\1\0"))
    source = write(tmp_path, photo_of(tags=tags))
    copy = tmp_path / "copy.dng"
    write_dng(copy, read_raw(source), preview=None, software=SOFTWARE, strip_location=strip)
    assert {50740, 50741} & tree_of(copy).main.tags.keys() == (set() if strip else {50740, 50741})


OPCODES = Tag(51009, 7, 12, bytes(12))
GREEN_SPLIT = Tag(50733, 4, 1, struct.pack("<I", 500))
SERIAL = Tag(50735, 2, 4, b"123\0")
PRIVATE = Tag(50740, 1, 6, b"Adobe\0")
KEPT = (OPCODES, GREEN_SPLIT, SERIAL, PRIVATE)
STALE = (
    Tag(50712, 3, 2, bytes(4)),
    Tag(50972, 1, 16, bytes(range(16))),
    Tag(51111, 1, 16, bytes(range(16))),
    Tag(50781, 1, 16, bytes(range(16))),
    Tag(51041, 12, 2, struct.pack("<dd", 1, 1)),
)


@pytest.mark.parametrize("preview", [PREVIEW, None])
def test_fields_of_the_source_stand_where_they_belong(tmp_path: Path, preview: NDArray[np.uint8] | None) -> None:
    path = write(tmp_path, photo_of(tags=KEPT + STALE), preview)
    main, raw = tree_of(path).main, raw_ifd(path)
    assert raw.tags[51009] == OPCODES
    assert raw.tags[50733] == GREEN_SPLIT
    assert main.tags[50735] == SERIAL
    assert main.tags[50740] == PRIVATE
    for ifd in (main, raw):
        assert not ({tag.number for tag in STALE} - {51111}) & ifd.tags.keys()
    assert main.tags[51111].data not in (b"", bytes(range(16)))  # of this file, not of the source
    if preview is not None:
        assert not {51009, 50733} & main.tags.keys()
        assert not {50735, 50740, 50706} & raw.tags.keys()


@pytest.mark.parametrize(
    ("photo", "version", "backward"),
    [
        (photo_of(), (1, 4, 0, 0), (1, 1, 0, 0)),
        (photo_of(dng_version=(1, 1, 0, 0)), (1, 4, 0, 0), (1, 1, 0, 0)),
        (photo_of(tags=(OPCODES,)), (1, 4, 0, 0), (1, 3, 0, 0)),
        (photo_of(tags=(Tag(50707, 1, 4, b"\1\4\0\0"),), dng_version=(1, 7, 1, 0)), (1, 7, 1, 0), (1, 4, 0, 0)),
        (photo_of(tags=(Tag(50707, 1, 4, b"\1\0\0\0"), OPCODES)), (1, 4, 0, 0), (1, 3, 0, 0)),
        (photo_of(tags=(Tag(50707, 1, 3, b"\2\0\0"),)), (1, 4, 0, 0), (1, 1, 0, 0)),
        (
            photo_of(
                dng_version=(1, 6, 0, 0),
                color=ColorCalibration(MATRIX, np.ones(3), 0, (Tag(52529, 3, 1, b"\x17\0"),)),
            ),
            (1, 6, 0, 0),
            (1, 6, 0, 0),
        ),
    ],
)
def test_versions(tmp_path: Path, photo: RawPhoto, version: Sequence[int], backward: Sequence[int]) -> None:
    main = tree_of(write(tmp_path, photo)).main
    assert main.numbers(50706) == version
    assert main.numbers(50707) == backward


@pytest.mark.parametrize("orientation", range(1, 9))
def test_preview_is_turned_by_readers_to_what_was_given(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((48, 80, 3), np.uint8)
    upright[:16, :32] = (250, 20, 20)
    upright[32:, 48:] = (20, 20, 250)
    path = write(tmp_path, photo_of((300, 400), orientation=orientation), upright)
    with rawpy.imread(str(path)) as raw:
        thumb = raw.extract_thumb()
    assert thumb.format == rawpy.ThumbFormat.JPEG
    stored = Image.open(io.BytesIO(thumb.data))
    exif = Image.Exif()
    exif[274] = int(tree_of(path).main.number(274) or 0)
    tagged = io.BytesIO()
    stored.save(tagged, "PNG", exif=exif)
    seen = np.asarray(ImageOps.exif_transpose(Image.open(tagged)), np.int64)
    assert seen.shape == upright.shape
    assert np.abs(seen[4:12, 4:28] - upright[4:12, 4:28]).max() < 20
    assert np.abs(seen[36:44, 52:76] - upright[36:44, 52:76]).max() < 20


XMP = (
    b"<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?>"
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
    b'xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/" exif:GPSLatitude="48,8.0N" '
    b"exif:GPSLongitude='11,34.0E' crs:Exposure2012=\"+0.50\"><exif:GPSAltitude>52/1</exif:GPSAltitude>"
    b"<exif:GPSDestBearing/><crs:Contrast2012>+5</crs:Contrast2012></rdf:Description></rdf:RDF></x:xmpmeta>"
    b"<?xpacket end='w'?>"
)


def test_location_goes_on_request(tmp_path: Path) -> None:
    photo = photo_of(tags=(PRIVATE, Tag(33723, 7, 4, b"Isar"), SERIAL))
    with_gps = tree_of(write(tmp_path, photo, xmp=XMP)).main
    assert with_gps.gps is not None
    assert {tag.number: tag for tag in GPS}.items() <= with_gps.gps.tags.items()
    assert with_gps.tags[700].data == XMP
    path = write(tmp_path, photo, xmp=XMP, strip_location=True)
    main = tree_of(path).main
    assert main.gps is None
    assert not {34853, 33723, 50740} & main.tags.keys()
    assert main.tags[50735] == SERIAL
    assert b"GPS" not in path.read_bytes()
    assert b'crs:Exposure2012="+0.50"><crs:Contrast2012>+5</crs:Contrast2012>' in main.tags[700].data
    note = b"<rdf:RDF><other:Note>a walk with gps</other:Note></rdf:RDF>"
    assert tree_of(write(tmp_path, photo, xmp=note, strip_location=True)).main.tags[700].data == note
    wide = tree_of(write(tmp_path, photo, xmp=DRONE.decode().encode("utf-16"), strip_location=True)).main.tags[700].data
    narrow = tree_of(write(tmp_path, photo, xmp=DRONE, strip_location=True)).main.tags[700].data
    assert wide == narrow.decode().encode("utf-16")


DRONE = b"""<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5"
 drone-dji:GpsLatitude="+48.1" drone-dji:GpsLongtitude='11.5' drone-dji:Latitude = "48.1" photoshop:City="Isarstadt"
 crs:Temperature="5500"><photoshop:Country>Bavaria</photoshop:Country><Iptc4xmpExt:LocationCreated><rdf:Bag><rdf:li
 Iptc4xmpExt:City="Isarstadt"/></rdf:Bag></Iptc4xmpExt:LocationCreated><photoshop:CityScape>kept</photoshop:CityScape>
</rdf:Description>"""


def test_places_of_drones_and_of_captions_go_and_edits_stay(tmp_path: Path) -> None:
    kept = tree_of(write(tmp_path, photo_of(), xmp=DRONE, strip_location=True)).main.tags[700].data
    assert (
        kept.split()
        == (
            b"""<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5" crs:Temperature="5500">
        <photoshop:CityScape>kept</photoshop:CityScape> </rdf:Description>"""
        )
        .replace(b">\n        <", b"><")
        .split()
    )
    assert tree_of(write(tmp_path, photo_of(), xmp=DRONE)).main.tags[700].data == DRONE


def test_xmp_of_the_source_is_kept_unless_a_sidecar_comes(tmp_path: Path) -> None:
    photo = photo_of(tags=(Tag(700, 1, 3, b"own"),))
    assert tree_of(write(tmp_path, photo)).main.tags[700].data == b"own"
    assert tree_of(write(tmp_path, photo, xmp=b"sidecar")).main.tags[700].data == b"sidecar"  # neither is XML


def test_noise_profile_is_the_given_one_or_none(tmp_path: Path) -> None:
    photo = photo_of(noise_profile=(1e-3, 1e-6))
    assert 51041 not in raw_ifd(write(tmp_path, photo)).tags
    eight = (1e-3, 1e-6, 2e-3, 2e-6, 3e-3, 0.0, 2e-3, 2e-6)
    for profile in (eight[:2], eight[:6], eight):
        assert raw_ifd(write(tmp_path, photo, noise_profile=profile)).numbers(51041) == profile
    with pytest.raises(OutputError, match="NoiseProfile of 3"):
        write(tmp_path, photo, noise_profile=(1.0, 2.0, 3.0))


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = write(tmp_path, photo_of())
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        write_dng(path, photo_of(orientation=3), preview=None, software=SOFTWARE)
    with pytest.raises(OutputError):
        write(tmp_path, photo_of(), noise_profile=(1.0,))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.dng"]


def test_the_same_photo_gives_the_same_bytes(tmp_path: Path) -> None:
    assert write(tmp_path, photo_of()).read_bytes() == write(tmp_path, photo_of()).read_bytes()


def test_noise_compresses(tmp_path: Path) -> None:
    """Gaussian noise of 40 DN takes 8.1 bits a sample of the 16 stored plainly."""
    noise = 2000 + 40 * np.random.default_rng(1).standard_normal((512, 768))
    path = write(tmp_path, replace(photo_of((512, 768)), frame=noise.round().astype(np.uint16)), None)
    assert path.stat().st_size < 512 * 768 * 2 * 0.54


def exiftool(path: Path) -> list[str]:
    if shutil.which("exiftool") is None:
        pytest.skip("needs exiftool")
    arguments = ["exiftool", "-validate", "-warning", "-error", "-a", "-s3", str(path)]
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize("preview", [PREVIEW, None])
def test_exiftool_finds_nothing_to_say(tmp_path: Path, preview: NDArray[np.uint8] | None) -> None:
    photo = photo_of((61, 135), Rect(3, 5, 55, 127), tags=KEPT, orientation=8)
    assert exiftool(write(tmp_path, photo, preview, noise_profile=(1e-3, 1e-6), xmp=XMP)) == ["OK"]


def test_exiftool_sees_a_broken_file(tmp_path: Path) -> None:
    path = write(tmp_path, photo_of())
    data = bytearray(path.read_bytes())
    data[10:12] = b"\xff\xff"
    path.write_bytes(data)
    assert exiftool(path) != ["OK"]


def test_dcraw_reads_every_sample(tmp_path: Path) -> None:
    if shutil.which("dcraw") is None:
        pytest.skip("needs dcraw")
    photo = photo_of((300, 400))
    path = write(tmp_path, photo)
    pgm = subprocess.run(["dcraw", "-D", "-4", "-c", "-t", "0", str(path)], capture_output=True, check=True).stdout
    assert np.array_equal(np.frombuffer(pgm[-2 * photo.frame.size :], ">u2").reshape(photo.frame.shape), photo.frame)


def unknown_twins(capture: Capture) -> set[int]:
    """Exposure, aperture and focal length that the source gives as 0, which no copy repeats, and their APEX values."""
    fields = Ifd({tag.number: tag for tag in capture.exif})
    twins = {33434: 37377, 33437: 37378, 37386: 37386}
    return {one for number in twins if fields.number(number) == 0 for one in (number, twins[number])}


@pytest.mark.parametrize(
    "name",
    [
        "canon-s40-box.crw",
        "blackmagic-pocket-gbrg.dng",
        "canon-kiss-x4-hotpixels.dng",
        "gopro-hero7-chart-noiseprofile.dng",
    ],
)
def test_a_copy_of_a_real_photo_develops_the_same(data: Path, tmp_path: Path, name: str) -> None:
    source = data / "raw" / name
    photo = read_raw(source)
    copy = write(tmp_path, photo, noise_profile=photo.noise_profile)
    with rawpy.imread(str(source)) as before, rawpy.imread(str(copy)) as after:
        assert np.array_equal(before.raw_image, after.raw_image)
        assert before.sizes == after.sizes
        developed = [
            raw.postprocess(
                use_camera_wb=True, half_size=True, output_bps=16, demosaic_algorithm=rawpy.DemosaicAlgorithm.LINEAR
            )
            for raw in (before, after)
        ]
    assert np.array_equal(*developed)
    assert all(line == "OK" or "minor" in line for line in exiftool(copy))
    again = read_raw(copy)
    assert not photo.color.tags or again.color.tags == photo.color.tags
    versions = (50706, 50707)
    assert [tag for tag in again.tags if tag.number not in versions] == [
        tag for tag in photo.tags if tag.number not in versions
    ]
    unlike = {36864, *unknown_twins(photo.capture)}
    stated = {tag.number for tag in photo.capture.exif if tag.data.strip(b"\0")}
    unlike |= {306} - stated  # filled from the time of the capture
    assert [tag for tag in again.capture.exif if tag.number not in unlike] == [
        tag for tag in photo.capture.exif if tag.number not in unlike
    ]
