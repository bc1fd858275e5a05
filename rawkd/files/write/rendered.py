"""Write rendered pictures: 16- or 8-bit TIFF and PNG, 8-bit JPEG; upright, with profile, EXIF, GPS and XMP.

Sources: TIFF 6.0; PNG third edition, 11.3 (iCCP, eXIf, iTXt); JPEG APP1 and APP2 by EXIF 2.32 and ICC.1, annex B; XMP
part 3 (tag 700, APP1 and iTXt).
"""

from __future__ import annotations

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from rawkd.cores import available_cores
from rawkd.errors import OutputError, UsageError
from rawkd.files.naming import FORMAT_OF_SUFFIX
from rawkd.files.tiff.exif import exif_block, merged, rendered_root
from rawkd.files.tiff.ifd import UNDEFINED, OutputIfd, integers, long, raw_bytes, short, write_tiff
from rawkd.files.write.atomic import atomic_output
from rawkd.files.write.icc import profile_of
from rawkd.files.write.private import without_private_exif, without_private_tags, without_private_xmp
from rawkd.files.write.xmp import captions_only, packet_of, without_location
from rawkd.files.xmp.iptc import IPTC, iptc_of, properties_of
from rawkd.files.xmp.packet import XMP
from rawkd.photo import Capture, Tag

RgbArray = NDArray[np.uint8] | NDArray[np.uint16]
"""(H, W, 3), or (H, W) of a grey picture."""

FORMATS = {suffix: name for suffix, name in FORMAT_OF_SUFFIX.items() if name != "dng"}
FULL_CHROMA_QUALITY = 90
"""JPEG stores chroma at full resolution above this quality, and at half resolution up to it."""
JPEG_SIDE_MAX = 65500
XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
APP1_XMP_BYTES_MAX = 65535 - 2 - len(XMP_NAME)
JPEG_XMP_LIMIT = "the XMP of a JPEG holds at most 64 KiB. Write a TIFF or PNG to keep all of it."
EXIF_BYTES_MAX = {"jpeg": 65535 - 2 - 6, "png": 2**24}
"""The largest EXIF block of each format that stores it as a block."""
STRIP_BYTES = 2**20
RATINGS, TITLES = frozenset({18246, 18249}), frozenset(range(40091, 40096))
"""User-written fields: ratings in stars and percent; titles and keywords of Windows."""
DEFLATE, HORIZONTAL_DIFFERENCE, DEFLATE_LEVEL = 8, 2, 1
MIN_IS_BLACK, RGB = 1, 2
PNG_LEVEL, PNG_RUN_LENGTH, PNG_FILTER_SUB = 1, 3, 16
"""On 16-bit pictures four times faster than the library's defaults, and slightly smaller (measured)."""


def write_image(
    path: Path,
    rgb: RgbArray,
    capture: Capture,
    *,
    jpeg_quality: int = 92,
    overwrite: bool = False,
    strip_location: bool = False,
    strip_private: bool = False,
    software: str,
    tags: tuple[Tag, ...] = (),
    xmp: bytes | None = None,
    threads: int | None = None,
) -> tuple[str, ...]:
    """Write an upright sRGB or grey picture in the format that the suffix names: .tif .tiff .png .jpg .jpeg.

    Parameters
    ----------
    rgb : (H, W, 3) encoded sRGB, or (H, W) grey with the curve of sRGB, over the full range of uint8, or of uint16 for
        TIFF and PNG.
    capture : source of EXIF and, unless `strip_location`, of GPS. Fields that describe the raw picture are replaced.
    jpeg_quality : 1 to 100.
    strip_location : leave out GPS and fields that may repeat it.
    strip_private : leave out serial numbers and the owner's name.
    software : name and version of the program, for the Software tag.
    tags : fields of the source; only user-written ones are kept: ratings, titles, keywords, XMP, IPTC.
        JPEG and PNG have the IPTC in their XMP, where that lacks it.
    xmp : packet of a sidecar, whose properties replace the source's. Edits of the raw picture are removed
        (`captions_only`).
    threads : number of threads for compression; None is one for each core that the process may use.

    Returns
    -------
    A warning for each thing that the picture cannot store.

    Raises
    ------
    UsageError: if suffix, pixels or quality are not supported, or 16 bits are given for a JPEG.
    OutputError: if the file exists and `overwrite` is false, or if it cannot be written.
    """
    file_format = FORMATS.get(path.suffix.lower())
    if file_format is None:
        suffix = path.suffix or "a file without suffix"
        raise UsageError(f"{path}: a picture cannot be written as {suffix}. Use one of {' '.join(FORMATS)}.")
    if (rgb.ndim != 2 and (rgb.ndim != 3 or rgb.shape[2] != 3)) or rgb.dtype not in (np.uint8, np.uint16):
        raise UsageError(f"{path}: a picture must be (H, W, 3) or (H, W), uint8 or uint16, not {rgb.dtype} {rgb.shape}")
    if file_format == "jpeg" and (rgb.dtype != np.uint8 or not 1 <= jpeg_quality <= 100):
        raise UsageError(f"{path}: a JPEG needs uint8 and quality 1 to 100, not {rgb.dtype} and {jpeg_quality}")
    if file_format == "jpeg" and max(rgb.shape) > JPEG_SIDE_MAX:
        raise OutputError(
            f"{path}: {rgb.shape[1]} x {rgb.shape[0]} pixels are too large for a JPEG. Write a .tif or .png."
        )
    iptc = b"" if strip_location else iptc_of(tags)
    make_packet = _jpeg_packet if file_format == "jpeg" else _packet
    packet, warnings = make_packet(tags, xmp, b"" if file_format == "tiff" else iptc, strip_location=strip_location)
    if strip_private:
        packet, more = without_private_xmp(packet)
        warnings += more
        capture, tags = without_private_exif(capture), without_private_tags(tags)
    wanted = RATINGS | (frozenset() if strip_location else TITLES)
    captions = [tag for tag in tags if tag.number in wanted]
    with atomic_output(path, overwrite) as temporary, temporary.open("wb") as stream:
        if file_format == "tiff":
            captions += [raw_bytes(IPTC, iptc, UNDEFINED)] if iptc else []
            captions += [raw_bytes(XMP, packet)] if packet else []
            main, directories = rendered_root(
                capture, software, strip_location=strip_location, is_grey=rgb.ndim == 2, captions=captions
            )
            _write_tiff(stream, rgb, main, directories, threads or available_cores())
            return warnings
        exif = exif_block(
            capture,
            rgb.shape[:2],
            software,
            strip_location=strip_location,
            limit_bytes=EXIF_BYTES_MAX[file_format],
            is_grey=rgb.ndim == 2,
            captions=captions,
        )
        if file_format == "jpeg":
            _write_jpeg(stream, rgb, exif, packet, jpeg_quality)
        else:
            _write_png(stream, rgb, exif, packet)
    return warnings


def _packet(
    tags: tuple[Tag, ...], xmp: bytes | None, iptc: bytes, *, strip_location: bool
) -> tuple[bytes, tuple[str, ...]]:
    """Return the XMP packet of the picture with the captions of IPTC, empty if there are none; and warnings."""
    warnings: tuple[str, ...] = ()
    more: dict[str, Element] = {}
    try:
        more = properties_of(iptc)
    except ValueError as error:
        warnings += (f"the photo's IPTC was not embedded: {error}. Write a TIFF to keep it.",)
    try:
        packet, left_out = packet_of(tags, xmp, strip_location=False)
        packet, warnings = captions_only(packet, more), warnings + left_out
    except ValueError as error:
        packet = captions_only(b"", more)
        warnings += (f"the photo's XMP was not embedded: {error}",)
    if strip_location:
        packet, left_out = without_location(packet)
        warnings += left_out
    return packet, warnings


def _jpeg_packet(
    tags: tuple[Tag, ...], xmp: bytes | None, iptc: bytes, *, strip_location: bool
) -> tuple[bytes, tuple[str, ...]]:
    """Return `_packet`, without IPTC if it is too large for a JPEG, or empty if it still is; and warnings."""
    packet, warnings = _packet(tags, xmp, iptc, strip_location=strip_location)
    if len(packet) > APP1_XMP_BYTES_MAX:
        shorter, more = _packet(tags, xmp, b"", strip_location=strip_location)
        if len(shorter) < len(packet):
            packet, warnings = shorter, (*more, f"the photo's captions (IPTC) were left out: {JPEG_XMP_LIMIT}")
    if len(packet) > APP1_XMP_BYTES_MAX:
        packet, warnings = b"", (*warnings, f"the photo's XMP was not embedded: {JPEG_XMP_LIMIT}")
    return packet, warnings


def _write_tiff(
    stream: BinaryIO,
    rgb: RgbArray,
    main: tuple[Tag, ...],
    directories: dict[int, tuple[OutputIfd, ...]],
    threads: int,
) -> None:
    """Write strips of about 1 MiB, horizontally differenced and deflated in threads."""
    import imagecodecs

    height, width = rgb.shape[:2]
    samples = 1 if rgb.ndim == 2 else 3
    rows = max(1, STRIP_BYTES // (width * samples * rgb.itemsize))

    def strip(top: int) -> bytes:
        part = rgb[top : top + rows]
        difference = part.astype(part.dtype.newbyteorder("<"))
        np.subtract(part[:, 1:], part[:, :-1], out=difference[:, 1:])
        return bytes(imagecodecs.deflate_encode(difference.tobytes(), level=DEFLATE_LEVEL))

    with ThreadPoolExecutor(threads) as pool:
        blocks = list(pool.map(strip, range(0, height, rows)))
    picture = (
        long(254, [0]),
        integers(256, [width]),
        integers(257, [height]),
        short(258, [8 * rgb.itemsize] * samples),
        short(259, [DEFLATE]),
        short(262, [MIN_IS_BLACK if samples == 1 else RGB]),
        short(277, [samples]),
        integers(278, [rows]),
        short(284, [1]),
        short(317, [HORIZONTAL_DIFFERENCE]),
        raw_bytes(34675, profile_of(rgb), UNDEFINED),
    )
    write_tiff(stream, OutputIfd(merged(picture, main), directories, blocks))


def _write_png(stream: BinaryIO, rgb: RgbArray, exif: bytes, xmp: bytes) -> None:
    """Write the library's PNG with profile, EXIF and XMP inserted after its header."""
    import imagecodecs

    encoded = memoryview(
        imagecodecs.png_encode(
            np.ascontiguousarray(rgb), level=PNG_LEVEL, strategy=PNG_RUN_LENGTH, filter=PNG_FILTER_SUB
        )
    )
    header_end = 8 + 25
    stream.write(encoded[:header_end])
    name = b"grey" if rgb.ndim == 2 else b"sRGB"
    stream.write(_png_chunk(b"iCCP", name + b"\0\0" + zlib.compress(profile_of(rgb), 9)))
    stream.write(_png_chunk(b"eXIf", exif))
    if xmp:
        stream.write(_png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
    stream.write(encoded[header_end:])


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _write_jpeg(stream: BinaryIO, rgb: RgbArray, exif: bytes, xmp: bytes, quality: int) -> None:
    from PIL import Image

    encoded = io.BytesIO()  # when Pillow writes to a file, it does not notice a disk that fills up
    Image.fromarray(rgb).save(
        encoded,
        "JPEG",
        quality=quality,
        subsampling="4:4:4" if quality > FULL_CHROMA_QUALITY or rgb.ndim == 2 else "4:2:0",
        icc_profile=profile_of(rgb),
        exif=b"Exif\0\0" + exif,
        extra=b"\xff\xe1" + struct.pack(">H", 2 + len(XMP_NAME) + len(xmp)) + XMP_NAME + xmp if xmp else b"",
    )
    stream.write(encoded.getbuffer())
