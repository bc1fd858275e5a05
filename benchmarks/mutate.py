"""Read and write thousands of damaged copies of raw files; none may crash or hang.

    python benchmarks/mutate.py FILE... [--count 10000] [--seed 0] [--timeout 20] [--keep FOLDER]

A copy is either refused with a sentence, or read and written to files that open. Prints how many copies were read,
refused as damaged and refused as unsupported, the slowest one, and every copy that broke the rule (kept in FOLDER).
Exits 1 if there is one.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from rawkd.errors import InputError, UnsupportedRawError
from rawkd.files.read.decode import Decoder
from rawkd.files.read.pictures import read_picture
from rawkd.files.read.raw import read_raw
from rawkd.files.write.dng import write_dng
from rawkd.files.write.rendered import write_image
from rawkd.photo import RawPhoto
from rawkd.render.preview import render_preview
from rawkd.render.view import render

HEADER_BYTES = 4096
MESSAGE = re.compile(r"\S.*\S\. (Copy|Use|Give|Convert|Denoise|Check) ([^.]|\.(?=\w))+\.")
"""What is wrong. What to do."""


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a damaged copy: bytes changed (mostly near the start), a part zeroed or repeated, or the end cut off."""
    out = bytearray(data)
    kind = rng.integers(0, 8)
    if kind == 0:
        return bytes(out[: rng.integers(1, len(out))])
    if kind <= 2:
        start, length = rng.integers(0, len(out)), int(rng.integers(1, max(2, len(out) // 4)))
        source = int(rng.integers(0, len(out)))
        part = bytes(length) if kind == 1 else data[source : source + length]
        out[start : start + len(part)] = part
        return bytes(out[: len(data)])
    reach = min(len(out), HEADER_BYTES) if kind <= 6 else len(out)
    for at in rng.integers(0, reach, rng.integers(1, 17)):
        out[at] = rng.integers(0, 256) if rng.random() < 0.7 else out[at] ^ (1 << rng.integers(0, 8))
    return bytes(out)


def outcome(path: Path, decoder: Decoder, timeout_s: float) -> str:
    """Return read, damaged or unsupported for one file, or a sentence about what broke the rule."""
    try:
        photo = read_raw(path, timeout_s=timeout_s, decoder=decoder)
    except UnsupportedRawError as error:
        return "unsupported" if _is_sentence(error, path) else f"no sentence: {error}"
    except InputError as error:
        return "damaged" if _is_sentence(error, path) else f"no sentence: {error}"
    except Exception as error:  # this is what the script looks for
        return f"{type(error).__name__}: {error}"
    try:
        return _written(photo, path, decoder)
    except Exception as error:  # a photo that was read must be written
        return f"read, not written: {type(error).__name__}: {error}"


def _written(photo: RawPhoto, path: Path, decoder: Decoder) -> str:
    """Write what was read, and open it again."""
    dng, jpeg = path.with_name("written.dng"), path.with_name("written.jpg")
    write_dng(dng, photo, preview=render_preview(photo, 64), software="mutate", overwrite=True)
    write_image(jpeg, render(photo, dtype=np.uint8), photo.capture, software="mutate", overwrite=True)
    again = read_raw(dng, decoder=decoder)
    read_picture(jpeg)
    same = np.allclose(again.mosaic.data, photo.mosaic.data, rtol=1e-5, atol=1e-6)  # levels are fractions of 32 bits
    return "read" if same else "written with other samples"


def _is_sentence(error: InputError, path: Path) -> bool:
    """Return whether a message has the form "file: what is wrong. What to do." in one line."""
    text = str(error)
    return text.startswith(f"{path}: ") and MESSAGE.fullmatch(text.removeprefix(f"{path}: ")) is not None


def main() -> int:
    """Damage, read, write, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=20.0)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    slowest = (0.0, "")
    sources = [path.read_bytes() for path in options.files]
    with tempfile.TemporaryDirectory() as folder, Decoder() as decoder:
        for number in range(options.count):
            which = number % len(sources)
            copy = Path(folder) / f"mutated{options.files[which].suffix}"
            copy.write_bytes(mutated(sources[which], np.random.default_rng([options.seed, number])))
            start = time.perf_counter()
            result = outcome(copy, decoder, options.timeout)
            slowest = max(slowest, (time.perf_counter() - start, f"{options.files[which].name} #{number}"))
            counts[result] += 1
            if result not in ("read", "damaged", "unsupported"):
                print(f"{options.files[which].name} #{number}: {result}")
                if options.keep is not None:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    copy.rename(options.keep / f"{number}{copy.suffix}")
    print(*(f"{count:6d} {name}" for name, count in counts.most_common()), f"slowest {slowest}", sep="\n")
    return 0 if set(counts) <= {"read", "damaged", "unsupported"} else 1


if __name__ == "__main__":
    sys.exit(main())
