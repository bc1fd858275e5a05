"""Data types of a raw photo: colour and frame. `rawkd.photo` defines signal, shapes and units."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from rawkd.errors import InputError, refuse_other_type
from rawkd.photo.capture import Capture, Tag
from rawkd.photo.cfa import CFAPattern
from rawkd.photo.gain_map import GainMap
from rawkd.photo.levels import Levels
from rawkd.photo.mosaic import WHOLE_NUMBERS, DoubleArray, FrameArray, Mosaic, PixelArray, Rect, refuse_other_array


@dataclass(frozen=True, eq=False)
class ColorCalibration:
    """Colour data of a photo.

    Attributes
    ----------
    camera_from_xyz : (3, 3) float64, XYZ to camera under the light of the photo, invertible (ColorMatrix; for files
        that are not DNG, LibRaw's matrix for D65).
    as_shot_neutral : (3,) float64, camera colour of neutral grey, all positive, largest component 1 (AsShotNeutral).
    baseline_exposure : stops to add when rendering (BaselineExposure).
    tags : all colour tags of the source DNG, unchanged; empty if the source is not a DNG.

    Raises
    ------
    InputError: if the matrix cannot be inverted or the neutral is not positive.
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
            raise InputError(f"the as-shot neutral {neutral} must be three positive numbers")
        object.__setattr__(self, "as_shot_neutral", neutral / neutral.max())

    @classmethod
    def none(cls) -> ColorCalibration:
        """Return the calibration of a monochrome sensor, which has no colour: unit matrix, neutral 1."""
        return cls(np.eye(3), np.ones(3))


@dataclass(frozen=True, eq=False)
class RawPhoto:
    """One raw photo in memory.

    Attributes
    ----------
    frame : (FH, FW) uint16, the whole raw frame including masked pixels, in DN, linearised.
    active_area : rectangle of exposed pixels in the frame (ActiveArea).
    default_crop : rectangle that converters show, relative to the active area; may cover all of it.
    pattern : CFA phase at the active area's origin.
    levels, color, capture : see their types.
    user_crop : part of the default crop that the user chose in the camera (DefaultUserCrop), relative to the active
        area; pictures show it and a DNG states it. None for all of the default crop.
    orientation : EXIF orientation 1..8. pixel_aspect : width / height of a pixel (DefaultScale).
    noise_profile : the (S, O) pairs of the raw IFD's NoiseProfile, flattened, or empty.
    tags : other tags of the source DNG, unchanged (opcode lists, profiles, private data); captions only for other
        formats.
    is_dng : whether the source is a DNG. Converters must then render an unchanged copy identically.
    dng_version : DNGVersion of the source, (1, 4, 0, 0) if it is not a DNG.
    warnings : what the reader had to replace or ignore, one sentence each.
    was_denoised : whether the file says that its noise was removed; what is left is no noise of a sensor.
    dropped : names of data in the source that an output cannot keep ("maker notes").
    scale_is_fixed : whether a tag in `tags` refers to the stored integers, which must then keep their scale.
    has_new_samples : whether the pixels differ from the source's; some of `tags` may then no longer be valid.
    defects : (n, 2) rows and columns of known defective pixels, relative to the active area.
    row_offset_dn : (H,) float64, offset to subtract from the unclipped pixels of each row of the active area, or None;
        `mosaic` has it subtracted.
    gain_maps : gains to apply when the photo is rendered; `mosaic` does not include them.
    not_rendered : names of corrections that the file asks for and rendered pictures lack ("lens distortion ...").
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
    was_denoised: bool = False
    dropped: tuple[str, ...] = ()
    defects: PixelArray = field(default_factory=lambda: np.empty((0, 2), np.int64))
    row_offset_dn: DoubleArray | None = None
    scale_is_fixed: bool = False
    has_new_samples: bool = False
    gain_maps: tuple[GainMap, ...] = ()
    not_rendered: tuple[str, ...] = ()
    user_crop: Rect | None = None

    def __post_init__(self) -> None:
        refuse_other_array(self.frame, "a raw frame", np.uint16, WHOLE_NUMBERS)
        if not self.active_area.inside(*self.frame.shape):
            raise InputError(f"the active area {self.active_area} extends beyond the frame of {self.frame.shape}")
        if not self.default_crop.inside(self.active_area.height, self.active_area.width):
            raise InputError(f"the default crop {self.default_crop} extends beyond the active area {self.active_area}")
        if not self.shown.inside(self.active_area.height, self.active_area.width):
            raise InputError(f"the user crop {self.shown} extends beyond the active area {self.active_area}")
        if self.orientation not in range(1, 9):
            raise InputError(f"the orientation {self.orientation} is not in the range 1 to 8")
        if self.levels.cell_side != self.pattern.side:
            raise InputError(f"levels of a {self.levels.cell_side}-pixel cell do not fit the {self.pattern} pattern")

    @property
    def shown(self) -> Rect:
        """What pictures show, relative to the active area: the user crop, else the default crop."""
        return self.default_crop if self.user_crop is None else self.user_crop

    @property
    def stretch(self) -> tuple[float, float]:
        """Factors for rows and columns that make pixels square. One of them is 1, none is less: no detail is lost."""
        return max(1.0, 1 / self.pixel_aspect), max(1.0, self.pixel_aspect)

    @property
    def upright_size(self) -> tuple[int, int]:
        """Height and width of the upright picture in square pixels: what is shown, stretched and turned."""
        height, width = round(self.shown.height * self.stretch[0]), round(self.shown.width * self.stretch[1])
        return (height, width) if self.orientation < 5 else (width, height)

    @property
    def mosaic(self) -> Mosaic:
        """Signal of the active area; every access computes it again."""
        frame = self.frame[self.active_area.slices]
        signal = self.levels.to_signal(frame)
        if self.row_offset_dn is not None:
            offset = (self.row_offset_dn / self.levels.range_dn).astype(np.float32)
            for row in range(len(signal)):
                signal[row] -= offset[row] * (frame[row] < self.levels.saturation_dn)
        return Mosaic(signal, self.pattern)

    def with_mosaic(self, mosaic: Mosaic) -> RawPhoto:
        """Return the photo with new signal in its active area and everything else unchanged.

        Row offsets are also subtracted from the masked pixels, rounded to whole DN, so that no other program corrects
        the rows a second time.

        Raises
        ------
        InputError: if the mosaic has another shape or phase. UsageError: if it is no `Mosaic`.
        """
        refuse_other_type(mosaic, "mosaic", Mosaic, "Pass rawkd.photo.Mosaic(signal, photo.pattern).")
        if mosaic.data.shape != (self.active_area.height, self.active_area.width) or mosaic.pattern != self.pattern:
            raise InputError(
                f"the mosaic {mosaic.data.shape} {mosaic.pattern} does not match the photo's active area"
                f" ({self.active_area.height}, {self.active_area.width}) {self.pattern}"
            )
        frame = self.frame.copy()
        rows, columns = self.active_area.slices
        if self.row_offset_dn is not None:
            level = frame[rows] - np.rint(self.row_offset_dn)[:, None]
            frame[rows] = np.clip(level, 0, np.iinfo(np.uint16).max)
        frame[rows, columns] = self.levels.to_dn(mosaic.data)
        return replace(self, frame=frame, row_offset_dn=None, has_new_samples=True)

    def with_finer_levels(self, factor: int) -> RawPhoto:
        """Return the photo with all integers multiplied by `factor`, so that a denoised signal is not posterised."""
        return replace(
            self,
            frame=self.frame * np.uint16(factor),
            levels=self.levels.scaled(factor),
            row_offset_dn=None if self.row_offset_dn is None else self.row_offset_dn * factor,
            has_new_samples=True,
        )

    def in_finer_integers(self, bits: int) -> RawPhoto:
        """Return the photo with its integers multiplied by a power of two so that they use up to `bits` (at most 16).

        The photo itself is returned if it already has as many bits, or if its scale is fixed.
        """
        factor = 1 if self.scale_is_fixed else 2 ** max(bits - self.levels.bits, 0)
        largest = max(int(self.frame.max()), int(self.levels.white_dn), int(self.levels.saturation_dn), 1)
        while factor > 1 and largest * factor > np.iinfo(np.uint16).max:
            factor //= 2
        return self if factor == 1 else self.with_finer_levels(factor)

    def cut(self, rect: Rect, shown: Rect | None = None) -> RawPhoto:
        """Return the part `rect` of the active area as a photo; every pixel keeps its colour and its signal.

        Parameters
        ----------
        rect : part of the active area; an odd origin shifts the CFA phase.
        shown : default crop of the part, in pixels of the active area and within `rect`; None for all of `rect`. The
            part has no user crop.

        Raises
        ------
        InputError: if `rect` extends beyond the active area or `shown` beyond `rect`.
        """
        area = self.active_area
        if not rect.inside(area.height, area.width):
            raise InputError(f"the part {rect} extends beyond the active area of {area.width} x {area.height} pixels")
        shown = rect if shown is None else shown
        rows, columns = rect.slices
        defects = self.defects - (rect.top, rect.left)
        return replace(
            self,
            frame=np.ascontiguousarray(self.frame[area.slices][rows, columns]),
            active_area=Rect(0, 0, rect.height, rect.width),
            default_crop=Rect(shown.top - rect.top, shown.left - rect.left, shown.height, shown.width),
            user_crop=None,
            pattern=self.pattern.shifted(rect.top, rect.left),
            levels=self.levels.cut(rect),
            defects=defects[((defects >= 0) & (defects < (rect.height, rect.width))).all(axis=1)],
            row_offset_dn=None if self.row_offset_dn is None else self.row_offset_dn[rows],
            gain_maps=tuple(one.cut(rect.top, rect.left) for one in self.gain_maps),
        )
