"""Compare the colours that raw editors show of our DNGs of every kind of sensor with those of the scene.

    python benchmarks/raw_editors.py

It writes smooth scenes as DNGs of an X-Trans and a monochrome sensor, with margins, and as linear DNGs, and develops
them with LibRaw (dcraw_emu), darktable-cli and rawtherapee-cli, where installed. Each result is compared with that of
the same program on a Bayer DNG of the scene, about the centre, since programs leave out edges of different width. The
table is in docs/denoise.md.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from scenes_of_every_cfa import NEUTRAL, mosaicked, scene_photo

from rawkd.files.read.decode import Decoder
from rawkd.files.write.dng import write_dng
from rawkd.photo import CFAPattern, FloatArray, Mosaic, RawPhoto, Rect
from rawkd.render.linear import linear_picture

BORDER_PX, NOISE_DN = 16, 8
AREA = Rect(7, 11, 600, 720)
Develop = Callable[[Path, Path], list[str]]


def dcraw_emu(source: Path, output: Path) -> list[str]:
    return ["dcraw_emu", "-w", "-W", "-T", "-6", "-c", "0", "-Z", str(output), str(source)]


def darktable(source: Path, output: Path) -> list[str]:
    config = str(output.parent / "darktable")
    plain = ["--conf", "plugins/darkroom/workflow=none"]
    core = ["--core", "--library", ":memory:", "--configdir", config, "--cachedir", config, *plain]
    return ["darktable-cli", str(source), str(output), "--apply-custom-presets", "false", *core]


def rawtherapee(source: Path, output: Path) -> list[str]:
    return ["rawtherapee-cli", "-q", "-Y", "-t", "-b16", "-o", str(output), "-c", str(source)]


PROGRAMS: dict[str, Develop] = {"dcraw_emu": dcraw_emu, "darktable-cli": darktable, "rawtherapee-cli": rawtherapee}


def developed(program: str, source: Path) -> FloatArray:
    """The picture that a program makes of a file, (H, W, 3) or (H, W), in units of its mean."""
    output = source.with_suffix(f".{program}.tif")
    subprocess.run(PROGRAMS[program](source, output), check=True, capture_output=True)
    picture = tifffile.imread(output).astype(np.float32)
    return picture[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]


def difference(picture: FloatArray, expected: FloatArray) -> float:
    """The mean difference, as a part of the mean."""
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    size = [min(sizes) for sizes in zip(picture.shape[:2], expected.shape[:2], strict=True)]
    one, other = (_centre(array, size) for array in (picture, expected))
    return float(np.abs(one - other).mean() / other.mean())


def _centre(picture: FloatArray, size: list[int]) -> FloatArray:
    top, left = ((have - want) // 2 for have, want in zip(picture.shape[:2], size, strict=True))
    return picture[top : top + size[0], left : left + size[1]]


def grey_bayer() -> RawPhoto:
    """A Bayer photo of the monochrome scene: the camera colour of grey at all sites."""
    bayer = scene_photo(CFAPattern.RGGB, AREA)
    grey = np.repeat(scene_photo(CFAPattern.MONO, AREA).mosaic.data[..., None], 3, axis=2)
    data = mosaicked((grey * NEUTRAL).astype(np.float32), CFAPattern.RGGB)
    return bayer.with_mosaic(Mosaic(data, CFAPattern.RGGB))


def main() -> None:
    """Write, develop, compare, print a table."""
    whole = Rect(0, 0, AREA.height, AREA.width)
    with tempfile.TemporaryDirectory() as place, Decoder() as decoder:
        folder = Path(place)

        def write(name: str, photo: RawPhoto, *, linear: bool = False) -> Path:
            picture = linear_picture(photo, markesteijn=decoder.demosaic) if linear else None
            # some programs ignore where the crop begins, and RawTherapee 5.9 cannot decode tiles without any noise
            noise = np.random.default_rng(0).integers(0, NOISE_DN, photo.frame.shape)
            photo = replace(photo, default_crop=whole, frame=(photo.frame + noise).astype(np.uint16))
            write_dng(folder / f"{name}.dng", photo, preview=None, linear=picture, software="benchmark")
            return folder / f"{name}.dng"

        bayer, xtrans = scene_photo(CFAPattern.RGGB, AREA), scene_photo(CFAPattern.XTRANS.shifted(1, 4), AREA)
        mono = scene_photo(CFAPattern.MONO, AREA)
        colour = write("bayer", bayer.cut(whole))
        grey = write("grey", grey_bayer().cut(whole))
        files = {
            "X-Trans": (write("xtrans", xtrans), colour),
            "monochrome": (write("mono", mono), grey),
            "linear of Bayer": (write("linear", bayer, linear=True), colour),
            "linear of X-Trans": (write("linear-xtrans", xtrans, linear=True), colour),
        }
        programs = [name for name in PROGRAMS if shutil.which(name)]
        print(f"| DNG | {' | '.join(programs)} |\n|---|{'---|' * len(programs)}")
        for name, (source, other) in files.items():
            cells = []
            for program in programs:
                try:
                    cells.append(f"{difference(developed(program, source), developed(program, other)):.2%}")
                except (subprocess.CalledProcessError, OSError) as error:
                    cells.append(f"failed ({type(error).__name__})")
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
