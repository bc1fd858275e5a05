"""Row noise: measured from masked pixels or the picture within its own error, removed where both show it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_photos import noisy_photo
from tiny_models import identity, make_model

from rawkd.cli import main
from rawkd.files.read.raw import read_raw
from rawkd.files.write.dng import write_dng
from rawkd.photo import Levels, RawPhoto, Rect
from rawkd.process import ProcessOptions, process_file
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import denoise
from rawkd.sensor.rows import level_rows, measure_rows

HEIGHT, WIDTH, MASKED = 600, 800, 48
BLACK_DN, WHITE_DN, READ_SD_DN = 512, 16000, 8.0


def scene() -> np.ndarray:
    """Slow waves, a horizon, and a tree of bright rungs on the right, DN over black."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = 60 + 50 * np.sin(x / 90) * np.cos(y / 70) + y / 5
    waves[350:] += 400
    waves[100:300, 500:700] += 300 * ((y[100:300, 500:700] // 3) % 2)
    return np.asarray(waves)


def photo_with_rows(
    row_sd_dn: float, *, masked_sd_dn: float | None = None, masked: int = MASKED, seed: int = 0
) -> RawPhoto:
    """A photo whose rows lie off by `row_sd_dn`; its masked pixels by the same, or by something else of their own."""
    rng = np.random.default_rng(seed)
    offset = rng.normal(0, row_sd_dn, (HEIGHT, 1))
    beside = offset if masked_sd_dn is None else rng.normal(0, masked_sd_dn, (HEIGHT, 1))
    frame = rng.normal(BLACK_DN, READ_SD_DN, (HEIGHT, masked + WIDTH))
    frame[:, masked:] += scene() + offset
    frame[:, :masked] += beside
    area = Rect(0, masked, HEIGHT, WIDTH)
    levels = Levels(np.array([[float(BLACK_DN)]]), WHITE_DN, WHITE_DN, 14)
    return replace(
        noisy_photo(8, 8),
        frame=np.rint(np.clip(frame, 0, WHITE_DN)).astype(np.uint16),
        active_area=area,
        default_crop=Rect(0, 0, HEIGHT, WIDTH),
        levels=levels,
        noise_profile=(),
    )


def offsets_left(photo: RawPhoto) -> float:
    """RMS of what rows lie off by, where the scene is slow, DN."""
    error = photo.mosaic.data * photo.levels.range_dn - scene()
    rows = error[:, :480].mean(axis=1)
    return float(np.std(rows))


@pytest.mark.parametrize("row_sd_dn", [1.5, 4.0, 12.0])
def test_masked_pixels_tell_and_remove_it(row_sd_dn: float) -> None:
    photo = photo_with_rows(row_sd_dn)
    found = measure_rows(photo)
    assert found is not None
    assert (found.source, found.shown) == ("masked pixels", True)
    # Of 600 rows; their means of 40 samples scatter by 8 / sqrt(40) DN on top. The part that the picture follows is
    # known as well as its 16 blocks of 32 samples tell.
    blur = READ_SD_DN**2 / (MASKED - 8) / row_sd_dn**2
    assert found.row_sd_dn == pytest.approx(row_sd_dn, rel=4 * (1 + blur) / np.sqrt(2 * HEIGHT) + 0.1)
    assert found.pixel_sd_dn == pytest.approx(READ_SD_DN, rel=4 / np.sqrt(2 * HEIGHT * 40))
    level, told = level_rows(photo, remove=True)
    assert told == ()
    noise = READ_SD_DN / np.sqrt(480)
    chance = READ_SD_DN / np.sqrt(MASKED - 8)
    best = np.hypot(noise, row_sd_dn * chance / np.hypot(row_sd_dn, chance))
    assert offsets_left(photo) == pytest.approx(np.hypot(row_sd_dn, noise), rel=0.15)
    assert offsets_left(level) < 1.2 * best < 0.9 * offsets_left(photo)


def test_without_row_noise_nothing_is_done() -> None:
    """The twin."""
    photo = photo_with_rows(0.0)
    assert level_rows(photo, remove=True) == (photo, ())
    assert level_rows(photo, remove=False) == (photo, ())


def test_what_only_masked_pixels_have_is_not_removed() -> None:
    photo = photo_with_rows(0.0, masked_sd_dn=4.0)
    level, told = level_rows(photo, remove=True)
    assert level is photo
    assert told == ()


def test_masked_pixels_of_one_value_a_row_are_passed_over() -> None:
    """They have no noise of single pixels to compare row noise with; the picture tells it."""
    photo = photo_with_rows(8.0)
    beside = np.tile(np.rint(photo.frame[:, :MASKED].mean(axis=1, keepdims=True)), MASKED)
    frame = np.concatenate([beside.astype(np.uint16), photo.frame[:, MASKED:]], axis=1)
    found = measure_rows(replace(photo, frame=frame))
    assert found is not None
    assert (found.source, found.shown) == ("picture", True)
    assert found.share > 0.5


def test_half_of_it_in_the_picture_is_removed_by_half() -> None:
    photo = photo_with_rows(4.0)
    area = photo.frame[:, :MASKED].astype(float)
    rows = area.mean(axis=1, keepdims=True)
    doubled = np.rint(area + rows - rows.mean()).astype(np.uint16)
    frame = np.concatenate([doubled, photo.frame[:, MASKED:]], axis=1)
    level, _ = level_rows(replace(photo, frame=frame), remove=True)
    usual, _ = level_rows(photo, remove=True)
    assert level.row_offset_dn is not None
    np.testing.assert_allclose(level.row_offset_dn.std(), usual.row_offset_dn.std(), rtol=0.1)


@pytest.mark.parametrize("row_sd_dn", [1.6, 4.0])
def test_the_picture_tells_it(row_sd_dn: float) -> None:
    photo = photo_with_rows(row_sd_dn, masked=0)
    found = measure_rows(photo)
    assert found is not None
    assert (found.source, found.shown, found.offset_dn) == ("picture", True, None)
    # Dark quarter: about 300 rows; steps of rows two apart share samples. Cutting off at three deviations takes 1 %.
    assert found.row_sd_dn == pytest.approx(row_sd_dn, rel=4 * np.sqrt(2 / (2 * 300)))
    assert found.pixel_sd_dn == pytest.approx(READ_SD_DN, rel=0.05)
    level, (told,) = level_rows(photo, remove=True)
    assert level is photo
    assert "no masked pixels" in told
    assert f"{found.share:.2f} times" in told


def test_without_masked_pixels_it_is_said_that_nothing_was_done() -> None:
    photo = photo_with_rows(0.0, masked=0)
    assert level_rows(photo, remove=False) == (photo, ())
    assert level_rows(photo, remove=True) == (
        photo,
        ("--rows removed nothing: the photo has no masked pixels to use",),
    )


def test_a_picture_without_row_noise_shows_none() -> None:
    """The twin: neither the horizon nor the rungs nor the slope are taken for rows."""
    for seed in range(5):
        found = measure_rows(photo_with_rows(0.0, masked=0, seed=seed))
        assert found is not None
        assert found.share < 0.06


def test_a_flat_field_shows_none() -> None:
    """Where nothing but noise makes a block dark, choosing dark blocks must not make rows."""
    for seed in range(3):
        photo = photo_with_rows(0.0, masked=0, seed=seed)
        rng = np.random.default_rng(seed)
        flat = rng.poisson(900, (HEIGHT, WIDTH)) + rng.normal(BLACK_DN, READ_SD_DN, (HEIGHT, WIDTH))
        found = measure_rows(replace(photo, frame=np.rint(flat).astype(np.uint16)))
        assert found is not None
        assert found.share < 0.05


def test_it_is_told_from_a_tenth_of_the_read_noise() -> None:
    photo, (told,) = level_rows(photo_with_rows(0.2 * READ_SD_DN), remove=False)
    assert photo.row_offset_dn is None
    assert "--rows removes it" in told
    assert level_rows(photo_with_rows(0.05 * READ_SD_DN), remove=False)[1] == ()


def test_black_levels_of_rows_are_no_row_noise() -> None:
    """What the file says of even and odd rows is taken out once."""
    photo = photo_with_rows(0.0)
    step = np.where(np.arange(HEIGHT) % 2, 20, 0).astype(np.uint16)
    levels = Levels(np.array([[BLACK_DN], [BLACK_DN + 20.0]]), WHITE_DN, WHITE_DN, 14)
    assert level_rows(replace(photo, frame=photo.frame + step[:, None], levels=levels), remove=True)[1] == ()
    found = measure_rows(replace(photo, frame=photo.frame + step[:, None], levels=levels))
    assert found is not None
    assert found.share < 0.06


@pytest.mark.parametrize("shape", [(8, 8), (40, 300), (300, 40), (100, 100)])
def test_small_photos(shape: tuple[int, int]) -> None:
    photo = noisy_photo(*shape)
    level, told = level_rows(photo, remove=True)
    assert level is photo
    assert len(told) == 1  # too small, or no masked pixels
    assert ("too small" in told[0]) is (measure_rows(photo) is None)
    assert len(level_rows(photo, remove=False)[1]) == 0


def test_clipped_samples_stay_clipped_and_parts_keep_their_rows() -> None:
    photo = photo_with_rows(4.0)
    photo.frame[200:210, 300:310] = WHITE_DN
    level, _ = level_rows(photo, remove=True)
    offset = level.row_offset_dn
    assert offset is not None
    signal = level.mosaic.data
    blown = slice(200, 210), slice(300 - MASKED, 310 - MASKED)
    np.testing.assert_array_equal(signal[blown], photo.mosaic.data[blown])
    expected = photo.mosaic.data - (offset / level.levels.range_dn)[:, None]
    np.testing.assert_allclose(signal[:200], expected[:200], atol=1e-6)
    part = level.cut(Rect(31, 17, 60, 70))
    np.testing.assert_array_equal(part.mosaic.data, signal[31:91, 17:87])
    np.testing.assert_allclose(level.with_finer_levels(4).mosaic.data, signal, atol=1e-6)


def test_what_is_written_has_level_rows_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a student that keeps everything: the rows are gone from picture and masked pixels alike."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_model(tmp_path / "models" / "identity", identity, subrange=[1e-5, 1e-1], tile=64)
    photo = photo_with_rows(6.0)
    path = tmp_path / "photo.dng"
    write_dng(path, photo, preview=None, software="test")
    chosen = DenoiseOptions(model=tmp_path / "models", noise=(1e-3, 3e-7), device="cpu", rows=True)
    process_file(path, tmp_path / "out.dng", ProcessOptions(chosen))
    after = read_raw(tmp_path / "out.dng")
    assert offsets_left(after) < 0.35 * offsets_left(photo)
    again = measure_rows(after)
    assert again is not None
    assert again.row_sd_dn < 0.3 * 6.0
    kept = denoise(photo, replace(chosen, rows=False))
    assert offsets_left(kept.photo) == pytest.approx(offsets_left(photo), rel=0.05)
    assert any("--rows removes it" in warning for warning in kept.warnings)


def test_inspect_tells_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_model(tmp_path / "models" / "identity", identity, subrange=[1e-7, 1e-1], tile=64)
    path = tmp_path / "photo.dng"
    write_dng(path, photo_with_rows(4.0), preview=None, software="test")
    assert main(["inspect", str(path), "--model", str(tmp_path / "models"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["known_defects"] == 0
    assert record["row_noise"]["source"] == "masked pixels"
    assert record["row_noise"]["share_of_noise"] == pytest.approx(0.5, rel=0.15)
    assert any("--rows removes it" in warning for warning in record["warnings"])


def test_a_real_one(data: Path) -> None:
    """Half of what the masked pixels of this camera show is in the picture, whose rows then differ less."""
    photo = read_raw(data / "raw" / "canon-kiss-x4-hotpixels.dng")
    level, told = level_rows(photo, remove=True)
    assert told == ()

    def steps(one: RawPhoto) -> float:
        rows = one.mosaic.data[:, :800]
        return float(np.median(rows[2:-2] - (rows[:-4] + rows[4:]) / 2, axis=1).std())

    assert steps(level) < 0.99 * steps(photo)
