"""A camera of known noise that takes bursts of still scenes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rawkd.files.write.dng import write_dng
from rawkd.photo import Capture, CFAPattern, ColorCalibration, Levels, RawPhoto, Rect, Tag

GAIN_LAW = 6.7e-7, 9.7e-6
READ_LAW = 7.7e-13, 7.1e-10, 1.25e-7
"""Of the OPPO Reno 10x (PMRID, ECCV 2020), in signal units."""
SHAPE = 256, 512
RANGE_DN, BLACK_DN = 15488, 512
HOT = np.array([(3, 4), (100, 200), (101, 200), (255, 511), (30, 31)])
"""Rows and columns of the hot pixels in dark frames."""
QUANTISATION = 1 / 12 / RANGE_DN**2


def true_gain(iso: float) -> float:
    return float(np.polyval(GAIN_LAW, iso))


def true_read_variance(iso: float) -> float:
    """Quantisation included."""
    return float(np.polyval(READ_LAW, iso)) + QUANTISATION


def wedge(top: float = 0.7, seed: int = 5) -> np.ndarray:
    """A grey wedge from 1 % of `top` up, with a fixed pattern of 3 % and a darker corner, (256, 512)."""
    rng = np.random.default_rng(seed)
    height, width = SHAPE
    steps = np.geomspace(0.01, 1, 16)[np.arange(width) * 16 // width]
    falloff = 1 - 0.3 * np.linspace(0, 1, height)[:, None] ** 2
    return np.asarray(top * steps * falloff * (1 + 0.03 * rng.standard_normal(SHAPE)).clip(0.8, 1.2))


def black() -> np.ndarray:
    return np.zeros(SHAPE)


@dataclass
class Camera:
    """Takes frames; the light drifts by `drift` from frame to frame, rows share noise of `row_sd`.

    `gain_factors` are those of the noise classes of `pattern`; one for all.
    """

    drift: float = 0.0
    row_sd: float = 0.0
    black_offset_dn: float = 0.0
    model: str = "Lab One"
    seed: int = 0
    pattern: CFAPattern = CFAPattern.GRBG
    gain_factors: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def take(self, scene: np.ndarray, iso: float, *, label: float | None = None, exposure_s: float = 0.01) -> RawPhoto:
        """A frame of the scene at an ISO, labelled with it or with another one."""
        gain, read = true_gain(iso) * self._factors(), np.polyval(READ_LAW, iso)
        light = scene * (1 + self.drift * self.rng.uniform(-1, 1))
        noisy = gain * self.rng.poisson(light / gain) + self.rng.normal(0, np.sqrt(read), SHAPE)
        noisy += self.rng.normal(0, self.row_sd, (SHAPE[0], 1)) + self.black_offset_dn / RANGE_DN
        white, side = BLACK_DN + RANGE_DN, self.pattern.side
        levels = Levels(np.array([[float(BLACK_DN)]]), white, white, 14, cell_side=side)
        frame = np.minimum(levels.to_dn(noisy.astype(np.float32)), BLACK_DN + RANGE_DN)
        shown = iso if label is None else label
        exposure = np.array([round(exposure_s * 1e6), 1_000_000], "<u4").tobytes()
        exif = (Tag(33434, 5, 1, exposure), Tag(34855, 3, 1, int(shown).to_bytes(2, "little")))
        capture = Capture("Rawkd", self.model, f"Rawkd {self.model}", shown, exposure_s, exif=exif)
        color = ColorCalibration.none() if self.pattern.kind == "mono" else _template().color
        return replace(
            _template(),
            frame=frame.astype(np.uint16),
            pattern=self.pattern,
            levels=levels,
            color=color,
            capture=capture,
        )

    def _factors(self) -> np.ndarray:
        """The gain of every pixel over that of the ISO, (256, 512)."""
        side = self.pattern.side
        cell = np.broadcast_to(self.gain_factors, len(self.pattern.classes))[self.pattern.class_of_site]
        return np.tile(cell, (SHAPE[0] // side + 1, SHAPE[1] // side + 1))[: SHAPE[0], : SHAPE[1]]

    def burst(self, scene: np.ndarray, iso: float, count: int, *, exposure_s: float = 0.01) -> list[RawPhoto]:
        return [self.take(scene, iso, exposure_s=exposure_s) for _ in range(count)]


def _template() -> RawPhoto:
    from small_photos import noisy_photo

    photo = noisy_photo(8, 8)
    area = Rect(0, 0, *SHAPE)
    frame = np.zeros(SHAPE, np.uint16)
    return replace(photo, frame=frame, active_area=area, default_crop=area, pattern=CFAPattern.GRBG, noise_profile=())


def dark_frame(camera: Camera, *, ray: tuple[int, int] | None = None) -> RawPhoto:
    """A dark frame of one second at ISO 800 with hot pixels, and a ray that hit one pixel."""
    photo = camera.take(black(), 800, exposure_s=1.0)
    photo.frame[HOT[:, 0], HOT[:, 1]] += np.array([300, 2000, 700, 15000, 400], np.uint16)
    if ray is not None:
        photo.frame[ray] += 5000
    return photo


def save(folder: Path, name: str, photo: RawPhoto) -> Path:
    path = folder / f"{name}.dng"
    write_dng(path, photo, preview=None, software="test")
    return path
