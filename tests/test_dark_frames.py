"""Maps of defective pixels: learned from dark frames, written, read strictly, and used by denoise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from defect_pictures import places_of
from small_photos import noisy_photo
from synthetic_camera import HOT, RANGE_DN, SHAPE, Camera, dark_frame, save, wedge
from tiny_models import even_blur, make_model

from rawkd.calibration.dark_frames import DarkFrames, outstanding
from rawkd.cli import main
from rawkd.errors import InputError, NoiseError
from rawkd.photo import Rect
from rawkd.restore.installed_calibration import profile_folder
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import denoise, prepare
from rawkd.sensor.defects import DefectMap, with_known_defects
from rawkd.sensor.profile import CameraProfile, profile_record, read_profile


def test_a_map_is_learned_from_dark_frames() -> None:
    camera, dark = Camera(seed=1), DarkFrames()
    for ray in ((50, 60), (70, 80), None):
        frame = dark_frame(camera, ray=ray)
        assert (outstanding(frame) == (50, 60)).all(axis=1).any() == (ray == (50, 60))
        dark.add(frame, (800, 1.0))
    (found,), told = dark.maps()
    assert places_of(found.pixels) == places_of(HOT)
    assert (found.height, found.width) == SHAPE
    assert told == ()


def test_one_frame_makes_no_map() -> None:
    dark = DarkFrames()
    dark.add(dark_frame(Camera(seed=2)), (800, 1.0))
    dark.add(dark_frame(Camera(seed=3)), (800, 2.0))
    assert dark.maps() == ((), ())


def test_a_picture_is_no_dark_frame() -> None:
    dark = DarkFrames()
    scene = np.where(np.random.default_rng(0).random(SHAPE) < 0.05, 0.5, 0.0)
    for seed in (4, 5):
        dark.add(Camera(seed=seed).take(scene, 800), 0)
    maps, (told,) = dark.maps()
    assert maps == ()
    assert "no map of defective pixels was made" in told


def test_a_map_holds_for_frames_of_its_size() -> None:
    photo = noisy_photo(40, 50)  # of 47 x 59 with masked pixels, active from (3, 5)
    pixels = np.array([(3, 5), (10, 20), (2, 5), (43, 5), (42, 54)])
    marked = with_known_defects(photo, (DefectMap(1, 1, np.array([(0, 0)])), DefectMap(47, 59, pixels)))
    assert places_of(marked.defects) == {(0, 0), (7, 15), (39, 49)}
    assert with_known_defects(photo, (DefectMap(59, 60, pixels),)) is photo
    part = marked.cut(Rect(7, 15, 5, 6))
    assert places_of(part.defects) == {(0, 0)}
    with pytest.raises(InputError, match="outside the 59 x 42 frame"):
        DefectMap(42, 59, pixels)


def test_calibration_writes_a_map_that_denoise_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "APPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    make_model(tmp_path / "models" / "blur", even_blur, subrange=[1e-5, 1e-1], tile=64)
    options = DenoiseOptions(model=tmp_path / "models", noise=(1e-3, 1e-6), device="cpu")
    camera = Camera(seed=6)
    shots = [*camera.burst(wedge(), 800, 3), *(dark_frame(camera) for _ in range(3))]
    paths = [save(tmp_path, f"{number}", shot) for number, shot in enumerate(shots)]
    out = tmp_path / "camera.json"
    assert main(["calibrate", *map(str, paths), "--out", str(out)]) == 0
    assert "5 defective pixels" in capsys.readouterr().err
    (found,) = read_profile(out).defects
    assert places_of(found.pixels) == places_of(HOT)
    photo = camera.take(np.full(SHAPE, 0.2), 800)
    photo.frame[HOT[:, 0], HOT[:, 1]] += np.uint16(3000)
    result = denoise(photo, replace(options, calibration=out))
    assert result.defects == len(HOT)
    sigma = np.sqrt(result.noise.variance(np.full((4, 1, 1), 0.2)).max())
    assert np.abs(result.mosaic.data[HOT[:, 0], HOT[:, 1]] - 0.2).max() < 5 * sigma < 3000 / RANGE_DN
    stranger = replace(photo, capture=replace(photo.capture, model="Lab Two"))
    assert len(prepare(stranger, replace(options, calibration=out)).photo.defects) == 0
    profile_folder().mkdir(parents=True)
    out.rename(profile_folder() / "lab.json")
    assert denoise(photo, options).defects == len(HOT)


def test_maps_are_read_strictly(tmp_path: Path) -> None:
    one = np.full((4, 3), 1e-9)
    record = profile_record(CameraProfile("A", "B", (100.0, 200.0), one[:, :2], one))
    path = tmp_path / "camera.json"
    sound = [{"width": 5, "height": 4, "pixels": [[0, 0], [3, 4]]}, {"width": 4, "height": 5, "pixels": []}]
    path.write_text(json.dumps(record | {"defects": sound}))
    assert [len(one.pixels) for one in read_profile(path).defects] == [2, 0]
    assert profile_record(read_profile(path))["defects"] == sound
    path.write_text(json.dumps({name: value for name, value in record.items() if name != "defects"}))
    assert read_profile(path).defects == ()
    for defects in (
        [{"width": 5, "height": 4, "pixels": [[4, 0]]}],
        [{"width": 5, "height": 4, "pixels": [[-1, 0]]}],
        [{"width": 5, "height": 4, "pixels": [[0.5, 0]]}],
        [{"width": 5, "height": 4, "pixels": [[True, 0]]}],
        [{"width": 5, "height": 4, "pixels": [[1, 2, 3]]}],
        [{"width": 5, "height": 4, "pixels": [1, 2]}],
        [{"width": 5.0, "height": 4, "pixels": []}],
        [{"width": 5, "height": 4}],
        [sound[0], sound[0]],
        {"width": 5},
        7,
    ):
        path.write_text(json.dumps(record | {"defects": defects}))
        with pytest.raises(NoiseError, match="missing or invalid"):
            read_profile(path)


def test_a_calibration_file_that_cannot_be_read_is_named_once(tmp_path: Path) -> None:
    """No error number of the system; another sentence for a file that is none."""
    path = tmp_path / "none.json"
    with pytest.raises(NoiseError, match=r"cannot be read \(No such file or directory\)") as caught:
        read_profile(path)
    assert (str(caught.value).count("none.json"), "Errno" in str(caught.value)) == (1, False)
    path.write_text("no JSON")
    with pytest.raises(NoiseError, match="this is not a calibration file"):
        read_profile(path)
