"""Child process that runs LibRaw, so that a crash or hang costs one file, not the whole program.

Run as a script. It reads one request per line from stdin: {"path": ...} to decode a file (with "iso_only" only its
ISO), or {"bytes": ..., "passes": ...}, followed by so many bytes of a DNG, to demosaic its X-Trans mosaic. For each it
writes one line of JSON to stdout, and uint16 samples in native byte order if that has "shape". It imports no rawkd.

{"path": ..., "bytes": ..., "bands": ...} decodes a DNG faster. The bytes are directories that are to follow the file;
`Bands` in `rawkd/files/tiff/tile_bands.py` says what they and "bands" hold.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

MAX_PIXELS = 1 << 29
MIN_BITS_PER_PIXEL = 1 / 50
MAX_MESSAGE_BYTES = 1 << 20
SIDES = (1, 2, 6)
"""Sides of the cells that rawkd knows: monochrome, Bayer, X-Trans."""
DAMAGE = re.compile(
    r"^.*(Unexpected end of file|data corrupted at -?\d+|Corrupt JPEG data.*|Premature end of JPEG file)$", re.MULTILINE
)
"""Messages that mean lost pixels although `unpack` succeeds: the two of LibRaw's data callback, and libjpeg's warnings
about missing or wrong data. Other messages, such as a codec's notes, do not concern the pixels."""


def main() -> int:
    """Answer requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    try:
        messages = _messages()
    except OSError as error:
        _send(answers, {"ready": False, "text": f"cannot create a temporary file: {error.strerror}, see TMPDIR"})
        return 1
    with messages, Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # discard what LibRaw and its codecs print to stdout
        os.dup2(messages.fileno(), 2)
        try:
            import rawpy  # noqa: F401
        except ImportError as error:
            _send(answers, {"ready": False, "text": str(error)})
            return 1
        _send(answers, {"ready": True})
        for line in sys.stdin.buffer:
            request = json.loads(line)
            data = sys.stdin.buffer.read(request.get("bytes", 0))
            ways = {"passes": _demosaic, "bands": _answer_in_bands, "path": _answer}  # the next if one returns False
            for way in (ways[key] for key in ways if key in request):
                messages.seek(0)
                messages.truncate()
                if way(answers, messages, request, data):
                    break
    return 0


def _messages() -> IO[bytes]:
    """Open a file for LibRaw's messages, in memory if the system supports it: there may be no writable folder."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("messages"), "w+b", buffering=0)
    return tempfile.TemporaryFile()


def _answer(answers: IO[bytes], messages: IO[bytes], request: dict[str, Any], _: bytes) -> bool:
    import rawpy

    path = request["path"]
    try:
        with rawpy.RawPy() as raw:
            _open(raw, path)
            if request.get("iso_only"):
                return _send(answers, {"shape": (0, 0), "iso": raw.other.iso_speed})
            if kind := _refused(path, raw.sizes):
                return _send(answers, {"error": kind, "height": raw.sizes.raw_height, "width": raw.sizes.raw_width})
            raw.unpack()
            printed = _printed(messages, path)
            if damage := DAMAGE.search(printed):
                return _send(answers, {"error": "LibRawDataError", "text": damage.group()})
            header = _describe(raw) | {"messages": printed}
            _send(answers, header, *([raw.raw_image] if "shape" in header else []))
    except (rawpy.LibRawError, OSError, MemoryError, NotImplementedError, ValueError, OverflowError) as error:
        _send(answers, {"error": type(error).__name__, "text": str(error)})
    return True


def _refused(path: str, sizes: Any) -> str | None:
    """Return "size" if a file is too short for its pixels, "bare" if it has nothing but pixels; else None.

    LibRaw knows 130 sizes of files without a header (`const_table` in its identify.cpp) and takes any dump of pixels
    for the camera of its size. Only packed pixels with unused borders, as hacked Canon cameras write them, are telling.
    """
    pixels = sizes.raw_height * sizes.raw_width
    with Path(path).open("rb") as stream:
        is_tiff, bits = stream.read(4) in (b"II*\0", b"MM\0*"), 8 * stream.seek(0, io.SEEK_END)
    if pixels > MAX_PIXELS or pixels * MIN_BITS_PER_PIXEL > bits:
        return "size"
    has_borders = (sizes.height, sizes.width) != (sizes.raw_height, sizes.raw_width)
    is_packed = bits // pixels % 8 > 0
    return "bare" if not is_tiff and bits % pixels == 0 and not (is_packed and has_borders) else None


def _answer_in_bands(answers: IO[bytes], messages: IO[bytes], request: dict[str, Any], directories: bytes) -> bool:
    """Decode the bands of a DNG in threads and answer; return False, without an answer, if anything is unusual.

    "black" is None: LibRaw measures it in masked pixels, if it knows some, and the header has none.
    """
    import rawpy

    with ExitStack() as opened:
        try:
            header, frames = _decoded_in_bands(opened, request["path"], request["bands"], directories)
        except (rawpy.LibRawError, OSError, MemoryError, ValueError, RuntimeError):  # RuntimeError: no more threads
            return False
        if _printed(messages, request["path"]):
            return False
        _send(answers, header | {"messages": "", "black": None}, *frames)
    return True


def _decoded_in_bands(opened: ExitStack, path: str, bands: dict[str, Any], directories: bytes) -> tuple[Any, list[Any]]:
    """Return the header of a DNG, and the frame of each band; raise ValueError if something is unusual.

    All share one buffer, whose first bytes say which directory LibRaw opens. LibRaw stops without an error at a tile
    that does not begin as a JPEG, which makes the header cheap.
    """
    import rawpy

    size, at = bands["file_bytes"], bands["first_tile_at"]
    data = bytearray(size + len(directories))
    with Path(path).open("rb", buffering=0) as stream:
        if stream.readinto(data) != size:
            raise ValueError("the file has changed")
    data[size:] = directories
    buffer: Any = SimpleNamespace(read=lambda: data)  # rawpy keeps a reference and copies nothing
    with rawpy.RawPy() as whole:
        whole.open_buffer(buffer)
        start, data[at : at + 2] = data[at : at + 2], b"\0\0"
        header = _describe(whole)
        data[at : at + 2] = start
    raws = [opened.enter_context(rawpy.RawPy()) for _ in bands["directories_at"]]
    for raw, directory in zip(raws, bands["directories_at"], strict=True):
        data[:8] = b"II*\0" + directory.to_bytes(4, "little")
        raw.open_buffer(buffer)
    with ThreadPoolExecutor(bands["threads"]) as pool:
        list(pool.map(lambda raw: raw.unpack(), raws))
    frames = [raw.raw_image for raw in raws]
    if [[*header.get("shape", ())], *([*frame.shape] for frame in frames)] != bands["shapes"]:
        raise ValueError("another size")
    return header, frames


def _demosaic(answers: IO[bytes], _: IO[bytes], request: dict[str, Any], dng: bytes) -> bool:
    """Send the demosaiced pixels of a DNG: no white balance, no colour conversion, no curve.

    LibRaw runs Markesteijn's method for X-Trans mosaics: with three passes if the chosen quality is above 2, which is
    PPG's, and with one pass for PPG's.
    """
    import rawpy

    quality = rawpy.DemosaicAlgorithm
    try:
        with rawpy.RawPy() as raw:
            raw.open_buffer(io.BytesIO(dng))
            raw.unpack()
            method = quality.AHD if request["passes"] > 1 else quality.PPG
            levels = {"user_wb": [1.0] * 4, "user_black": 0, "user_sat": 65535, "adjust_maximum_thr": 0.0}
            plain = {"output_color": rawpy.ColorSpace.raw, "gamma": (1, 1), "no_auto_bright": True, "user_flip": 0}
            rgb = raw.postprocess(demosaic_algorithm=method, output_bps=16, **levels, **plain)
        _send(answers, {"shape": rgb.shape}, rgb)
    except (rawpy.LibRawError, MemoryError, ValueError) as error:
        _send(answers, {"error": type(error).__name__, "text": str(error)})
    return True


def _printed(messages: IO[bytes], path: str) -> str:
    """Return the messages that LibRaw and its codecs printed about a file, without the file's path."""
    messages.seek(0)
    return messages.read(MAX_MESSAGE_BYTES).decode("utf-8", "replace").replace(path, "")


def _open(raw: Any, path: str) -> None:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:  # LibRaw takes UTF-8 names only
        with Path(path).open("rb") as stream:
            raw.open_buffer(stream)
    else:
        raw.open_file(path)


def _describe(raw: Any) -> dict[str, Any]:
    """Return LibRaw's metadata of the file; "shape" is present only if the frame has one sample per pixel."""
    sizes = raw.sizes
    header: dict[str, Any] = {"colors": raw.num_colors, "color_desc": raw.color_desc.decode("ascii", "replace")}
    frame = raw.raw_image
    if frame.ndim != 2:
        return {**header, "kind": "stack"}
    pattern = raw.raw_pattern
    side = 1 if raw.num_colors == 1 else 0 if pattern is None or pattern.shape[0] != pattern.shape[1] else len(pattern)
    if side not in SIDES:
        return {**header, "kind": "pattern"}
    top, left = sizes.top_margin, sizes.left_margin
    # raw_pattern is anchored at the frame's origin and, with margins, may hold other colours than the picture
    sites = [int(raw.raw_color(top + y, left + x)) for y in range(side) for x in range(side)] if side > 1 else []
    header |= {"kind": "flat", "shape": frame.shape, "pixel_aspect": sizes.pixel_aspect, "flip": sizes.flip}
    header |= {
        "area": [top, left, sizes.height, sizes.width],
        "crop": [sizes.crop_top_margin, sizes.crop_left_margin, sizes.crop_height, sizes.crop_width],
        "sites": sites,
        "black": [int(value) for value in raw.black_level_per_channel],
        "white": int(raw.white_level),
        "camera_white": raw.camera_white_level_per_channel,
        "camera_wb": [float(value) for value in raw.camera_whitebalance],
        "camera_from_xyz": [float(value) for value in raw.rgb_xyz_matrix[:3].ravel()],
    }
    with suppress(ValueError):  # LibRaw knows no lens
        focal = {"min_focal_mm": float(raw.lens.min_focal), "max_focal_mm": float(raw.lens.max_focal)}
        header["lens"] = {"model": raw.lens.model, **focal}
    with suppress(ValueError, OverflowError, OSError):  # the time stamp is not a valid date
        other = raw.other
        stamp = other.timestamp
        date = stamp.strftime("%Y:%m:%d %H:%M:%S") if stamp.year > 1970 else None
        header |= {"iso": float(other.iso_speed), "exposure_s": float(other.shutter_speed), "datetime": date}
        header |= {"aperture": float(other.aperture), "focal_length_mm": float(other.focal_length)}
    return header


def _send(answers: IO[bytes], header: dict[str, Any], *frames: Any) -> bool:
    """Write a line of JSON and the bytes of the frames, one after the other; return True."""
    for part in (json.dumps(header).encode() + b"\n", *frames):
        data = memoryview(part).cast("B")
        while data:
            data = data[answers.write(data) :]
    return True


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(1)
