"""Small data sets in the formats of the public ones, and an identity denoiser to run over them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from small_photos import clean_signal

from rawkd.evaluation.datasets.case import Benchmark, Case
from rawkd.evaluation.scoring import Record, run
from rawkd.files.write.dng import write_dng
from rawkd.photo import Capture, CFAPattern, ColorCalibration, Levels, Mosaic, RawPhoto, Rect, Tag

GAIN, READ_VARIANCE = 2e-3, 4e-6


class Identity:
    """A denoiser that gives back a copy of what it gets."""

    name = "identity"

    def prepare(self, _case: Case) -> tuple[str, ...]:
        return ()

    def restore(self, case: Case) -> Mosaic:
        return Mosaic(case.noisy.data.copy(), case.noisy.pattern)

    def describe(self) -> dict[str, object]:
        return {"name": self.name}


def identity_records(benchmark: Benchmark) -> list[Record]:
    return run(benchmark, [Identity()]).records


def plain_psnr(noisy: np.ndarray, clean: np.ndarray) -> float:
    error = np.clip(noisy.astype(np.float64), 0, 1) - clean.astype(np.float64)
    return float(-10 * np.log10(np.mean(error**2)))


def noisy_of(clean: np.ndarray, seed: int, gain: float = GAIN) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noisy = gain * rng.poisson(clean / gain) + rng.normal(0, np.sqrt(READ_VARIANCE), clean.shape)
    return np.clip(noisy, 0, 1).astype(np.float32)


def blocks(scenes: int, count: int, side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """(scenes, count, side, side) noisy and clean, every block another part of one picture."""
    whole = clean_signal(scenes * side, count * side)
    clean = whole.reshape(scenes, side, count, side).transpose(0, 2, 1, 3).copy()
    return noisy_of(clean, 5), clean


def save_v5(path: Path, name: str, data: np.ndarray, *, cell: bool = False, axes: int = 2) -> None:
    from scipy.io import savemat

    savemat(path, {name: as_cell(data, axes) if cell else data}, do_compression=True)


def as_cell(data: np.ndarray, axes: int) -> np.ndarray:
    cells = np.empty(data.shape[:axes], object)
    for index in np.ndindex(*cells.shape):
        cells[index] = data[index]
    return cells


def save_v73(path: Path, name: str, data: np.ndarray, *, cell: bool = False, axes: int = 2) -> None:
    """As MATLAB does: axes reversed, cells as references, a user block of 512 bytes."""
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        if not cell:
            file.create_dataset(name, data=data.T, chunks=True, compression="gzip")
            return
        shape = data.shape[:axes] if axes > 1 else (data.shape[0], 1)
        references = np.empty(shape, h5py.ref_dtype)
        for index in np.ndindex(*shape):
            picture = data[index[:axes]]
            place = file.create_dataset(f"#refs#/{'_'.join(map(str, index))}", data=picture.T)
            references[index] = place.ref
        file.create_dataset(name, data=references.T, dtype=h5py.ref_dtype)


def make_dnd(folder: Path, pattern: list[list[int]], *, pictures: int = 2, boxes: int = 2) -> np.ndarray:
    """info.mat and images_raw/ of DND with small pictures; (pictures, 96, 128) signal."""
    import h5py

    (folder / "images_raw").mkdir(parents=True)
    data = noisy_of(clean_signal(96 * pictures, 128).reshape(pictures, 96, 128), 3)
    with h5py.File(folder / "info.mat", "w", userblock_size=512) as file:
        info = file.create_group("info")
        for name in ("camera", "nlf", "boundingboxes"):
            info.create_dataset(name, (1, pictures), h5py.ref_dtype)
        for index in range(pictures):
            camera = file.create_group(f"#refs#/camera{index}")
            camera.create_dataset("pattern", data=np.array(pattern, np.float64))
            nlf = file.create_group(f"#refs#/nlf{index}")
            nlf.create_dataset("a", data=[[GAIN * (index + 1)]])
            nlf.create_dataset("b", data=[[READ_VARIANCE]])
            corners = np.array([[1 + 32 * box, 1, 32 + 32 * box, 64] for box in range(boxes)], np.float64)
            box = file.create_dataset(f"#refs#/box{index}", data=corners.T)
            for name, target in (("camera", camera), ("nlf", nlf), ("boundingboxes", box)):
                info[name][0, index] = target.ref
            with h5py.File(folder / "images_raw" / f"{index + 1:04d}.mat", "w", userblock_size=512) as image:
                image.create_dataset("Inoisy", data=data[index].T)
    return data


def make_pmrid(folder: Path) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """benchmark.json and raw dumps: noisy and clean codes, and the meta data."""
    folder.mkdir(parents=True, exist_ok=True)
    clean = clean_signal(96, 128) * 0.5
    codes = [np.rint(picture * 65535).astype("<u2") for picture in (noisy_of(clean, 4), clean)]
    meta = {
        "name": "case0", "scene_id": "scene", "light": "dark", "ISO": 1600, "exp_time": 1.0, "bayer_pattern": "BGGR",
        "shape": [96, 128], "wb_gain": [1.8, 1.0, 1.6],
        "CCM": [[1.6, -0.4, -0.2], [-0.3, 1.5, -0.2], [0.0, -0.5, 1.5]],
        "ROIs": [[0, 0, 40, 33], [51, 20, 128, 96]],
    }  # fmt: skip
    for name, code in zip(("noisy.raw", "gt.raw"), codes, strict=True):
        code.tofile(folder / name)
    (folder / "benchmark.json").write_text(json.dumps([{"input": "noisy.raw", "gt": "gt.raw", "meta": meta}]))
    return codes[0], codes[1], meta


def raw_photo(
    signal: np.ndarray,
    pattern: CFAPattern = CFAPattern.RGGB,
    *,
    iso: float = 800,
    exposure_s: float = 0.1,
    white_dn: int = 16383,
) -> RawPhoto:
    """A photo of a signal, black 512."""
    levels = Levels(np.array([[512.0]]), white_dn, white_dn, 14)
    area = Rect(0, 0, *signal.shape)
    return RawPhoto(
        frame=levels.to_dn(signal.astype(np.float32)),
        active_area=area,
        default_crop=area,
        pattern=pattern,
        levels=levels,
        color=ColorCalibration(
            np.array([[0.9, -0.3, -0.1], [-0.4, 1.2, 0.2], [-0.1, 0.2, 0.6]]), np.array([0.5, 1, 0.6])
        ),
        capture=Capture(
            make="Rawkd",
            model="One",
            unique_camera_model="One",
            iso=iso,
            exposure_s=exposure_s,
            exif=(
                Tag(33434, 5, 1, round(exposure_s * 10000).to_bytes(4, "little") + (10000).to_bytes(4, "little")),
                Tag(34855, 3, 1, round(iso).to_bytes(2, "little")),
            ),
        ),
        noise_profile=(GAIN, READ_VARIANCE),
    )


def save_raw(path: Path, photo: RawPhoto, **changes: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    changed = replace(photo, **changes)
    write_dng(path, changed, preview=None, software="test", noise_profile=changed.noise_profile)
