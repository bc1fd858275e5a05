"""Benchmark with additive white Gaussian noise on grey and colour pictures, as in published tables since DnCNN.

The number of a picture seeds its noise field, which is scaled by sigma and never clipped or rounded. Results are
clipped and rounded to 8 bits before they are scored, as in DnCNN's test code.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rawkd.errors import InputError, ModelError, UsageError
from rawkd.evaluation.awgn_models import PictureModels
from rawkd.evaluation.datasets.case import Values
from rawkd.evaluation.scoring import Record, Results
from rawkd.files.read.pictures import PICTURE_SUFFIXES, read_picture
from rawkd.inference.pictures import WHITE, anchor_of_sigma, values_of
from rawkd.metrics import psnr, ssim
from rawkd.photo import FloatArray

NOISY = "noisy"


@dataclass(frozen=True)
class AwgnOptions:
    """Noise standard deviations (white is 255), seed, and the number of pictures to use (None for all)."""

    sigmas: tuple[float, ...]
    seed: int = 0
    limit: int | None = None

    def __post_init__(self) -> None:
        if not self.sigmas or not all(0 < sigma <= WHITE for sigma in self.sigmas):
            raise UsageError(f"sigma {', '.join(f'{s:g}' for s in self.sigmas)}: name some above 0 and up to 255")
        if len(set(self.sigmas)) != len(self.sigmas):
            raise UsageError("a sigma is named twice: name each once")

    def rules(self, kind: str) -> dict[str, str]:
        """The rules of the benchmark, one sentence each."""
        channels = "all three channels together" if kind == "rgb" else "the one channel"
        return {
            "domain": f"{kind} pictures of 8 bits",
            "noise": "additive white Gaussian, neither clipped nor rounded; numpy's PCG64 of the seed "
            f"[{self.seed}, number of the picture by name, from 0], the same field for every sigma",
            "result": "clipped to 0..255 and rounded to 8 bits, the noisy row likewise",
            "crop": "none; networks see the whole picture, continued by reflection to the multiple that they need",
            "psnr": f"10 log10(255^2 / mean squared error) over {channels}, the arithmetic mean over pictures",
            "ssim": "Gaussian window 11 x 11, sigma 1.5, data range 255 (scikit-image), mean of the channels",
            "precision": "float32",
        }


def run_awgn(
    folder: Path,
    models: Sequence[PictureModels],
    options: AwgnOptions,
    listen: Callable[[float], None] = lambda _: None,
) -> Results:
    """Score models on a folder of clean pictures; the noisy pictures come first.

    Raises
    ------
    InputError: if the folder holds no picture, or one is not of the models' kind.
    ModelError: if a model is missing for a sigma, or its answer is not finite. UsageError: if models differ in kind.
    """
    kinds = sorted({model.kind for model in models})
    if len(kinds) != 1:
        raise UsageError("some models take grey and some colour pictures: run them one after the other")
    if len({NOISY, *(model.name for model in models)}) <= len(models):
        raise UsageError("two methods of one name: name each model once, and folders differently")
    for model in models:
        for sigma in options.sigmas:
            model.load(sigma)
    found = clean_pictures(folder)
    paths = found[: options.limit]
    results = Results("awgn", options.rules(kinds[0]) | {"set": f"{folder.name}, {len(paths)} pictures"})
    if len(paths) < len(found):
        results.rules["limit"] = f"only the first {len(paths)} of {len(found)} pictures"
    for number, path in enumerate(paths):
        clean = clean_values(path, kinds[0])
        field = np.random.default_rng([options.seed, number]).standard_normal(clean.shape)
        for sigma in options.sigmas:
            noisy = (clean + sigma / WHITE * field).astype(np.float32)
            results.records.append(_record(NOISY, path.name, sigma, clean, noisy, 0.0))
            results.records += [_scored(model, path.name, sigma, clean, noisy) for model in models]
        listen((number + 1) / len(paths))
    results.methods = [{"name": NOISY, "kind": "input"}, *(model.describe() for model in models)]
    return results


def clean_pictures(folder: Path) -> list[Path]:
    """Pictures right in a folder, by name.

    Raises
    ------
    InputError: if it is no folder or holds none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Name a folder of clean pictures.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise InputError(f"{folder} holds no picture: add PNG, TIFF or BMP files")
    return paths


def clean_values(path: Path, kind: str) -> FloatArray:
    """(1, h, w) grey or (3, h, w) sRGB of a picture, white 1.

    Raises
    ------
    InputError: if it cannot be read, or has colours where grey is wanted.
    """
    picture = read_picture(path)
    if kind == "grey":
        if (picture != picture[:, :, :1]).any():
            raise InputError(f"{path} has colours, and the models take grey: choose a grey set or a model of colours")
        return values_of(picture, 1)
    return values_of(picture, 3)


def _scored(model: PictureModels, name: str, sigma: float, clean: FloatArray, noisy: FloatArray) -> Record:
    start = time.perf_counter()
    restored = model.restore(noisy, sigma)
    seconds = time.perf_counter() - start
    if not np.isfinite(restored).all():
        raise ModelError(f"{name}: {model.name} returned values that are not finite. Export the model again.")
    return _record(model.name, name, sigma, clean, restored, seconds)


def _record(method: str, name: str, sigma: float, clean: FloatArray, restored: FloatArray, seconds: float) -> Record:
    megapixels = clean[0].size / 1e6
    return Record(
        case=f"{name} sigma {sigma:g}",
        group=f"sigma {sigma:g}",
        method=method,
        gain=0.0,
        noise_gain=0.0,
        noise_read_variance=anchor_of_sigma(sigma).read_variance,
        noise_source="given",
        megapixels=megapixels,
        seconds_per_mp=seconds / megapixels,
        values=score(restored, clean),
    )


def score(restored: FloatArray, clean: FloatArray) -> Values:
    """PSNR and SSIM of a restored picture, clipped and rounded to 8 bits; (c, h, w), white 1."""
    written, truth = np.rint(np.clip(restored, 0, 1) * WHITE), clean * WHITE
    return {"psnr_db": psnr(written, truth, WHITE), "ssim": ssim(written, truth, WHITE, channel_axis=0)}
