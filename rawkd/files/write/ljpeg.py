"""Encode one tile of a raw picture as lossless JPEG that every DNG reader decodes.

Source: ITU-T T.81, process 14 (SOF3), with predictor 1. A mosaic has two interleaved components (even and odd columns),
so that every Bayer pixel is predicted from its own colour. Adobe's converter writes the same form, and rawspeed
(darktable) reads no other; existing encoders use predictor 6 on one component. Monochrome pixels are one component,
linear ones three. The arithmetic runs on whole tiles. Numpy releases the interpreter lock during it, so tiles can be
encoded in threads.
"""

from __future__ import annotations

import heapq
import struct
from functools import cache

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import FrameArray

CODES_MAX = 16
"""Longest Huffman code that JPEG allows, in bits."""
COUNT_FLOOR = 2048
"""Each category is counted at least once in 2048 differences, which keeps codes within CODES_MAX: a 17-bit code needs a
frequency of 1 in 2584."""
RESERVED = 17
"""Symbol for the code that consists only of ones, which JPEG forbids."""
JOINED = 4
"""Number of neighbouring differences whose bits are joined first."""
NO_DIFFERENCE = 65536
"""Stands for no difference where their number is no multiple of `JOINED`; it has no bits."""
SIZE_BITS, WORD = np.uint64(5), np.uint64(64)
"""Bits that hold the size of a bit string, at most 31; bits in a word of the output."""
_EXTRA_SIZES = np.append(np.arange(16), 0)
"""Number of extra bits by category."""


def encode_tile(tile: FrameArray) -> bytes:
    """Return the lossless JPEG of a tile of a mosaic, (H, W) uint16 with any values; W is even.

    The JPEG frame is H x W/2 with two 16-bit components, which is how DNG stores a tile of a mosaic.
    """
    height, width = tile.shape
    return encode_components(tile.reshape(height, width // 2, 2))


def encode_components(tile: FrameArray) -> bytes:
    """Return the lossless JPEG of (H, W, components) uint16 with any values.

    The JPEG frame is H x W with 1 to 4 components of 16 bits.
    """
    height, width, components = tile.shape
    differences = np.empty(tile.shape, np.uint16)
    np.subtract(tile[:, 1:], tile[:, :-1], out=differences[:, 1:])
    np.subtract(tile[1:, 0], tile[:-1, 0], out=differences[1:, 0])
    np.subtract(tile[0, 0], np.uint16(0x8000), out=differences[0, 0])
    columns = _in_columns(differences.reshape(-1))
    runs, categories_of_runs = _runs()
    counts = np.add.reduceat(np.bincount(columns.reshape(-1), minlength=NO_DIFFERENCE + 1), runs)
    codes, lengths = _huffman(np.bincount(categories_of_runs, counts)[:17].astype(np.int64))
    strings = _strings(codes, lengths).take(columns)
    scan = _concatenated(strings).tobytes().replace(b"\xff", b"\xff\x00")  # T.81 B.1.1.5
    return b"".join((_headers(height, width, components, lengths), scan, b"\xff\xd9"))


def _in_columns(differences: FrameArray) -> NDArray[np.intp]:
    """Return (n,) differences as (`JOINED`, groups): neighbours in a column, the last one filled up."""
    whole, left = divmod(len(differences), JOINED)
    columns = np.full((JOINED, whole + bool(left)), NO_DIFFERENCE)
    columns[:, :whole] = differences[: whole * JOINED].reshape(whole, JOINED).T
    columns[:left, whole:] = differences[whole * JOINED :, None]
    return columns


@cache
def _magnitudes() -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
    """Return, for every difference modulo 65536, its category (T.81 table H.2) and its extra bits above `SIZE_BITS`.

    A category has as many extra bits as its number says, but 32768, the only difference in category 16, has none. The
    last entry stands for no difference.
    """
    signed = np.arange(65536).astype(np.uint16).astype(np.int16).astype(np.int64)
    categories = np.frexp(np.abs(signed))[1].astype(np.intp)
    extras = np.where(signed < 0, signed - 1, signed) & ((1 << _EXTRA_SIZES[categories]) - 1)
    return np.append(categories, 17), np.append(extras, 0).astype(np.uint64) << SIZE_BITS


@cache
def _runs() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where runs of differences of the same category begin, and the categories of the runs."""
    categories, _ = _magnitudes()
    runs = np.flatnonzero(np.diff(categories, prepend=-1))
    return runs, categories[runs]


def _strings(codes: NDArray[np.uint32], lengths: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the code and the extra bits of every difference, above `SIZE_BITS` bits with their number."""
    categories, extras = _magnitudes()
    code = np.append(codes.astype(np.int64) << _EXTRA_SIZES, 0).astype(np.uint64)
    size = np.append(lengths + _EXTRA_SIZES, 0).astype(np.uint64)
    strings = ((code << SIZE_BITS) | size).take(categories)
    strings |= extras
    return strings


def _huffman(counts: NDArray[np.int64]) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Return canonical codes and their lengths for the categories that occur; the code of only ones stays unused."""
    floor = -(-int(counts.sum()) // COUNT_FLOOR)
    heap: list[tuple[int, tuple[int, ...]]] = [(max(int(n), floor), (symbol,)) for symbol, n in enumerate(counts) if n]
    heap.append((0, (RESERVED,)))
    heapq.heapify(heap)
    lengths = np.zeros(18, np.uint8)
    while len(heap) > 1:
        (n, group), (m, other) = heapq.heappop(heap), heapq.heappop(heap)
        merged = group + other
        lengths[list(merged)] += 1
        heapq.heappush(heap, (n + m, merged))
    codes = np.zeros(18, np.uint32)
    code = previous = 0
    for symbol in _by_length(lengths):
        code <<= int(lengths[symbol]) - previous
        previous = int(lengths[symbol])
        codes[symbol] = code
        code += 1
    return codes[:17], lengths[:17]


def _by_length(lengths: NDArray[np.uint8]) -> list[int]:
    """Return the symbols that have a code, in the order of their codes, shortest first."""
    return sorted(np.flatnonzero(lengths).tolist(), key=lambda symbol: (int(lengths[symbol]), symbol))


def _headers(height: int, width: int, components: int, lengths: NDArray[np.uint8]) -> bytes:
    """Return the markers before the scan: SOI, DHT, SOF3 and SOS. All components share one table."""
    symbols = _by_length(lengths)
    per_length = np.bincount(lengths[symbols], minlength=CODES_MAX + 1)[1:].astype(np.uint8).tobytes()
    table = b"\x00" + per_length + bytes(symbols)
    numbers = range(components)
    frame = struct.pack(">BHHB", 16, height, width, components) + b"".join(bytes((n, 0x11, 0)) for n in numbers)
    scan = bytes((components, *(byte for n in numbers for byte in (n, 0)), 1, 0, 0))
    parts = ((0xC4, table), (0xC3, frame), (0xDA, scan))
    return b"\xff\xd8" + b"".join(struct.pack(">BBH", 0xFF, mark, len(body) + 2) + body for mark, body in parts)


def _concatenated(strings: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Concatenate bit strings, most significant bit first; the last byte is padded with ones.

    Strings are joined to groups of at most 64 bits: pairs (twice 16 bits of code and 15 extra bits), or where all of
    them are that short, four. So a group starts in every 64-bit word of the output. As groups share no bits, the sums
    of those that start in a word, differences of one running sum, assemble it.

    Parameters
    ----------
    strings : (`JOINED`, n) as returned by `_strings`; changed.
    """
    sizes = strings & np.uint64((1 << int(SIZE_BITS)) - 1)
    strings >>= SIZE_BITS
    pairs = _joined(strings, sizes)
    fours = _joined(*pairs)
    strings, sizes = (each.T.reshape(-1) for each in (fours if fours[1].max() <= WORD else pairs))
    starts = np.cumsum(sizes)
    total = int(starts[-1])
    starts -= sizes
    shifts = starts & (WORD - np.uint64(1))
    starts //= WORD
    lasts = np.append(np.flatnonzero(starts[1:] != starts[:-1]), len(starts) - 1)
    strings <<= WORD - sizes
    out = np.zeros(len(lasts) + 1, np.uint64)
    out[1:] = strings[lasts] << (WORD - shifts[lasts])  # of the last group, what reaches into the next word
    strings >>= shifts
    sums = np.cumsum(strings)[lasts]  # modulo 2^64
    out[:-1] += sums
    out[1:-1] -= sums[:-1]
    stream = out.astype(">u8").view(np.uint8)[: -(-total // 8)]
    stream[-1] |= (1 << (-total % 8)) - 1
    return stream


def _joined(strings: NDArray[np.uint64], sizes: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Join each string of an even row with that of the row below; return the strings and their numbers of bits."""
    joined = strings[0::2] << sizes[1::2]
    joined |= strings[1::2]
    return joined, sizes[0::2] + sizes[1::2]
