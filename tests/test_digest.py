"""NewRawImageDigest: the tile rule against a plain oracle, and the digest of what the writer stores."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from small_photos import noisy_photo

from rawkd.files.tiff.digest import raw_image_digest
from rawkd.files.write.dng import write_dng


def md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def by_pixels(samples: np.ndarray) -> bytes:
    """The rule pixel by pixel: row-major tiles of 256, planes one after the other, little-endian, MD5 of the MD5s."""
    height, width = samples.shape[:2]
    planes = [samples] if samples.ndim == 2 else [samples[:, :, plane] for plane in range(samples.shape[2])]
    size = samples.dtype.itemsize
    total = b""
    for top in range(0, height, 256):
        for left in range(0, width, 256):
            rows, columns = range(top, min(top + 256, height)), range(left, min(left + 256, width))
            data = b"".join(
                int(plane[y, x]).to_bytes(size, "little") for plane in planes for y in rows for x in columns
            )
            total += md5(data)
    return md5(total)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 300),
    st.sampled_from([1, 2, 255, 256, 257, 511, 512, 513]),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from([(), (1,), (3,)]),
    st.integers(0, 2**32 - 1),
)
def test_the_rule_at_odd_sizes(height: int, width: int, dtype: type, planes: tuple[int, ...], seed: int) -> None:
    samples = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (height, width, *planes), endpoint=True)
    if samples.size > 100_000:  # the oracle is slow
        samples = samples[:100]
    assert raw_image_digest(samples.astype(dtype)) == by_pixels(samples.astype(dtype))


def test_known_pictures() -> None:
    """Digests that Adobe's SDK found right in a file (tests/test_adobe_checks.py asks it again)."""
    ramp = (np.arange(300 * 270) % 65536).astype(np.uint16).reshape(300, 270)
    assert raw_image_digest(ramp).hex() == "795091eb3ded88f0668f54459dd91348"
    assert raw_image_digest(np.zeros((1, 1), np.uint16)).hex() == md5(md5(b"\0\0")).hex()


def test_byte_order_layout_and_threads_do_not_matter() -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (700, 530)).astype(np.uint16)
    expected = raw_image_digest(samples)
    assert raw_image_digest(samples.astype(">u2")) == expected
    assert raw_image_digest(np.asfortranarray(samples)) == expected
    with ThreadPoolExecutor(3) as pool:
        assert raw_image_digest(samples, pool.map) == expected
    samples[699, 529] ^= 1
    assert raw_image_digest(samples) != expected


@pytest.mark.parametrize("shape", [(203, 301), (30, 50)])  # tiles of JPEG, and one plain strip
def test_a_dng_states_the_digest_of_its_stored_samples(tmp_path: Path, shape: tuple[int, int]) -> None:
    photo = noisy_photo(*shape)
    write_dng(tmp_path / "a.dng", photo, preview=None, software="test")
    with tifffile.TiffFile(tmp_path / "a.dng") as file:
        page = file.pages[0]
        assert bytes(page.tags[51111].value) == by_pixels(page.asarray())
        assert np.array_equal(page.asarray(), photo.frame)  # masked pixels included
