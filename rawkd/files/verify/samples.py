"""Decode the stored integers of a DNG's raw picture without LibRaw, which would linearise and crop them.

Sources: TIFF 6.0, sections 3 (strips) and 15 (tiles); DNG specification 1.7, chapter 3 (compression); ITU-T T.81 for
the headers of lossless JPEG. imagecodecs does the decoding.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import InputError, UnsupportedRawError
from rawkd.files.read.decode_child import MAX_PIXELS
from rawkd.files.tiff.dng_tags import BITS, COMPRESSION, SAMPLE_FORMAT, SAMPLES_PER_PIXEL, size_of
from rawkd.files.tiff.ifd import STRIPS, TILES
from rawkd.files.tiff.tags import Ifd
from rawkd.files.verify.blocks import DAMAGED, block_of, number_of_blocks, refuse_cut
from rawkd.photo import Rect

Samples = NDArray[Any]
"""(H, W) or (H, W, samples for each pixel), uint8 or uint16."""
Map = Callable[[Callable[[int], None], Iterable[int]], Iterable[None]]

FILL_ORDER, PLANAR_CONFIGURATION = 266, 284
PLAIN, JPEG = 1, 7
REARRANGED = {50974: "sub-tiles", 50975: "interleaved rows", 52547: "interleaved columns"}
LOSSLESS = 0xC3
"""SOF marker of lossless JPEG; others are lossy."""
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
LONGEST_HEADER = 1 << 16
MOST_PADDING = 4
"""Most samples of a JPEG as a multiple of those of its tile, so that a damaged header cannot ask for all memory."""
LEAST_BITS = 1
"""Fewest bits of a sample: that of one Huffman code of lossless JPEG (T.81, annex H)."""


@dataclass(frozen=True)
class _Storage:
    """How a raw picture is stored.

    Attributes
    ----------
    height, width, samples : of the picture. bits : of a sample. compression : PLAIN or JPEG. order : "<" or ">".
    block : height and width of a strip or tile, in pixels. offsets, counts : of each, in bytes.
    """

    height: int
    width: int
    samples: int
    bits: int
    compression: int
    order: Literal["<", ">"]
    block: tuple[int, int]
    is_tiled: bool
    offsets: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a sample in memory."""
        return np.dtype(np.uint8 if self.bits <= 8 else np.uint16)

    def place(self, index: int) -> Rect:
        """Return the part of the picture that strip or tile `index` holds; strips and tiles at the edge are cut."""
        height, width = self.block
        row, column = divmod(index, -(-self.width // width))
        top, left = row * height, column * width
        return Rect(top, left, min(height, self.height - top), min(width, self.width - left))


def stored_samples(stream: BinaryIO, raw: Ifd, run: Map = map) -> Samples:
    """Return the integers of a raw picture as they are stored.

    Parameters
    ----------
    stream : the file. raw : the directory of the picture.
    run : a `map`, such as that of a thread pool, which decodes strips or tiles at the same time.

    Raises
    ------
    UnsupportedRawError: if the samples are stored in a way that is not known here.
    InputError: if the file is damaged. OSError: if it cannot be read. MemoryError: if the picture does not fit.
    """
    refuse_cut(stream, raw)
    storage = _storage(stream, raw)
    picture = np.empty((storage.height, storage.width, storage.samples), storage.dtype)
    lock = threading.Lock()

    def decode(index: int) -> None:
        with lock:
            stream.seek(int(storage.offsets[index]))
            data = stream.read(int(storage.counts[index]))
        place = storage.place(index)
        picture[place.slices] = _decoded(data, storage, place)

    for _ in run(decode, range(len(storage.offsets))):
        pass
    return picture[..., 0] if storage.samples == 1 else picture


def _storage(stream: BinaryIO, raw: Ifd) -> _Storage:
    """Return how a picture is stored, after checking that it is understood."""
    stream.seek(0)
    height, width = size_of(raw)
    bits = raw.numbers(BITS) or (1.0,)
    samples = int(raw.number(SAMPLES_PER_PIXEL) or 1)
    is_tiled = TILES[0] in raw.tags
    storage = _Storage(
        height=height,
        width=width,
        samples=samples,
        bits=int(bits[0]),
        compression=int(raw.number(COMPRESSION) or PLAIN),
        order=">" if stream.read(2) == b"MM" else "<",
        block=block_of(raw),
        is_tiled=is_tiled,
        offsets=raw.numbers((TILES if is_tiled else STRIPS)[0]),
        counts=raw.numbers((TILES if is_tiled else STRIPS)[1]),
    )
    _refuse(raw, storage)
    if min(height, width, *storage.block) < 1 or not 1 <= samples <= 4 or len(set(bits)) != 1:
        raise InputError(DAMAGED.format("it does not state how its raw picture is stored"))
    if not len(storage.offsets) == len(storage.counts) == number_of_blocks((height, width), storage.block):
        raise InputError(DAMAGED.format("its strips or tiles and their byte counts differ in number"))
    for rows, columns in ((height, width), storage.block):
        if rows * columns > MAX_PIXELS:
            raise InputError(DAMAGED.format(f"it states {columns} x {rows} pixels"))
    if height * width * samples * LEAST_BITS > 8 * sum(storage.counts):
        raise InputError(DAMAGED.format(f"it states {width} x {height} pixels, but is too short for them"))
    return storage


def _refuse(raw: Ifd, storage: _Storage) -> None:
    """Refuse a storage that is not understood.

    Raises
    ------
    UnsupportedRawError: the message names it.
    """
    what = next((name for number, name in REARRANGED.items() if set(raw.numbers(number)) - {1.0}), "")
    if raw.number(SAMPLE_FORMAT) == 3:
        what = "floating-point samples"
    elif not 8 <= storage.bits <= 16:
        what = f"samples of {storage.bits} bits"
    elif storage.compression not in (PLAIN, JPEG):
        what = f"compression {storage.compression}"
    elif storage.samples > 1 and raw.number(PLANAR_CONFIGURATION) == 2:
        what = "separate planes"
    elif raw.number(FILL_ORDER) == 2:
        what = "reversed bits"
    if what:
        raise UnsupportedRawError(f"rawkd cannot check a raw picture with {what}")


def _decoded(data: bytes, storage: _Storage, place: Rect) -> Samples:
    """Return the samples of one strip or tile, (height, width, samples for each pixel)."""
    shape = (*(storage.block if storage.is_tiled else (place.height, place.width)), storage.samples)
    count = int(np.prod(shape))
    flat = _unpacked(data, storage, shape) if storage.compression == PLAIN else _from_jpeg(data, count)
    if flat.size < count or flat.dtype.itemsize > storage.dtype.itemsize:
        raise InputError(DAMAGED.format("a strip or tile of its raw picture has the wrong size"))
    return flat[:count].reshape(shape)[: place.height, : place.width]


def _unpacked(data: bytes, storage: _Storage, shape: tuple[int, ...]) -> Samples:
    """Return uncompressed samples; those of 9 to 15 bits are packed, and each row begins with a byte."""
    if storage.bits in (8, 16):
        size = storage.dtype.itemsize
        flat: Samples = np.frombuffer(data[: len(data) // size * size], storage.dtype.newbyteorder(storage.order))
        return flat
    import imagecodecs

    run_length = shape[1] * shape[2]
    row_bytes = -(-run_length * storage.bits // 8)
    if len(data) < row_bytes * shape[0]:
        return np.empty(0, storage.dtype)
    packed: Samples = imagecodecs.packints_decode(
        data[: row_bytes * shape[0]], storage.dtype, storage.bits, runlen=run_length
    )
    return packed.reshape(-1)


def _from_jpeg(data: bytes, count: int) -> Samples:
    """Return the samples of a lossless JPEG in the order of the stream.

    Its rows need not be those of the tile: components and width differ, only the number of samples agrees (DNG 1.7,
    chapter 3). libjpeg-turbo decodes it; the other decoders of imagecodecs are slower and crash on damaged files.

    Parameters
    ----------
    count : samples of the strip or tile.
    """
    import imagecodecs

    kind, stated = _frame_of(data)
    if kind in FRAMES - {LOSSLESS}:
        raise UnsupportedRawError("rawkd cannot check a raw picture with lossy JPEG")
    if kind != LOSSLESS or not count <= stated <= min(MOST_PADDING * count, 8 * len(data) // LEAST_BITS):
        raise InputError(DAMAGED.format("a strip or tile of its raw picture has the wrong size"))
    try:
        samples: Samples = imagecodecs.jpeg8_decode(data)
    except (RuntimeError, ValueError) as error:
        raise InputError(DAMAGED.format(f"a strip or tile of its raw picture cannot be decoded ({error})")) from error
    return samples.reshape(-1)


def _frame_of(jpeg: bytes) -> tuple[int, int]:
    """Return the SOF marker of a JPEG and the number of samples that it states; zeros if it has none."""
    at = 2
    while at + 10 <= min(len(jpeg), LONGEST_HEADER) and jpeg[at] == 0xFF:
        if jpeg[at + 1] in FRAMES:
            height, width = (int.from_bytes(jpeg[at + start : at + start + 2], "big") for start in (5, 7))
            return jpeg[at + 1], height * width * jpeg[at + 9]
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return 0, 0
