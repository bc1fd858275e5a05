"""How many tags exiftool reads from the maker notes of files, and how many of them from a DNG of ours.

    python benchmarks/maker_notes.py photo.nef photo.jpg photo.exv ...

The pixels are not decoded, so pruned raws will do, and JPEG and EXV files that hold a camera's EXIF: their maker notes
go through the same code as those of a raw. A row for each maker: files with maker notes, tags, tags that are there in
the DNG, tags with the same value. Needs exiftool.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rawkd.errors import RawkdError
from rawkd.files.read.containers import read_ciff_make_model, read_tag_tree
from rawkd.files.read.maker.keep import with_maker_notes
from rawkd.files.read.metadata import read_capture
from rawkd.files.tiff.maker_note import DNG_PRIVATE_DATA
from rawkd.files.tiff.tags import TagTree, read_tiff_bytes
from rawkd.files.write.dng import write_dng
from rawkd.photo import CFAPattern, ColorCalibration, Levels, RawPhoto, Rect

SIDE_PX = 256
EXIF = b"Exif\0\0"


def main() -> None:
    """Print the table."""
    rows: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.dng"
        for path in map(Path, sys.argv[1:]):
            before = tags(path)
            if not before:
                continue
            maker = written(path, output)
            after = tags(output)
            there = [name for name in before if name in after]
            same = sum(before[name] == after[name] for name in there)
            rows[maker] = [a + b for a, b in zip(rows[maker], (1, len(before), len(there), same), strict=True)]
            missing = sorted(before.keys() - after.keys())
            if missing:
                print(f"{path.name}: not in the DNG: {', '.join(missing[:8])}{' ...' if len(missing) > 8 else ''}")
    print("| maker | files | tags | in the DNG | same value |\n|---|---|---|---|---|")
    for maker, (files, total, there, same) in sorted(rows.items()):
        print(f"| {maker} | {files} | {total} | {there} ({there / total:.1%}) | {same} |")


def tags(path: Path) -> dict[str, Any]:
    """Return the tags that exiftool reads from the maker notes of a file."""
    done = subprocess.run(
        ["exiftool", "-j", "-G1", "-a", "-s", "-q", "-MakerNotes:all", str(path)], capture_output=True, check=False
    )
    found: dict[str, Any] = json.loads(done.stdout)[0] if done.stdout.strip() else {}
    return {name: value for name, value in found.items() if name != "SourceFile"}


def written(path: Path, output: Path) -> str:
    """Write a grey DNG with the capture data and maker notes of a file, and return the maker."""
    try:
        tree = _tree(path)
    except RawkdError:
        tree = None
    make_model = read_ciff_make_model(path) if tree is None else ("", "")
    capture = read_capture(tree, {}, make_model)
    own = () if tree is None else tuple(tag for tag in tree.main.tags.values() if tag.number == DNG_PRIVATE_DATA)
    whole = Rect(0, 0, SIDE_PX, SIDE_PX)
    photo = RawPhoto(
        frame=np.full((SIDE_PX, SIDE_PX), 500, np.uint16),
        active_area=whole,
        default_crop=whole,
        pattern=CFAPattern("RGGB"),
        levels=Levels(np.zeros((2, 2)), 1023, 1023, 10),
        color=ColorCalibration(np.eye(3), np.ones(3)),
        capture=replace(capture, gps=()),
        tags=own,
    )
    write_dng(output, with_maker_notes(photo, path, tree, {}), preview=None, software="rawkd", overwrite=True)
    return capture.make.split(" ")[0].upper() or "unknown"


def _tree(path: Path) -> TagTree | None:
    if path.suffix.lower() not in (".jpg", ".exv"):
        return read_tag_tree(path)
    data = path.read_bytes()
    return read_tiff_bytes(data[data.find(EXIF) + len(EXIF) :]) if EXIF in data else None


if __name__ == "__main__":
    main()
