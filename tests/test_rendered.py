from __future__ import annotations

import io
import shutil
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms
from small_photos import noisy_photo

from rawkd.errors import OutputError, UsageError
from rawkd.files.tiff.tags import TagTree, read_tiff_bytes
from rawkd.files.write.dng import write_dng
from rawkd.files.write.icc import srgb_profile
from rawkd.files.write.rendered import write_image
from rawkd.files.xmp.packet import RDF, parsed
from rawkd.photo import Capture, Tag
from rawkd.process import ProcessOptions, process_file
from rawkd.restore.options import DenoiseOptions

SOFTWARE = "rawkd test"
EXIF = (
    Tag(33434, 5, 1, struct.pack("<II", 1, 125)),
    Tag(34855, 3, 1, struct.pack("<H", 3200)),
    Tag(41730, 7, 8, bytes(8)),
    Tag(40962, 4, 1, struct.pack("<I", 6000)),
    Tag(33432, 2, 6, "© me\0".encode()),
)
GPS = (
    Tag(0, 1, 4, b"\2\3\0\0"),
    Tag(1, 2, 2, b"N\0"),
    Tag(2, 5, 3, struct.pack("<6I", 48, 1, 8, 1, 0, 1)),
    Tag(3, 2, 2, b"E\0"),
    Tag(4, 5, 3, struct.pack("<6I", 11, 1, 34, 1, 0, 1)),
    Tag(27, 7, 11, b"ASCII\0\0\0GPS"),
)
CAPTURE = Capture("Canon", "Canon EOS 6D", "Canon EOS 6D", datetime="2024:05:06 07:08:09", exif=EXIF, gps=GPS)
NAMES = ("a.tif", "a.tiff", "a.PNG", "a.jpg", "a.jpeg")


def picture(
    dtype: type[np.uint8] | type[np.uint16], height: int = 67, width: int = 129
) -> NDArray[np.uint8 | np.uint16]:
    y, x, c = np.mgrid[:height, :width, :3]
    noise = np.random.default_rng(0).normal(0, 0.004, (height, width, 3))
    signal = 0.5 + 0.4 * np.sin(x / 20 + c) * np.cos(y / 15) + noise
    return np.clip(np.rint(signal * np.iinfo(dtype).max), 0, np.iinfo(dtype).max).astype(dtype)


def depth_of(name: str) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if ".jp" in name else np.uint16


def write(folder: Path, name: str, **options: object) -> Path:
    path = folder / name
    capture = options.pop("capture", CAPTURE)
    rgb = options.pop("rgb", picture(depth_of(name)))
    write_image(path, rgb, capture, software=SOFTWARE, overwrite=True, **options)  # type: ignore[arg-type]
    return path


def png_chunks(path: Path) -> dict[bytes, bytes]:
    data, at, chunks = path.read_bytes(), 8, {}
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.setdefault(data[at + 4 : at + 8], data[at + 8 : at + 8 + length])
        at += 12 + length
    return chunks


def exif_of(path: Path) -> TagTree:
    suffix = path.suffix.lower()
    if suffix.startswith(".tif"):
        data = path.read_bytes()
    elif suffix == ".png":
        data = png_chunks(path)[b"eXIf"]
    else:
        data = Image.open(path).info["exif"].removeprefix(b"Exif\0\0")
    tree = read_tiff_bytes(data)
    assert tree is not None
    return tree


def icc_of(path: Path) -> bytes:
    if path.suffix.lower().startswith(".tif"):
        return exif_of(path).main.tags[34675].data
    profile: bytes = Image.open(path).info["icc_profile"]
    return profile


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(67, 129), (1, 1), (700, 533)])
def test_tiff_and_png_keep_every_sample(
    tmp_path: Path, dtype: type[np.uint8] | type[np.uint16], shape: tuple[int, int]
) -> None:
    rgb = picture(dtype, *shape)
    tiff, png = write(tmp_path, "a.tif", rgb=rgb), write(tmp_path, "a.png", rgb=rgb)
    for seen in (tifffile.imread(tiff), imagecodecs.png_decode(png.read_bytes())):
        assert seen.dtype == dtype
        assert np.array_equal(seen, rgb)
    with Image.open(png) as image:
        image.verify()


def test_a_view_that_is_not_contiguous_is_written_as_it_looks(tmp_path: Path) -> None:
    rgb = picture(np.uint16)[::-1, ::2]
    assert np.array_equal(tifffile.imread(write(tmp_path, "a.tif", rgb=rgb)), rgb)
    assert np.array_equal(imagecodecs.png_decode(write(tmp_path, "a.png", rgb=rgb).read_bytes()), rgb)


def test_jpeg_is_near_and_keeps_full_chroma_at_high_quality(tmp_path: Path) -> None:
    rgb = picture(np.uint8)
    sizes = []
    for quality, sampling in ((60, 2), (90, 2), (91, 0), (98, 0)):
        path = write(tmp_path, "a.jpg", rgb=rgb, jpeg_quality=quality)
        with Image.open(path) as image:
            error = np.asarray(image, np.float64) - rgb
            layers = [layer[1:3] for layer in image.layer]  # type: ignore[attr-defined]
        assert layers[0] == ((2, 2) if sampling else (1, 1))
        assert np.sqrt((error**2).mean()) < 6
        sizes.append(path.stat().st_size)
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("name", NAMES)
def test_every_format_carries_profile_and_capture(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name)
    assert icc_of(path) == srgb_profile()
    main = exif_of(path).main
    assert main.text(271) == "Canon"
    assert main.text(272) == "Canon EOS 6D"
    assert main.text(305) == SOFTWARE
    assert main.text(306) == "2024:05:06 07:08:09"
    assert main.text(33432) == "© me"
    assert main.number(274) == 1
    assert main.exif is not None
    assert main.exif.number(33434) == 1 / 125
    assert main.exif.number(34855) == 3200
    assert 41730 not in main.exif.tags, "the CFA of the raw picture is none of the rendered one"
    if not path.suffix.startswith(".tif"):
        assert (main.exif.number(40963), main.exif.number(40962)) == (67, 129)
    assert main.gps is not None
    assert tuple(main.gps.tags.values()) == GPS


@pytest.mark.parametrize("name", NAMES)
def test_a_grey_picture_has_no_fields_about_colour(tmp_path: Path, name: str) -> None:
    """EXIF 2.32: ComponentsConfiguration and YCbCrPositioning are about YCbCr, ColorSpace 1 is sRGB, 65535 neither."""
    for rgb, components, color_space in ((picture(depth_of(name)), 3, 1), (picture(depth_of(name))[..., 0], 1, 65535)):
        main = exif_of(write(tmp_path, name, rgb=rgb)).main
        assert main.exif is not None
        assert main.exif.number(40961) == color_space
        is_told = components == 3 and not Path(name).suffix.startswith(".tif")
        assert (37121 in main.exif.tags, 531 in main.tags) == (is_told, is_told)


@pytest.mark.parametrize("name", NAMES)
def test_location_goes_on_request(tmp_path: Path, name: str) -> None:
    capture = replace(CAPTURE, exif=(*EXIF, Tag(37500, 7, 8, b"48.13 N\0"), Tag(270, 2, 5, b"home\0")))
    path = write(tmp_path, name, strip_location=True, capture=capture)
    main = exif_of(path).main
    assert main.gps is None
    assert 34853 not in main.tags
    assert 270 not in main.tags
    assert b"48.13" not in path.read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_photo_of_which_nothing_is_known(tmp_path: Path, name: str) -> None:
    main = exif_of(write(tmp_path, name, capture=Capture())).main
    assert not {271, 272, 306, 34853} & main.tags.keys()
    assert main.text(305) == SOFTWARE


def test_fields_that_no_jpeg_holds_are_left_out(tmp_path: Path) -> None:
    capture = replace(CAPTURE, exif=(*EXIF, Tag(37510, 7, 70000, bytes(70000))))
    jpeg, png = (exif_of(write(tmp_path, name, capture=capture)).main.exif for name in ("a.jpg", "a.png"))
    assert jpeg is not None
    assert png is not None
    assert jpeg.number(33434) == 1 / 125
    assert 37510 not in jpeg.tags
    assert 37510 in png.tags


def test_the_profile_is_srgb_without_a_date() -> None:
    """Its primaries are those of IEC 61966-2-1 adapted to D50 (Lindbloom), its curve the one of that standard."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
    colorants = [profile.profile.red_colorant, profile.profile.green_colorant, profile.profile.blue_colorant]
    adapted = [(0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)]
    assert np.allclose([colorant[0] for colorant in colorants], adapted, atol=2e-4)
    grey = Image.fromarray(np.full((1, 1, 3), 128, np.uint8))
    lab = ImageCms.profileToProfile(grey, profile, ImageCms.createProfile("LAB"), outputMode="LAB")
    assert lab is not None
    lightness = 116 * (((128 / 255 + 0.055) / 1.055) ** 2.4) ** (1 / 3) - 16
    assert np.asarray(lab)[0, 0, 0] / 255 * 100 == pytest.approx(lightness, abs=0.4)
    assert srgb_profile()[24:36] == bytes(12)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_picture_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    assert write(tmp_path, name).read_bytes() == write(tmp_path, name).read_bytes()


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    eight, sixteen = picture(np.uint8), picture(np.uint16)
    for name, rgb, quality in (
        ("a.gif", eight, 92),
        ("a", eight, 92),
        ("a.jpg", sixteen, 92),
        ("a.jpg", eight, 0),
        ("a.jpg", eight, 101),
        ("a.png", eight[..., :2], 92),
        ("a.tif", eight.astype(np.float32), 92),
    ):
        with pytest.raises(UsageError, match=str(tmp_path / name)):
            write_image(tmp_path / name, rgb, CAPTURE, jpeg_quality=quality, software=SOFTWARE)
    with pytest.raises(OutputError, match="too large for a JPEG"):
        write_image(tmp_path / "a.jpg", np.zeros((1, 65501, 3), np.uint8), CAPTURE, software=SOFTWARE)
    path = write(tmp_path, "b.png")
    with pytest.raises(OutputError, match="exists already"):
        write_image(path, sixteen, CAPTURE, software=SOFTWARE)
    assert [entry.name for entry in tmp_path.iterdir()] == ["b.png"]


@pytest.mark.parametrize("name", NAMES)
def test_exiftool_finds_no_error(tmp_path: Path, name: str) -> None:
    if shutil.which("exiftool") is None:
        pytest.skip("needs exiftool")
    arguments = ["exiftool", "-validate", "-warning", "-error", "-a", "-s3", str(write(tmp_path, name))]
    lines = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.splitlines()
    deflate = "Invalid value for IFD0 tag 0x0103 Compression"  # exiftool knows TIFF 6.0 without Adobe's supplement
    assert [line for line in lines[1:] if line != deflate] == []
    assert lines[0] == "OK" or lines[1:] == [deflate]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no file's size")
@pytest.mark.parametrize("name", NAMES)
def test_a_disk_that_takes_only_a_part_leaves_the_older_picture(tmp_path: Path, name: str) -> None:
    import resource

    noise = np.random.default_rng(1).integers(0, 256, (128, 128, 3), np.uint8)  # of a single write
    path = write(tmp_path, name)
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(OutputError, match=str(path)):
            write_image(path, noise, CAPTURE, overwrite=True, software=SOFTWARE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


PACKET = b"""<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:lightroom="http://ns.adobe.com/lightroom/1.0/"
 xmp:Rating="4" xmp:ModifyDate="2024-05-06" crs:Exposure2012="+0.50" tiff:Orientation="6" photoshop:City="Isarstadt"
 dc:format="image/x-canon-cr2">
<dc:subject><rdf:Bag><rdf:li>heron</rdf:li><rdf:li>fog &amp; ice</rdf:li></rdf:Bag></dc:subject>
<lightroom:hierarchicalSubject><rdf:Bag><rdf:li>animal|heron</rdf:li></rdf:Bag></lightroom:hierarchicalSubject>
<crs:ToneCurve><rdf:Seq><rdf:li>0, 0</rdf:li></rdf:Seq></crs:ToneCurve>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"""
JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"


def xmp_of(path: Path) -> bytes:
    """The packet as other programs find it: Pillow's JPEG, the PNG chunk, tifffile's tag."""
    if path.suffix.startswith(".tif"):
        with tifffile.TiffFile(path) as file:
            tag = file.pages[0].tags.get(700)
            return b"" if tag is None else bytes(tag.value)
    if path.suffix == ".PNG":
        return png_chunks(path).get(b"iTXt", b"").removeprefix(b"XML:com.adobe.xmp\0\0\0\0\0")
    data = path.read_bytes()
    at = data.find(JPEG_XMP)
    if at < 0:
        return b""
    assert data[at - 4 : at - 2] == b"\xff\xe1"
    (length,) = struct.unpack_from(">H", data, at - 2)
    return data[at + len(JPEG_XMP) : at - 2 + length]


@pytest.mark.parametrize("name", NAMES)
def test_what_people_wrote_reaches_the_picture_and_edits_do_not(tmp_path: Path, name: str) -> None:
    packet = xmp_of(write(tmp_path, name, xmp=PACKET))
    for kept in (b'xmp:Rating="4"', b"<rdf:li>heron</rdf:li>", b"fog &amp; ice", b"animal|heron", b"Isarstadt"):
        assert kept in packet, kept
    for stale in (b"Exposure2012", b"ToneCurve", b"Orientation", b"ModifyDate", b"x-canon-cr2"):
        assert stale not in packet, stale
    assert packet.startswith(b"<?xpacket begin=")
    assert b"Isarstadt" not in xmp_of(write(tmp_path, name, xmp=PACKET, strip_location=True))
    assert b'xmp:Rating="4"' in xmp_of(write(tmp_path, name, xmp=PACKET, strip_location=True))


@pytest.mark.parametrize("name", NAMES)
def test_captions_of_the_source_reach_the_picture(tmp_path: Path, name: str) -> None:
    stars, words, iptc = Tag(18246, 3, 1, b"\4\0"), Tag(40094, 1, 4, b"h\0\0\0"), Tag(33723, 7, 4, b"Isar")
    tags = (stars, words, iptc, Tag(700, 1, len(PACKET), PACKET), Tag(50735, 2, 2, b"1\0"))
    path = write(tmp_path, name, tags=tags)
    main = exif_of(path).main
    assert (main.tags[18246], main.tags[40094]) == (stars, words)
    assert (33723 in main.tags) == (".tif" in name)
    assert 50735 not in main.tags
    assert b'xmp:Rating="4"' in xmp_of(path)
    assert b'xmp:Rating="4"' not in xmp_of(write(tmp_path, name, tags=tags, xmp=PACKET.replace(b'"4"', b'"2"')))
    stripped = exif_of(write(tmp_path, name, tags=tags, strip_location=True)).main
    assert 18246 in stripped.tags
    assert not {33723, 40094} & stripped.tags.keys()


def iptc_stream(*datasets: tuple[int, bytes], padding: bytes = b"\0\0\0") -> bytes:
    head = struct.pack(">BBBH", 0x1C, 1, 90, 3) + b"\x1b%G"
    return head + b"".join(struct.pack(">BBBH", 0x1C, 2, n, len(v)) + v for n, v in datasets) + padding


IPTC = iptc_stream(
    (120, "Night in Tromsø\rby boat".encode()), (25, b"aurora"), (25, b"Nordlicht & Eis"), (80, "Zoë".encode()),
    (5, b"Lights"), (55, b"20240506"), (60, b"070809+0200"), (90, b"Troms\xf8"), (105, b""), (116, b"\x01(c) me"),
)  # fmt: skip
RESOURCES = b"8BIM\x03\xed\x03abc\0\0\0\x01x\0" + b"8BIM\4\4\0\0" + struct.pack(">I", len(IPTC)) + IPTC


@pytest.mark.parametrize("tag", [Tag(33723, 7, len(IPTC), IPTC), Tag(34377, 7, len(RESOURCES), RESOURCES)])
@pytest.mark.parametrize("name", ["a.PNG", "a.jpg", "a.tif"])
def test_captions_of_iptc_reach_the_picture(tmp_path: Path, name: str, tag: Tag) -> None:
    """JPEG and PNG have them in their XMP, in the properties that the IPTC standard gives for them."""
    if name == "a.tif":
        assert exif_of(write(tmp_path, name, tags=(tag,))).main.tags[33723].data == IPTC
        return
    root = parsed(xmp_of(write(tmp_path, name, tags=(tag,))))
    found = {
        one.tag.partition("}")[2]: [li.text for li in one.iter(f"{{{RDF}}}li")] or one.text
        for one in root.findall(f".//{{{RDF}}}Description/*")
    }
    assert found == {
        "title": ["Lights"],
        "subject": ["aurora", "Nordlicht & Eis"],
        "DateCreated": "2024-05-06T07:08:09+02:00",
        "creator": ["Zoë"],
        "City": "Tromsø",
        "rights": ["(c) me"],
        "description": ["Night in Tromsø\nby boat"],
    }
    assert xmp_of(write(tmp_path, name, tags=(tag,), strip_location=True)) == b""


@pytest.mark.parametrize("name", ["a.PNG", "a.jpg"])
def test_what_xmp_says_goes_before_iptc(tmp_path: Path, name: str) -> None:
    iptc = Tag(33723, 7, len(IPTC), IPTC)
    packet = xmp_of(write(tmp_path, name, tags=(iptc,), xmp=PACKET))
    assert b"aurora" not in packet
    assert b"heron" in packet
    assert "Zoë".encode() in packet
    packet = xmp_of(write(tmp_path, name, tags=(iptc,), xmp=b"<x:xmpmeta><rdf:RDF"))
    assert b"aurora" in packet


@pytest.mark.parametrize("stream", [b"Isar", IPTC[:-8], IPTC[:20] + b"\x1c\2", b"\x1c\2\x19\x80\4\x7f\xff\xff\xffx"])
def test_iptc_that_cannot_be_read_is_a_warning(tmp_path: Path, stream: bytes) -> None:
    tags = (Tag(33723, 7, len(stream), stream),)
    for name, count in (("a.png", 1), ("a.jpg", 1), ("a.tif", 0)):
        rgb = picture(depth_of(name))
        said = write_image(tmp_path / name, rgb, CAPTURE, software=SOFTWARE, tags=tags)
        assert len(said) == count
        assert all("IPTC was not embedded" in one for one in said)


@pytest.mark.parametrize("name", ["a.PNG", "a.jpg"])
def test_exiftool_reads_captions_of_iptc(tmp_path: Path, name: str) -> None:
    if shutil.which("exiftool") is None:
        pytest.skip("needs exiftool")
    path = str(write(tmp_path, name, tags=(Tag(33723, 7, len(IPTC), IPTC),)))
    arguments = ["exiftool", "-s3", "-charset", "UTF8", "-Subject", "-Creator", "-XMP:DateCreated", "-warning", path]
    assert subprocess.run(arguments, capture_output=True, encoding="utf-8", check=True).stdout.splitlines() == [
        "aurora, Nordlicht & Eis",
        "Zoë",
        "2024:05:06 07:08:09+02:00",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_exiftool_reads_rating_and_keywords(tmp_path: Path, name: str) -> None:
    if shutil.which("exiftool") is None:
        pytest.skip("needs exiftool")
    path = str(write(tmp_path, name, xmp=PACKET))
    arguments = ["exiftool", "-s3", "-XMP:Rating", "-XMP:Subject", "-XMP:City", path]
    assert subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.splitlines() == [
        "4",
        "heron, fog & ice",
        "Isarstadt",
    ]
    found = subprocess.run(["exiftool", "-warning", "-error", "-s3", path], capture_output=True, text=True, check=True)
    assert found.stdout == ""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("packet", "sentence"),
    [
        (b"<x:xmpmeta><rdf:RDF", "not valid XML"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]>' + PACKET, "document type"),
        (b"<a>" * 5000 + b"</a>" * 5000, None),
        (b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>', None),
        (b"", None),
        (b"\0\0", None),
    ],
)
def test_a_packet_without_captions_is_not_embedded(tmp_path: Path, name: str, packet: bytes, sentence) -> None:
    path = tmp_path / name
    said = write_image(path, picture(depth_of(name)), CAPTURE, software=SOFTWARE, xmp=packet)
    assert xmp_of(path) == b""
    assert len(said) == (sentence is not None)
    assert sentence is None or sentence in said[0]


def test_a_packet_that_no_jpeg_holds_is_a_warning(tmp_path: Path) -> None:
    long = PACKET.replace(b"heron", b"h" * 70000, 1)
    said = write_image(tmp_path / "a.jpg", picture(np.uint8), CAPTURE, software=SOFTWARE, xmp=long)
    assert len(said) == 1
    assert "64 KiB" in said[0]
    assert write_image(tmp_path / "a.png", picture(np.uint8), CAPTURE, software=SOFTWARE, xmp=long) == ()


@pytest.mark.parametrize(("heron_bytes", "warned"), [(62_000, ["IPTC"]), (70_000, ["IPTC", "XMP was not embedded"])])
def test_a_jpeg_without_room_for_iptc_keeps_the_xmp(tmp_path: Path, heron_bytes: int, warned: list[str]) -> None:
    caption = iptc_stream((120, b"c" * 6000))
    tags, long = (Tag(33723, 7, len(caption), caption),), PACKET.replace(b"heron", b"h" * heron_bytes, 1)
    path = tmp_path / "a.jpg"
    said = write_image(path, picture(np.uint8), CAPTURE, software=SOFTWARE, tags=tags, xmp=long)
    assert len(said) == len(warned)
    assert all(word in one for word, one in zip(warned, said, strict=True))
    assert (b'xmp:Rating="4"' in xmp_of(path)) == (b"h" * heron_bytes in xmp_of(path)) == (len(warned) == 1)
    assert b"ccc" not in path.read_bytes()


@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_writer_uses_no_more_threads_than_it_may(tmp_path: Path, name: str, threads: int, monkeypatch) -> None:
    asked: list[int] = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers: int) -> None:
            asked.append(workers)
            super().__init__(workers)

    monkeypatch.setattr("rawkd.files.write.rendered.ThreadPoolExecutor", Pool)
    write(tmp_path, name, threads=threads)
    assert asked == ([threads] if name == "a.tif" else [])


@pytest.mark.parametrize("name", ["out.jpg", "out.png", "out.tif"])
def test_a_rating_in_a_sidecar_reaches_the_file(tmp_path: Path, name: str) -> None:
    write_dng(tmp_path / "in.dng", noisy_photo(60, 96), preview=None, software="test")
    (tmp_path / "in.xmp").write_bytes(PACKET)
    options = ProcessOptions(DenoiseOptions(strength=0, noise=(1e-3, 1e-6)), strip_location=True)
    report = process_file(tmp_path / "in.dng", tmp_path / name, options)
    assert b'xmp:Rating="4"' in (tmp_path / name).read_bytes()
    assert b"Isarstadt" not in (tmp_path / name).read_bytes()
    assert not any("XMP" in line for line in report.warnings)


def test_threads_of_the_options_reach_both_writers(tmp_path: Path, monkeypatch) -> None:
    asked: list[int] = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers: int) -> None:
            asked.append(workers)
            super().__init__(workers)

    for module in ("dng", "rendered"):
        monkeypatch.setattr(f"rawkd.files.write.{module}.ThreadPoolExecutor", Pool)
    write_dng(tmp_path / "in.dng", noisy_photo(120, 160), preview=None, software=SOFTWARE, threads=5)
    options = ProcessOptions(DenoiseOptions(strength=0, noise=(1e-3, 1e-6), threads=3))
    for name in ("out.dng", "out.tif"):
        process_file(tmp_path / "in.dng", tmp_path / name, options)
    assert asked == [5, 3, 3]
