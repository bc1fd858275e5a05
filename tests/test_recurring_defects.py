"""Defects that several photos of a camera show: found where one photo would not prove them, and lights left alone."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from defect_pictures import places_of
from scipy.ndimage import gaussian_filter
from small_photos import GAIN, READ_VARIANCE, noisy_photo
from small_shoots import read_report

from rawkd.cli import main
from rawkd.files.write.dng import write_dng
from rawkd.photo import RawPhoto, Tag
from rawkd.sensor.blind.recurring import Suspects, _least_scenes, recurring_defects
from rawkd.sensor.defect_search import find_defects
from rawkd.sensor.noise import NoiseModel

NOISE = NoiseModel(np.array(GAIN), np.array(READ_VARIANCE), "given")
SIDE = 360
HOT = np.stack(np.mgrid[30:330:29, 30:330:31], axis=-1).reshape(-1, 2)


def scene(number: int) -> np.ndarray:
    """Smooth areas and texture of strong contrast, other ones for every number, (360, 360) signal."""
    rng = np.random.default_rng(100 + number)
    areas, fine = (gaussian_filter(rng.standard_normal((SIDE, SIDE)), width) for width in (40, 1.2))
    return 0.12 * np.exp(0.8 * areas / areas.std() + 0.5 * fine / fine.std() * (areas > 0))


def photo_of(clean: np.ndarray, seed: int, *, hot: np.ndarray = HOT, sigmas: float = 14) -> RawPhoto:
    """A noisy photo with hot pixels at the given places of the active area."""
    rng = np.random.default_rng(seed)
    noisy = GAIN * rng.poisson(clean / GAIN) + rng.normal(0, np.sqrt(READ_VARIANCE), clean.shape)
    row, column = hot.T
    noisy[row, column] += sigmas * np.sqrt(GAIN * clean[row, column] + READ_VARIANCE)
    blank = noisy_photo(SIDE, SIDE)
    frame = blank.frame.copy()
    frame[blank.active_area.slices] = blank.levels.to_dn(np.minimum(noisy, 1).astype(np.float32))
    return replace(blank, frame=frame)


def in_frame(photo: RawPhoto, pixels: np.ndarray) -> set[tuple[int, int]]:
    return places_of(pixels + np.array((photo.active_area.top, photo.active_area.left)))


def test_several_scenes_show_what_one_does_not() -> None:
    photos = [photo_of(scene(number), number) for number in range(5)]
    suspects = [Suspects.of(photo, NOISE) for photo in photos]
    (found,) = recurring_defects(suspects)
    assert (found.height, found.width) == photos[0].frame.shape
    wanted = in_frame(photos[0], HOT)
    places = places_of(found.pixels)
    assert len(places & wanted) > 0.75 * len(wanted)
    assert places <= wanted
    alone = [len(places_of(find_defects(photo.mosaic, NOISE)) & places_of(HOT)) for photo in photos]
    assert max(alone) < 0.5 * len(wanted)


def test_photos_of_one_scene_prove_nothing() -> None:
    """The twin: lights of one pixel in a picture from a tripod look like defects."""
    series = [Suspects.of(photo_of(scene(0), seed, sigmas=60), NOISE) for seed in range(5)]
    assert min(len(one.pixels) for one in series) > 0.5 * len(HOT)
    assert recurring_defects(series) == ()
    brighter = Suspects.of(photo_of(1.8 * scene(0), 9, sigmas=60), NOISE)
    assert recurring_defects([series[0], brighter]) == ()
    elsewhere = Suspects.of(photo_of(scene(1), 9, sigmas=60), NOISE)
    assert recurring_defects([*series, elsewhere]) != ()


def test_lights_of_other_scenes_are_elsewhere() -> None:
    series = [
        Suspects.of(photo_of(scene(number), number, hot=HOT + (number % 3, number // 3), sigmas=60), NOISE)  # noqa: RUF005
        for number in range(6)
    ]
    assert recurring_defects(series) == ()


def test_the_order_of_photos_and_frames_of_other_sizes_do_not_matter() -> None:
    series = [Suspects.of(photo_of(scene(number), number), NOISE) for number in range(3)]
    cropped = [replace(one, frame=(400, 400)) for one in series[:2]]
    orders = [recurring_defects(order) for order in itertools.permutations([*series, *cropped])]
    assert len({json.dumps([one.record() for one in maps]) for maps in orders}) == 1
    assert [(one.height, one.width) for one in orders[0]] == [series[0].frame, (400, 400)]


@pytest.mark.parametrize(
    ("share", "scenes", "defects", "least"), [(2e-5, 8, 0, 3), (2e-5, 8, 200, 2), (1e-3, 8, 0, 4), (1e-3, 8, 3000, 3)]
)
def test_chance_makes_no_defects(share: float, scenes: int, defects: int, least: int) -> None:
    """Suspects at random places of four million pixels, and defects that half of all scenes suspect."""
    rng, pixels = np.random.default_rng(1), 4_000_000
    times = np.concatenate([rng.binomial(scenes, share, pixels), rng.binomial(scenes, 0.5, defects)])
    found = _least_scenes(times[times > 0].tolist(), pixels)
    by_chance = int((times[:pixels] >= found).sum())
    assert by_chance <= 0.04 * defects
    assert found <= least


def test_nothing_to_go_by() -> None:
    photo = photo_of(scene(0), 0, hot=HOT[:0])
    assert recurring_defects([]) == ()
    assert recurring_defects([Suspects.of(photo, NOISE)] * 3) == ()
    tiny = noisy_photo(12, 14)
    assert recurring_defects([Suspects.of(tiny, NOISE)] * 3) == ()


@pytest.mark.parametrize("words", [[], ["--defects", "map"], ["--per-photo-noise"]])
def test_a_batch_replaces_them(tmp_path: Path, words: list[str]) -> None:
    """In every photo of both series, also in one that comes too late to be measured."""
    (tmp_path / "in").mkdir()
    for name in range(6):
        photo = photo_of(scene(name), name, sigmas=25)
        exif = (Tag(34855, 3, 1, (1600 << name // 3).to_bytes(2, "little")),)  # two series
        photo = replace(photo, capture=replace(photo.capture, exif=exif))
        path = tmp_path / "in" / f"{name}.dng"
        write_dng(path, photo, preview=None, software="x", noise_profile=(GAIN, READ_VARIANCE))
    late = (tmp_path / "in" / "5.dng").rename(tmp_path / "late.dng")
    call = ["batch", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--report", str(tmp_path / "r.json"), *words]
    assert main(call) == 0
    late.rename(tmp_path / "in" / "5.dng")
    assert main(call) == 0
    report = read_report(tmp_path / "r.json")
    replaced = [photo["defects"] for photo in report["photos"]]
    assert len(replaced) == 6
    if words:
        assert not any(series["defects"] for series in report["series"])
        assert max(replaced) < 0.7 * len(HOT)
    else:
        first, second = (series["defects"] for series in report["series"])
        assert first == second > 0.8 * len(HOT)
        assert min(replaced) >= first
