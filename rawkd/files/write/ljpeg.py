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


def encode_tile(tile: FrameArray) -> bytes:
    """Return the lossless JPEG of a tile of a mosaic, (H, W) uint16 with any values; W is even.

    The JPEG frame is H x W/2 with two 16-bit components, which is how DNG stores a tile of a mosaic.
    """
    height, width = tile.shape
    return encode_components(tile.reshape(height, width // 2, 2))


def encode_components(tile: FrameArray) -> bytes:
    """Return the lossless JPEG of (H, W, components) uint16 with any values; their number is even.

    The JPEG frame is H x W with 1 to 4 components of 16 bits.
    """
    height, width, components = tile.shape
    differences = np.empty(tile.shape, np.uint16)
    np.subtract(tile[:, 1:], tile[:, :-1], out=differences[:, 1:])
    np.subtract(tile[1:, 0], tile[:-1, 0], out=differences[1:, 0])
    np.subtract(tile[0, 0], np.uint16(0x8000), out=differences[0, 0])
    flat = differences.reshape(-1)
    categories, extra_sizes, extras = _magnitudes()
    counts = np.bincount(categories[flat], minlength=17)
    codes, lengths = _huffman(counts)
    bits = (codes[categories] << extra_sizes) | extras
    sizes = lengths[categories] + extra_sizes
    scan = _stuffed(_packed(bits[flat], sizes[flat]))
    return b"".join((_headers(height, width, components, lengths), scan, b"\xff\xd9"))


@cache
def _magnitudes() -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint32]]:
    """Return, for every difference modulo 65536, its category (T.81 table H.2) and the count and value of extra bits.

    32768, the only difference in category 16, has no extra bits.
    """
    signed = np.arange(65536).astype(np.uint16).astype(np.int16).astype(np.int64)
    categories = np.frexp(np.abs(signed))[1].astype(np.uint8)
    extra_sizes = np.where(categories == 16, 0, categories).astype(np.uint8)
    extras = np.where(signed < 0, signed - 1, signed) & ((1 << extra_sizes.astype(np.int64)) - 1)
    return categories, extra_sizes, extras.astype(np.uint32)


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


def _packed(bits: NDArray[np.uint32], sizes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Concatenate the bit strings, most significant bit first; the last byte is padded with ones.

    Bit strings are joined in pairs of at most 62 bits (twice 16 bits of code and 15 extra bits). A pair therefore
    starts in every 64-bit word of the output, and one reduction over the words assembles it.
    """
    pairs = bits[0::2].astype(np.uint64)
    pairs <<= sizes[1::2]
    pairs |= bits[1::2]
    pair_sizes = (sizes[0::2] + sizes[1::2]).astype(np.int64)
    ends = np.cumsum(pair_sizes)
    starts = ends - pair_sizes
    words = starts >> 6
    shifts = (starts & 63).astype(np.uint64)
    pairs <<= (64 - pair_sizes).astype(np.uint64)
    firsts = np.concatenate(([0], np.flatnonzero(words[1:] != words[:-1]) + 1))
    out = np.bitwise_or.reduceat(pairs >> shifts, firsts)
    lasts = np.concatenate((firsts[1:], [len(words)])) - 1
    spill = np.where(shifts[lasts] > 0, pairs[lasts] << ((64 - shifts[lasts]) & np.uint64(63)), np.uint64(0))
    out = np.concatenate((out, [np.uint64(0)]))
    out[1:] |= spill
    total = int(ends[-1])
    stream = out.astype(">u8").view(np.uint8)[: -(-total // 8)]
    stream[-1] |= (1 << (-total % 8)) - 1
    return stream


def _stuffed(stream: NDArray[np.uint8]) -> bytes:
    """Insert a zero after every 0xFF, as T.81 B.1.1.5 requires."""
    return np.insert(stream, np.flatnonzero(stream == 0xFF) + 1, 0).tobytes()
