"""The Darmstadt Noise Dataset (Plötz and Roth, CVPR 2017): write denoised boxes for its server.

Only the server has the ground truth. The set has 50 pictures with 20 boxes of 512 x 512 pixels each, and noise
parameters a and b for each picture, in MATLAB 7.3 files. A submission has one MATLAB file per picture, in the format of
the set's own kit.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import InputError
from rawkd.evaluation.datasets.case import Case, Score
from rawkd.evaluation.datasets.matlab import open_hdf5, read_hdf5
from rawkd.files.naming import make_folder
from rawkd.files.write.atomic import atomic_output
from rawkd.photo import CFAPattern, FloatArray, Mosaic, Rect
from rawkd.sensor.noise import NoiseModel

PATTERNS = {
    (1, 2, 2, 3): CFAPattern.RGGB,
    (2, 1, 3, 2): CFAPattern.GRBG,
    (2, 3, 1, 2): CFAPattern.GBRG,
    (3, 2, 2, 1): CFAPattern.BGGR,
}
"""CFA phase by the numbers of `pattern`, row by row in HDF5's order, as in dnd_denoise.py of unprocessing."""

EVAL_VERSION = "1.0"


class DND:
    """The pictures of a folder with info.mat and images_raw/.

    Parameters
    ----------
    folder : folder of the data set. submission : folder in which each method gets a folder of files.
    """

    name = "dnd"

    def __init__(self, folder: Path, submission: Path, *, overwrite: bool = False) -> None:
        self.total = 0
        self._boxes: dict[str, list[FloatArray]] = {}
        self._num_boxes = 0
        self._folder = folder
        self._submission = submission
        self._overwrite = overwrite
        self.rules = {
            "domain": "raw mosaic, every box separately",
            "clip": "the result is clipped to 0..1, float32",
            "scores": "none here, the server scores: bundle the folder of a method and upload it",
            "noise": "a and b of info.mat",
        }

    def cases(self) -> Iterator[Case]:
        """Yield one case per box, picture by picture."""
        info_path = self._folder / "info.mat"
        with open_hdf5(info_path) as file:
            info = _member(info_path, file, "info")
            count = _member(info_path, info, "boundingboxes").size
            for picture in range(count):
                yield from self._picture(info_path, file, info, picture, count)

    def score(self, case: Case, method: str, restored: Mosaic) -> Iterator[Score]:
        """Write the boxes of a picture once all are restored; yield no scores, since only the server has the truth."""
        boxes = self._boxes.setdefault(method, [])
        boxes.append(np.clip(restored.data, 0, 1))
        if len(boxes) == self._num_boxes:
            self._write(method, case.name.partition("_")[0], self._boxes.pop(method))
        return iter(())

    def _picture(self, info_path: Path, file: Any, info: Any, picture: int, count: int) -> Iterator[Case]:
        path = self._folder / "images_raw" / f"{picture + 1:04d}.mat"
        camera = file[_reference(info_path, info, "camera", picture)]
        pattern = _pattern(info_path, _read(info_path, camera, "pattern"))
        noise = file[_reference(info_path, info, "nlf", picture)]
        gain, read = (float(_read(info_path, noise, name).item()) for name in ("a", "b"))
        boxes = read_hdf5(info_path, file[_reference(info_path, info, "boundingboxes", picture)]).T
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise InputError(f"{info_path}: the boxes of picture {picture + 1} have shape {boxes.shape}, not (n, 4)")
        self.total, self._num_boxes = count * len(boxes), len(boxes)
        with open_hdf5(path) as images:
            data = _member(path, images, "Inoisy")
            for number, box in enumerate(boxes):
                rect = _rect(info_path, box, data.shape[::-1])
                rows, columns = rect.slices
                crop: FloatArray = np.ascontiguousarray(read_hdf5(path, data, (columns, rows)).T, np.float32)
                if not np.isfinite(crop).all():
                    raise InputError(f"{path}: box {number + 1} has values that are not finite. Download it again.")
                yield Case(
                    name=f"{picture + 1:04d}_{number + 1:02d}",
                    group=f"picture {picture + 1:04d}",
                    noisy=Mosaic(crop, pattern.shifted(rect.top, rect.left)),
                    reference=None,
                    noise=NoiseModel(np.array(gain), np.array(read), "info.mat"),
                )

    def _write(self, method: str, picture: str, boxes: list[FloatArray]) -> None:
        """Write the submission file of one picture of a method; the boxes are (H, W) signal, in the set's order."""
        from scipy.io import savemat

        cells = np.empty(len(boxes), object)
        for number, box in enumerate(boxes):
            cells[number] = box
        folder = self._submission / method
        for missing in (self._submission, folder):
            make_folder(f"{missing}/")
        with atomic_output(folder / f"{picture}.mat", self._overwrite) as temporary, temporary.open("wb") as stream:
            savemat(stream, {"Idenoised": cells, "israw": True, "eval_version": EVAL_VERSION})


def _member(path: Path, group: Any, name: str) -> Any:
    if name not in group:
        raise InputError(f"{path}: {name} is missing. Give the folder of the data set as it was downloaded.")
    return group[name]


def _read(path: Path, group: Any, name: str) -> NDArray[Any]:
    return read_hdf5(path, _member(path, group, name))


def _reference(path: Path, info: Any, name: str, picture: int) -> Any:
    references = _read(path, info, name).ravel()
    if picture >= references.size:
        raise InputError(f"{path}: {name} has {references.size} entries, so picture {picture + 1} is missing")
    return references[picture]


def _pattern(path: Path, numbers: NDArray[Any]) -> CFAPattern:
    key = tuple(int(number) for number in numbers.ravel())
    if numbers.shape != (2, 2) or key not in PATTERNS:
        raise InputError(f"{path}: the CFA pattern {numbers.tolist()} is not a Bayer phase")
    return PATTERNS[key]


def _rect(path: Path, box: NDArray[Any], shape: tuple[int, ...]) -> Rect:
    """Convert a box (top, left, bottom, right), counted from 1 and inclusive, to a rectangle."""
    top, left, bottom, right = (int(value) for value in box)
    rect = Rect(top - 1, left - 1, bottom - top + 1, right - left + 1)
    if not rect.inside(*shape):
        raise InputError(f"{path}: the box {box.tolist()} does not fit into its picture of {shape}")
    return rect
