from __future__ import annotations

import struct
from itertools import pairwise

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rawkd.files.write.ljpeg import CODES_MAX, COUNT_FLOOR, _huffman, encode_tile
from rawkd.photo import FrameArray

SHAPES = st.tuples(st.integers(1, 24), st.integers(1, 20)).map(lambda shape: (shape[0], 2 * shape[1]))
EXTREMES = st.sampled_from([0, 1, 255, 0x7FFF, 0x8000, 0x8001, 0xFFFF])


def decoded(jpeg: bytes, shape: tuple[int, int]) -> FrameArray:
    return np.asarray(imagecodecs.ljpeg_decode(jpeg)).reshape(shape)


def segments(jpeg: bytes) -> dict[int, bytes]:
    """Marker -> body, up to the scan."""
    found, at = {}, 2
    while 0xDA not in found:
        _, marker, length = struct.unpack_from(">BBH", jpeg, at)
        found[marker] = jpeg[at + 4 : at + 2 + length]
        at += 2 + length
    found[0] = jpeg[at:-2]
    return found


@settings(max_examples=150, deadline=None)
@given(hnp.arrays(np.uint16, SHAPES, elements=st.one_of(EXTREMES, st.integers(0, 65535))))
def test_any_tile_comes_back(tile: FrameArray) -> None:
    assert np.array_equal(decoded(encode_tile(tile), tile.shape), tile)


@pytest.mark.parametrize("bits", [1, 8, 12, 14, 16])
@pytest.mark.parametrize("shape", [(512, 512), (257, 300)])
def test_full_range_noise_comes_back(bits: int, shape: tuple[int, int]) -> None:
    tile = np.random.default_rng(bits).integers(0, 2**bits, shape).astype(np.uint16)
    assert np.array_equal(decoded(encode_tile(tile), shape), tile)


@pytest.mark.parametrize("value", [0, 0x7FFF, 0x8000, 0xFFFF])
def test_flat_tile_costs_little(value: int) -> None:
    tile = np.full((64, 64), value, np.uint16)
    jpeg = encode_tile(tile)
    assert np.array_equal(decoded(jpeg, tile.shape), tile)
    assert len(jpeg) < 64 * 64 / 8 + 100


def test_form_is_the_one_that_every_dng_reader_knows() -> None:
    tile = np.random.default_rng(0).integers(0, 4096, (32, 48)).astype(np.uint16)
    jpeg = encode_tile(tile)
    parts = segments(jpeg)
    assert struct.unpack(">BHHB", parts[0xC3][:6]) == (16, 32, 24, 2)
    components, predictor = parts[0xDA][0], parts[0xDA][5]
    assert (components, predictor) == (2, 1)
    assert jpeg.startswith(b"\xff\xd8")
    assert jpeg.endswith(b"\xff\xd9")
    scan = np.frombuffer(parts[0], np.uint8)
    assert (scan[np.flatnonzero(scan == 0xFF) + 1] == 0).all()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=17, max_size=17).filter(any))
def test_huffman_codes_are_prefix_free_short_and_never_all_ones(counts: list[int]) -> None:
    check_codes(np.array(counts))


def test_huffman_codes_of_the_worst_histogram_stay_short() -> None:
    fibonacci = [1, 1]
    while len(fibonacci) < 17:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    for total_scale in (1, 1000):
        check_codes(np.array(fibonacci) * total_scale)
    check_codes(np.array([2 * COUNT_FLOOR] + [1] * 16))


def check_codes(counts: np.ndarray) -> None:
    codes, lengths = _huffman(counts)
    assert ((lengths > 0) == (counts > 0)).all()
    assert lengths.max() <= CODES_MAX
    used = [f"{codes[s]:0{lengths[s]}b}" for s in np.flatnonzero(counts)]
    assert all(len(code) == lengths[s] for code, s in zip(used, np.flatnonzero(counts), strict=True))
    assert not any(set(code) == {"1"} for code in used)
    ordered = sorted(used)
    assert not any(later.startswith(code) for code, later in pairwise(ordered))


def test_size_is_near_the_entropy_of_the_differences() -> None:
    """JPEG codes a difference by its octave and the bits within: the octave's entropy and those bits are the bound.

    Huffman's codes cost up to 0.09 bits more than the entropy where the likeliest octave has 40 % (Gallager 1978).
    """
    sigma = 60.0
    rng = np.random.default_rng(3)
    tile = (4000 + sigma * rng.standard_normal((512, 512))).round().astype(np.uint16)
    tile[::2, 1::2] += 6000
    tile[1::2, ::2] += 6000
    same_color = np.abs(tile[:, 2:].astype(np.int64) - tile[:, :-2])
    octaves = np.bincount(np.frexp(same_color)[1].ravel())
    shares = octaves[octaves > 0] / octaves.sum()
    bound = -(shares * np.log2(shares)).sum() + (octaves * np.arange(len(octaves))).sum() / octaves.sum()
    jpeg = encode_tile(tile)
    assert bound - 0.05 < 8 * len(jpeg) / tile.size < bound + 0.15
    assert len(jpeg) < 0.8 * len(imagecodecs.ljpeg_encode(tile)), "the colours of the columns are not told apart"
