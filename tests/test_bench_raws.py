"""PMRID, SID, ELD, pairs and bursts from small files of their formats."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("skimage", reason="needs scikit-image")

from bench_sets import GAIN, READ_VARIANCE, identity_records, make_pmrid, noisy_of, plain_psnr, raw_photo, save_raw
from small_photos import clean_signal

from rawkd.errors import InputError
from rawkd.evaluation.datasets import sid_eld
from rawkd.evaluation.datasets.burst import Burst
from rawkd.evaluation.datasets.pairs import Pairs, find_pairs
from rawkd.evaluation.datasets.photos import NoiseChoice
from rawkd.evaluation.datasets.pmrid import PMRID, edge_aware, noise_at
from rawkd.evaluation.datasets.sid_eld import ExposurePairs, find_eld, find_sid
from rawkd.photo import BAYER_PHASES, CFAPattern

GIVEN = NoiseChoice(given=(GAIN, READ_VARIANCE))


def test_pmrid_by_its_own_steps(tmp_path: Path) -> None:
    """The whole picture turned by 180 degrees, developed, turned back and cut: the order of the set's own code."""
    noisy, clean, meta = make_pmrid(tmp_path)
    pictures = []
    for codes in (noisy, clean):
        rggb = codes[::-1, ::-1].astype(np.float32) / 65535
        gains = np.array([[1.8, 1.0], [1.0, 1.6]])
        balanced = np.clip(rggb * np.tile(gains, (48, 64)), 0, 1).astype(np.float32)
        rgb = edge_aware(np.round(balanced * 65535).astype(np.int32), CFAPattern.RGGB).astype(np.float32) / 65535
        pictures.append((np.clip(rgb @ np.array(meta["CCM"]).T, 0, 1) ** (1 / 2.2))[::-1, ::-1])
    expected = [plain_psnr(*(p[y0:y1, x0:x1] for p in pictures)) for x0, y0, x1, y1 in meta["ROIs"]]
    records = identity_records(PMRID(tmp_path))
    assert [r.values["srgb_psnr_db"] for r in records] == pytest.approx(expected, abs=1e-4)  # float32 sRGB
    raw = [plain_psnr(noisy[y0:y1, x0:x1] / 65535, clean[y0:y1, x0:x1] / 65535) for x0, y0, x1, y1 in meta["ROIs"]]
    assert [r.values["psnr_db"] for r in records] == pytest.approx(raw, abs=1e-5)
    assert all(0 < r.values["srgb_ssim"] < 1 for r in records)
    assert noise_at(1600).green_gain == pytest.approx(1.0093e-3, rel=1e-4)
    assert noise_at(1600).green_read_variance == pytest.approx(3.2397e-6, rel=1e-4)


@pytest.mark.parametrize("pattern", BAYER_PHASES)
def test_edge_aware_is_opencvs(pattern: CFAPattern) -> None:
    cv2 = pytest.importorskip("cv2", reason="needs OpenCV")
    theirs = {"RGGB": "BG", "BGGR": "RG", "GRBG": "GB", "GBRG": "GR"}  # OpenCV names the second row and column
    codes = np.random.default_rng(2).integers(0, 65536, (22, 30)).astype(np.uint16)
    expected = cv2.cvtColor(codes, getattr(cv2, f"COLOR_BAYER_{theirs[pattern.colours]}2RGB_EA"))
    assert np.array_equal(edge_aware(codes.astype(np.int32), pattern), expected)


def test_edge_aware_follows_edges() -> None:
    """Across a vertical edge of a grey picture green is taken along it, so no value between the two is made."""
    codes = np.full((12, 12), 1000, np.int32)
    codes[:, 6:] = 3000
    green = edge_aware(codes, CFAPattern.RGGB)[..., 1]
    assert set(np.unique(green)) == {1000, 3000}
    assert np.array_equal(green[2:-2, 2:-2], codes[2:-2, 2:-2])


def test_pmrid_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"benchmark\.json"):
        PMRID(tmp_path)
    make_pmrid(tmp_path)
    (tmp_path / "gt.raw").write_bytes(b"\0" * 100)
    with pytest.raises(InputError, match=r"gt\.raw: 50 samples"):
        next(PMRID(tmp_path).cases())
    listed = json.loads((tmp_path / "benchmark.json").read_text())
    listed[0]["meta"]["ROIs"] = [[0, 0, 500, 20]]
    (tmp_path / "benchmark.json").write_text(json.dumps(listed))
    with pytest.raises(InputError, match="region"):
        PMRID(tmp_path)


def exposures(ratio: float, pattern: CFAPattern, white_dn: int = 16383, size: int = 96) -> tuple:
    """A long exposure with a blown patch, and a short one `ratio` times darker and 3 % brighter than it should be."""
    long = clean_signal(size, size + 32) * 1.2
    long[:20, :20] = 2
    short = noisy_of(1.03 * np.minimum(long, 1.5) / ratio, 8, gain=1e-4)
    return (
        raw_photo(short, pattern, iso=800, exposure_s=0.1, white_dn=white_dn),
        raw_photo(np.minimum(long, 1), pattern, iso=800, exposure_s=0.1 * ratio, white_dn=white_dn),
    )


def eld_psnr(short: object, long: object, ratio: float) -> float:
    """ELD's rule, written for the integers of the files."""
    planes = []
    for photo, factor in ((short, ratio), (long, 1.0)):
        signal = np.clip((photo.frame.astype(np.float64) - 512) / (16383 - 512), 0, 1)  # type: ignore[attr-defined]
        packed = np.stack([signal[r::2, c::2] for r in (0, 1) for c in (0, 1)])
        planes.append(np.clip(packed * factor, 0, 1))
    light, truth = planes
    lit = truth != 1
    factor = (light[lit] * truth[lit]).sum() / (light[lit] ** 2).sum()
    return plain_psnr(factor * light, truth)


@pytest.mark.parametrize("white_dn", [16383, 15300])
def test_identity_on_eld(tmp_path: Path, white_dn: int) -> None:
    expected = []
    scene = tmp_path / "SonyA7S2" / "scene-1"
    for number, ratio, reference in (
        (4, 100, 6),
        (9, 100, 11),
        (14, 100, 16),
        (5, 200, 6),
        (10, 200, 11),
        (15, 200, 16),
    ):
        _, long = exposures(100, CFAPattern.GBRG, white_dn)
        short, _ = exposures(ratio, CFAPattern.GBRG, white_dn)
        save_raw(scene / f"IMG_{reference:04d}.dng", long) if ratio == 100 else None
        short = raw_photo(short.mosaic.data, CFAPattern.GBRG, exposure_s=10 / ratio, white_dn=white_dn)
        save_raw(scene / f"IMG_{number:04d}.dng", short)
        expected.append(eld_psnr(short, long, ratio))
    records = identity_records(ExposurePairs("eld", find_eld(tmp_path), GIVEN, centre=False))
    assert [r.group for r in records] == ["ratio 100"] * 3 + ["ratio 200"] * 3
    # float32 signals times 100 or 200: errors of 1e-7 of the signal against an rms error of some per cent
    assert [r.values["psnr_db"] for r in records] == pytest.approx(expected, abs=2e-5)
    assert all(0.5 < r.values["light_factor"] < 1 / 1.03 for r in records)  # noise in the input lowers the factor
    (scene / "IMG_0011.dng").unlink()
    with pytest.raises(InputError, match="IMG_0011 is missing"):
        find_eld(tmp_path)


def test_identity_on_sid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sid_eld, "CENTRE_PX", 64)
    short, long = exposures(100, CFAPattern.RGGB)
    save_raw(tmp_path / "short" / "10003_00_0.1s.dng", short)
    save_raw(tmp_path / "short" / "00003_00_0.1s.dng", short)
    save_raw(tmp_path / "short" / "10003_00_0.033s.dng", short)
    save_raw(tmp_path / "long" / "10003_00_10s.dng", long)
    pairs = find_sid(tmp_path)
    assert [(pair.short.name, pair.group, pair.ratio) for pair in pairs] == [
        ("10003_00_0.033s.dng", "ratio 300", 300),
        ("10003_00_0.1s.dng", "ratio 100", pytest.approx(100)),
    ]
    records = identity_records(ExposurePairs("sid", pairs[1:], GIVEN, centre=False))
    assert records[0].values["psnr_db"] == pytest.approx(eld_psnr(short, long, 100), abs=2e-5)
    centre = identity_records(ExposurePairs("sid", pairs[1:], GIVEN, centre=True))
    cut = [raw_photo(photo.mosaic.data[16:80, 32:96]) for photo in (short, long)]
    assert centre[0].values["psnr_db"] == pytest.approx(eld_psnr(*cut, 100), abs=2e-5)
    listed = tmp_path / "list.txt"
    listed.write_text("./Sony/short/10003_00_0.1s.dng ./Sony/long/10003_00_10s.dng ISO200 F8\n")
    assert [pair.name for pair in find_sid(tmp_path, listed)] == ["10003_00_0.1s"]
    listed.write_text("10009_00_0.1s.ARW 10009_00_10s.ARW\n")
    with pytest.raises(InputError, match=r"10009_00_0\.1s is missing"):
        find_sid(tmp_path, listed)


@pytest.mark.parametrize("layout", ["{kind}/a.dng", "a-{kind}.dng"])
def test_identity_on_pairs(tmp_path: Path, layout: str) -> None:
    clean = raw_photo(clean_signal(97, 130), CFAPattern.GBRG)
    noisy = raw_photo(noisy_of(clean.mosaic.data, 1), CFAPattern.GBRG)
    for kind, photo in (("noisy", noisy), ("clean", clean)):
        save_raw(tmp_path / layout.format(kind=kind), photo)
    records = identity_records(Pairs(tmp_path, NoiseChoice("profile")))
    assert [r.case for r in records] == ["a"]
    assert records[0].values["psnr_db"] == pytest.approx(plain_psnr(noisy.mosaic.data, clean.mosaic.data), abs=1e-6)
    assert records[0].values["srgb_psnr_db"] < records[0].values["psnr_db"]
    assert records[0].noise_source == "profile"
    alone = tmp_path / layout.format(kind="noisy").replace("a", "b")
    save_raw(alone, noisy)
    with pytest.raises(InputError, match="no partner"):
        find_pairs(tmp_path)


def test_pairs_that_do_not_match(tmp_path: Path) -> None:
    save_raw(tmp_path / "a-noisy.dng", raw_photo(clean_signal(64, 96)))
    save_raw(tmp_path / "a-clean.dng", raw_photo(clean_signal(64, 98)))
    with pytest.raises(InputError, match="do not match"):
        identity_records(Pairs(tmp_path, GIVEN))
    with pytest.raises(InputError, match="not a folder"):
        find_pairs(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pairs"):
        find_pairs(tmp_path / "empty")


def test_identity_on_a_burst(tmp_path: Path) -> None:
    frames = [raw_photo(noisy_of(clean_signal(64, 96), seed)) for seed in range(4)]
    for index, frame in enumerate(frames):
        save_raw(tmp_path / f"frame{index}.dng", frame)
    reference = np.mean([frame.mosaic.data for frame in frames[1:]], axis=0, dtype=np.float64)
    records = identity_records(Burst(tmp_path, GIVEN))
    assert [r.values["psnr_db"] for r in records] == pytest.approx(
        [plain_psnr(frames[0].mosaic.data, reference)], abs=1e-6
    )
    save_raw(tmp_path / "frame9.dng", raw_photo(clean_signal(64, 96), iso=3200))
    with pytest.raises(InputError, match="Remove it from the burst"):
        identity_records(Burst(tmp_path, GIVEN))
    (tmp_path / "all" / "few").mkdir(parents=True)
    save_raw(tmp_path / "all" / "few" / "one.dng", frames[0])
    with pytest.raises(InputError, match="has 1 frames"):
        Burst(tmp_path / "all", GIVEN)


@pytest.mark.parametrize("kind", [Pairs, Burst])
def test_a_photo_is_its_own_perfect_result(tmp_path: Path, kind: Any) -> None:
    """Half of the samples of a black frame are below black, in the result and in the reference."""
    dark = np.random.default_rng(0).normal(0, 5e-3, (64, 80)).astype(np.float32)
    photo = raw_photo(dark)
    assert photo.mosaic.data.min() < 0
    names = ("a-noisy.dng", "a-clean.dng") if kind is Pairs else ("1.dng", "2.dng", "3.dng")
    for name in names:
        save_raw(tmp_path / name, photo)
    benchmark = kind(tmp_path, GIVEN)
    (record,) = identity_records(benchmark)
    assert record.values["psnr_db"] == math.inf
    assert record.values["ssim"] == pytest.approx(1)
    assert benchmark.rules["clip"] == "result and reference are clipped to 0..1"
