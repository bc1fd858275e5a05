"""Extreme low light: SID's Sony pictures (Chen et al., CVPR 2018) and ELD (Wei et al., CVPR 2020).

Both are scored like in ELD's own code, which uses white 16383 for every camera. The short exposure is restored at its
own brightness, multiplied by the ratio of exposures, clipped, and matched to the reference's brightness by one factor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rawkd.errors import InputError, UsageError
from rawkd.evaluation.datasets.case import Case, Score
from rawkd.evaluation.datasets.photos import NoiseChoice, by_stem, photo_case, raws_in, read_all
from rawkd.metrics import psnr, ssim
from rawkd.photo import FloatArray, Mosaic, RawPhoto, Rect

WHITE_DN = 16383
SATURATED = 1 - 1e-6
LARGEST_RATIO = 300.0
CENTRE_PX = 1024
"""Side of SID's crop in mosaic pixels: 512 packed pixels."""

ELD_IDS = {100: (4, 9, 14), 200: (5, 10, 15)}
ELD_REFERENCES = (1, 6, 11, 16)
ELD_CAMERAS = ("CanonEOS70D", "CanonEOS700D", "NikonD850", "SonyA7S2")


@dataclass(frozen=True)
class ExposurePair:
    """A short exposure, its reference, and their exposure ratio; None if it is to be read from the files."""

    name: str
    group: str
    short: Path
    long: Path
    ratio: float | None


class ExposurePairs:
    """Pairs of exposures of one data set.

    Parameters
    ----------
    name : sid | eld. pairs : in the order of scoring. choice : how the noise parameters are found.
    centre : whether only the centre of 512 x 512 packed pixels is scored.
    """

    def __init__(self, name: str, pairs: list[ExposurePair], choice: NoiseChoice, *, centre: bool) -> None:
        self.name = name
        self.total = len(pairs)
        self._pairs = pairs
        self._choice = choice
        self._centre = centre
        self._factors: dict[str, float] = {}
        self.rules = {
            "domain": "packed raw, four planes; white is 16383 for every camera, black is that of the file",
            "clip": "times the ratio of exposures, clipped to 0..1, times the light factor, clipped to 0..1",
            "crop": "centre 512 x 512 packed pixels, cropped before denoising" if centre else "none, full size",
            "light": "one factor for all planes, least squares over unsaturated samples of the reference (ELD's code)",
            "psnr": "all planes together, peak 1; mean and median over all pictures",
            "ssim": "scikit-image's window 7 x 7, mean of the planes, data range 1",
        } | choice.rule

    def cases(self) -> Iterator[Case]:
        """Yield one case per pair; noise is measured on the whole short exposure."""
        files = read_all([path for pair in self._pairs for path in (pair.short, pair.long)])
        for pair, short in zip(self._pairs, files, strict=False):
            long = next(files)
            ratio = pair.ratio or light_of(pair.long, long) / light_of(pair.short, short)
            if not np.isfinite(ratio) or ratio <= 0:
                raise InputError(f"{pair.short}: the exposure ratio {ratio:g} to {pair.long.name} is not positive")
            scale = _white_factor(short) * ratio
            self._factors[pair.name] = scale
            noise, warnings = self._choice.of(short)
            scored, truth = self._cut(pair.short, short), self._cut(pair.long, long).mosaic
            reference = Mosaic(truth.data * np.float32(_white_factor(long) / scale), truth.pattern)
            yield photo_case(scored, reference, pair.name, pair.group, noise, short.warnings + warnings)

    def _cut(self, path: Path, photo: RawPhoto) -> RawPhoto:
        return _centre(path, photo) if self._centre else photo

    def score(self, case: Case, method: str, restored: Mosaic) -> Iterator[Score]:  # noqa: ARG002
        """Yield the score by ELD's rule."""
        if case.reference is None:
            return
        scale = np.float32(self._factors[case.name])
        truth = np.clip(planes_of(case.reference) * scale, 0, 1)
        light = np.clip(planes_of(restored) * scale, 0, 1)
        lit = truth < SATURATED
        power = float(np.square(light[lit], dtype=np.float64).sum())
        if power == 0:
            raise InputError(f"{case.name}: the result is all black, so its brightness cannot be matched")
        factor = float(np.multiply(light[lit], truth[lit], dtype=np.float64).sum()) / power
        corrected = np.clip(light * np.float32(factor), 0, 1)
        values = {"psnr_db": psnr(corrected, truth), "ssim": ssim(corrected, truth, window="uniform", channel_axis=0)}
        yield Score(case.name, values | {"light_factor": factor})


def planes_of(mosaic: Mosaic) -> FloatArray:
    """Return the planes R, Gr, Gb, B of a mosaic of any phase, (4, h, w); a last odd row or column is dropped."""
    height, width = (size // 2 * 2 for size in mosaic.data.shape)
    planes = np.empty((4, height // 2, width // 2), np.float32)
    for site, plane in enumerate(mosaic.pattern.class_of_site.ravel()):
        planes[plane] = mosaic.data[site // 2 : height : 2, site % 2 : width : 2]
    return planes


def _white_factor(photo: RawPhoto) -> float:
    """Return the factor from our signal to the benchmark's, whose white is the same DN for all cameras."""
    return photo.levels.range_dn / (WHITE_DN - photo.levels.mean_black_dn)


def light_of(path: Path, photo: RawPhoto) -> float:
    """Return ISO times exposure time in seconds.

    Raises
    ------
    InputError: if the file does not state both.
    """
    capture = photo.capture
    if not capture.iso or not capture.exposure_s:
        raise InputError(f"{path}: ISO or exposure time is missing, so the ratio is unknown. Use the set's own file.")
    return capture.iso * capture.exposure_s


def _centre(path: Path, photo: RawPhoto) -> RawPhoto:
    """Crop a photo to the centre of its active area; the CFA phase is kept."""
    area = photo.active_area
    if min(area.height, area.width) < CENTRE_PX:
        size = f"{area.width} x {area.height} pixels"
        raise InputError(f"{path}: {size} are too few for the centre crop of {CENTRE_PX}. Score it in full size.")
    top, left = ((size // 2 - CENTRE_PX // 2) // 2 * 2 for size in (area.height // 2 * 2, area.width // 2 * 2))
    return photo.cut(Rect(top, left, CENTRE_PX, CENTRE_PX))


def find_sid(folder: Path, listed: Path | None = None) -> list[ExposurePair]:
    """Return SID's test pairs in `folder`, which has the folders short/ and long/.

    Parameters
    ----------
    listed : file with one pair of names "short long" per line; None for every short file that is named like the test
        set (1nnnn_00_...), which is the list that ELD and PMN use.

    Raises
    ------
    InputError: if a partner is missing, a name has no exposure time, or there is no pair.
    """
    short, long = (by_stem(raws_in(folder / part), folder / part) for part in ("short", "long"))
    if listed is None:
        names = [(name, _partner(folder, name, long)) for name in short if name.startswith("1") and "_00_" in name]
    else:
        names = [_listed(listed, line) for line in _lines(listed)]
    pairs = []
    for first, second in names:
        for name, present in ((first, short), (second, long)):
            if name not in present:
                raise InputError(f"{folder}: {name} is missing. Download it, or remove it from the list.")
        ratio = min(_exposure_s(second) / _exposure_s(first), LARGEST_RATIO)
        pairs.append(ExposurePair(first, f"ratio {int(ratio + 1e-6)}", short[first], long[second], ratio))
    if not pairs:
        raise InputError(f"{folder}: there are no test pictures (1nnnn_00_...). Give the set's folder Sony, or --list.")
    return pairs


def _partner(folder: Path, name: str, long: dict[str, Path]) -> str:
    scene = name.partition("_")[0]
    found = [other for other in long if other.partition("_")[0] == scene]
    if len(found) != 1:
        raise InputError(f"{folder}: {name} has {len(found)} references in long/ and needs exactly one")
    return found[0]


def _exposure_s(name: str) -> float:
    try:
        value = float(name.rpartition("_")[2].removesuffix("s"))
    except ValueError:
        value = 0.0
    if value <= 0:
        raise InputError(f"{name}: the name has no exposure time such as 0.04s. Use the set's own names.")
    return value


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of pairs. Check the name.") from error


def _listed(path: Path, line: str) -> tuple[str, str]:
    names = [Path(word).stem for word in line.split()[:2]]
    if len(names) != 2:
        raise UsageError(f"{path}: {line!r} is not a pair of file names. Write SHORT LONG.")
    return names[0], names[1]


def find_eld(folder: Path) -> list[ExposurePair]:
    """Return ELD's pictures of ratio 100 and 200 in `folder`: CAMERA/scene-N/IMG_nnnn, references 1, 6, 11, 16.

    Raises
    ------
    InputError: if a picture or its reference is missing, or there is no camera.
    """
    pairs = []
    for camera in (camera for camera in ELD_CAMERAS if (folder / camera).is_dir()):
        scenes = sorted((folder / camera).glob("scene-*"), key=lambda path: (len(path.name), path.name))
        for scene in scenes:
            files = by_stem(raws_in(scene), scene)
            for ratio, ids in ELD_IDS.items():
                for number in ids:
                    nearest = min(ELD_REFERENCES, key=lambda other, number=number: abs(other - number))  # type: ignore[misc]
                    names = [f"IMG_{index:04d}" for index in (number, nearest)]
                    if missing := [name for name in names if name not in files]:
                        raise InputError(f"{scene}: {missing[0]} is missing. Download the set again.")
                    name = f"{camera} {scene.name} {names[0]}"
                    pairs.append(ExposurePair(name, f"ratio {ratio}", files[names[0]], files[names[1]], None))
    if not pairs:
        cameras = ", ".join(ELD_CAMERAS)
        raise InputError(f"{folder}: there is no folder of an ELD camera ({cameras}). Give the data set's folder.")
    return pairs
