"""The vocabulary of rawkd: a raw photo and its parts; those of its mosaic stand in `rawkd.photo.mosaic`.

Pixels are *signal* = (DN - black) / (white - black), float32 and unclipped: shadows go below 0. ``H, W`` are mosaic
pixels, ``h, w`` packed ones; planes are always R, Gr, Gb, B. Names with ``_dn`` count raw units of the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from rawkd.errors import InputError
from rawkd.photo.gain_map import GainMap
from rawkd.photo.levels import Levels
from rawkd.photo.mosaic import CFAPattern, DoubleArray, FloatArray, FrameArray, Mosaic, PixelArray, Rect

__all__ = [
    "CFAPattern",
    "Capture",
    "ColorCalibration",
    "DoubleArray",
    "FloatArray",
    "FrameArray",
    "Levels",
    "Mosaic",
    "PixelArray",
    "RawPhoto",
    "Rect",
    "Tag",
]


@dataclass(frozen=True)
class Tag:
    """One TIFF field as the source has it.

    Attributes
    ----------
    number : tag number. type : TIFF type code (1..13). count : number of values.
    data : the values' bytes in little-endian order, exactly count * size of type.
    """

    number: int
    type: int
    count: int
    data: bytes


@dataclass(frozen=True, eq=False)
class ColorCalibration:
    """Colour of the camera.

    Attributes
    ----------
    camera_from_xyz : (3, 3) float64, XYZ to camera under the light of the photo, invertible (ColorMatrix; in files
        that are no DNG, LibRaw's matrix for D65).
    as_shot_neutral : (3,) float64, camera colour of neutral grey, largest component 1, all positive (AsShotNeutral).
    baseline_exposure : stops to add on rendering (BaselineExposure).
    tags : every colour tag of the source DNG, untouched (empty where the source is no DNG).
    """

    camera_from_xyz: DoubleArray
    as_shot_neutral: DoubleArray
    baseline_exposure: float = 0.0
    tags: tuple[Tag, ...] = ()

    def __post_init__(self) -> None:
        if self.camera_from_xyz.shape != (3, 3) or abs(np.linalg.det(self.camera_from_xyz)) < 1e-9:
            raise InputError("the colour matrix cannot be inverted")
        neutral = self.as_shot_neutral
        if neutral.shape != (3,) or not np.isfinite(neutral).all() or (neutral <= 0).any():
            raise InputError(f"the as-shot neutral {neutral} is no positive colour")
        object.__setattr__(self, "as_shot_neutral", neutral / neutral.max())


@dataclass(frozen=True)
class Capture:
    """How the photo was taken; None where the file does not say.

    Attributes
    ----------
    make, model : as the camera writes them. unique_camera_model : as Adobe spells it ("Canon EOS 6D").
    iso : exposure index. exposure_s : seconds. aperture : f-number. focal_length_mm : millimetres.
    datetime : "YYYY:MM:DD HH:MM:SS".
    exif, gps : the source's EXIF and GPS fields, without offsets and maker notes that would not survive a move.
    """

    make: str = ""
    model: str = ""
    unique_camera_model: str = ""
    iso: float | None = None
    exposure_s: float | None = None
    aperture: float | None = None
    focal_length_mm: float | None = None
    datetime: str | None = None
    exif: tuple[Tag, ...] = ()
    gps: tuple[Tag, ...] = ()


@dataclass(frozen=True, eq=False)
class RawPhoto:
    """One raw photo in memory.

    Attributes
    ----------
    frame : (FH, FW) uint16, the whole raw frame with its masked pixels, in DN, linearised.
    active_area : the exposed pixels within the frame (ActiveArea).
    default_crop : what a converter shows, within the active area; may be the whole of it.
    pattern : CFA phase at the active area's origin.
    levels, color, capture : see their types.
    orientation : EXIF orientation 1..8. pixel_aspect : width / height of a pixel (DefaultScale).
    noise_profile : the (S, O) pairs of the raw IFD's NoiseProfile flattened, or empty.
    tags : the source DNG's other tags, untouched (opcode lists, profiles, private data), empty for other formats.
    is_dng : whether the source is a DNG (then development of an unchanged copy must be identical).
    dng_version : DNGVersion of the source, (1, 4, 0, 0) where it is none.
    warnings : what the reader could not have exactly, one sentence each.
    dropped : names of what the source holds and a copy cannot keep ("maker notes").
    scale_is_fixed : whether something in `tags` counts the stored integers, which must keep their scale then.
    has_new_samples : whether the samples are others than those of the source, for which some of `tags` may not hold.
    defects : (n, 2) rows and columns in the active area of pixels that are known to be defective.
    row_offset_dn : (H,) float64, what the unclipped samples of each row of the active area lie too high by, or None;
        the mosaic is without it.
    gain_maps : gains to apply when the photo is rendered, not in the mosaic.
    not_rendered : names of corrections that the file asks for and a rendered picture lacks ("lens distortion ...").
    """

    frame: FrameArray
    active_area: Rect
    default_crop: Rect
    pattern: CFAPattern
    levels: Levels
    color: ColorCalibration
    capture: Capture
    orientation: int = 1
    pixel_aspect: float = 1.0
    noise_profile: tuple[float, ...] = ()
    tags: tuple[Tag, ...] = ()
    is_dng: bool = False
    dng_version: tuple[int, int, int, int] = (1, 4, 0, 0)
    warnings: tuple[str, ...] = field(default=())
    dropped: tuple[str, ...] = ()
    defects: PixelArray = field(default_factory=lambda: np.empty((0, 2), np.int64))
    row_offset_dn: DoubleArray | None = None
    scale_is_fixed: bool = False
    has_new_samples: bool = False
    gain_maps: tuple[GainMap, ...] = ()
    not_rendered: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.frame.ndim != 2 or self.frame.dtype != np.uint16:
            raise InputError(f"a raw frame is a (H, W) uint16 array, not {self.frame.dtype} {self.frame.shape}")
        if not self.active_area.inside(*self.frame.shape):
            raise InputError(f"the active area {self.active_area} leaves the frame of {self.frame.shape}")
        if not self.default_crop.inside(self.active_area.height, self.active_area.width):
            raise InputError(f"the default crop {self.default_crop} leaves the active area {self.active_area}")
        if self.orientation not in range(1, 9):
            raise InputError(f"orientation {self.orientation} is none of 1 to 8")

    @property
    def mosaic(self) -> Mosaic:
        """Signal of the active area; computed anew at every call."""
        frame = self.frame[self.active_area.slices]
        signal = self.levels.to_signal(frame)
        if self.row_offset_dn is not None:
            offset = (self.row_offset_dn / self.levels.range_dn).astype(np.float32)
            for row in range(len(signal)):
                signal[row] -= offset[row] * (frame[row] < self.levels.saturation_dn)
        return Mosaic(signal, self.pattern)

    def with_mosaic(self, mosaic: Mosaic) -> RawPhoto:
        """The same photo with other signal in its active area: shape, phase and everything else are kept.

        Offsets of rows leave the masked pixels too, in whole DN, so that nothing corrects the rows again.

        Raises
        ------
        InputError: if the mosaic has another shape or phase.
        """
        if mosaic.data.shape != (self.active_area.height, self.active_area.width) or mosaic.pattern != self.pattern:
            raise InputError(f"a mosaic of {mosaic.data.shape} {mosaic.pattern} is not of this photo")
        frame = self.frame.copy()
        rows, columns = self.active_area.slices
        if self.row_offset_dn is not None:
            level = frame[rows] - np.rint(self.row_offset_dn)[:, None]
            frame[rows] = np.clip(level, 0, np.iinfo(np.uint16).max)
        frame[rows, columns] = self.levels.to_dn(mosaic.data)
        return replace(self, frame=frame, row_offset_dn=None, has_new_samples=True)

    def with_finer_levels(self, factor: int) -> RawPhoto:
        """The same photo with every integer multiplied by `factor`, so that a smoother signal is not posterised."""
        return replace(
            self,
            frame=self.frame * np.uint16(factor),
            levels=self.levels.scaled(factor),
            row_offset_dn=None if self.row_offset_dn is None else self.row_offset_dn * factor,
            has_new_samples=True,
        )

    def in_finer_integers(self, bits: int) -> RawPhoto:
        """The photo with its integers multiplied by a power of two up to `bits` (at most 16).

        Itself from there on, and where its scale is fixed.
        """
        factor = 1 if self.scale_is_fixed else 2 ** max(bits - self.levels.bits, 0)
        largest = max(int(self.frame.max()), int(self.levels.white_dn), int(self.levels.saturation_dn), 1)
        while factor > 1 and largest * factor > np.iinfo(np.uint16).max:
            factor //= 2
        return self if factor == 1 else self.with_finer_levels(factor)

    def cut(self, rect: Rect, shown: Rect | None = None) -> RawPhoto:
        """The part `rect` of the active area as a photo of its own, every sample with its colour and its level.

        Parameters
        ----------
        rect : rows and columns of the active area; any origin, odd ones move the CFA phase.
        shown : the default crop of the part, in pixels of the active area and within `rect`; all of it if None.

        Raises
        ------
        InputError: if `rect` leaves the active area or `shown` leaves `rect`.
        """
        area = self.active_area
        if not rect.inside(area.height, area.width):
            raise InputError(f"the part {rect} leaves the active area of {area.height} x {area.width} pixels")
        shown = rect if shown is None else shown
        rows, columns = rect.slices
        defects = self.defects - (rect.top, rect.left)
        return replace(
            self,
            frame=np.ascontiguousarray(self.frame[area.slices][rows, columns]),
            active_area=Rect(0, 0, rect.height, rect.width),
            default_crop=Rect(shown.top - rect.top, shown.left - rect.left, shown.height, shown.width),
            pattern=self.pattern.shifted(rect.top, rect.left),
            levels=self.levels.cut(rect),
            defects=defects[((defects >= 0) & (defects < (rect.height, rect.width))).all(axis=1)],
            row_offset_dn=None if self.row_offset_dn is None else self.row_offset_dn[rows],
            gain_maps=tuple(one.cut(rect.top, rect.left) for one in self.gain_maps),
        )
