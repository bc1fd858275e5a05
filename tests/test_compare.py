"""The before / after page: what it shows, what it keeps to itself, and that it works in a real browser."""

from __future__ import annotations

import base64
import re
import sys
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from small_photos import noisy_photo
from tiny_models import blur, identity, make_model
from webdriver import Browser, browser, programs

from rawkd.cli import main
from rawkd.compare import page as page_module
from rawkd.compare.compare import CompareOptions, compare
from rawkd.compare.crops import choose_crops
from rawkd.compare.page import page_of, safe, write_page
from rawkd.compare.public import without_folders
from rawkd.errors import UsageError
from rawkd.files.write.dng import write_dng
from rawkd.photo import Rect, Tag
from rawkd.photo.region import sensor_rect
from rawkd.process import ProcessOptions, process_file
from rawkd.render.view import render
from rawkd.restore.options import DenoiseOptions

NAME = '<b>it\'s & "x".dng'
SERIAL, OWNER = b"SERIAL-4711\0", b"Jane Owner\0"
ASCII, SHORT, RATIONAL = 2, 3, 5


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    make_model(folder / "a" / "tiny-blur", blur, subrange=[1e-6, 1e-1])
    make_model(folder / "b" / "tiny-same", identity, subrange=[1e-6, 1e-1])
    return folder / "a", folder / "b"


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DNG with a hostile name, a serial number, an owner and a place."""
    folder = tmp_path_factory.mktemp("Private Holidays")
    path = folder / ("plain.dng" if sys.platform == "win32" else NAME)
    raw = noisy_photo(orientation=6)
    place = (Tag(1, ASCII, 2, b"N\0"), Tag(2, RATIONAL, 3, np.array([48, 1, 51, 1, 29, 1], "<u4").tobytes()))
    secret = (Tag(42033, ASCII, len(SERIAL), SERIAL), Tag(42032, ASCII, len(OWNER), OWNER))
    known = (Tag(33434, RATIONAL, 1, np.array([1, 100], "<u4").tobytes()), Tag(34855, SHORT, 1, b"\x40\x06"))
    raw = replace(raw, capture=replace(raw.capture, exif=known + secret, gps=place))
    write_dng(path, raw, preview=None, software="test", noise_profile=raw.noise_profile)
    return path


@pytest.fixture(scope="module")
def page(photo: Path, models: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    names = ",".join(map(str, models))
    arguments = ["--crop", "10,20,120,100", "--crop", "0,0,60,80", "--strip", str(folder / "s.png"), "--threads", "1"]
    code = main(["compare", str(photo), "--models", names, "-o", str(folder / "r.html"), *arguments])
    assert code == 0
    return folder / "r.html"


def pictures_of(text: str) -> list[np.ndarray]:
    return [iio.imread(base64.b64decode(found)) for found in re.findall(r"data:image/jpeg;base64,([^\"]+)", text)]


def test_the_page_says_what_was_done(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for fact in ("Rawkd One, ISO 1600, 1/100 s, 200 x 296 pixels", "tiny-blur", "tiny-same", "gain 0.001", "menon"):
        assert fact in text
    for step in ("read", "noise", "denoise", "render"):
        assert re.search(rf"{step} \d+\.\d\d s", text)
    assert text.count("<svg") == 1
    assert "$" not in text


def test_the_page_keeps_the_user_to_itself(page: Path, photo: Path, models: tuple[Path, Path]) -> None:
    content = page.read_bytes()
    strip = page.with_name("s.png").read_bytes()
    folders = [photo.parent.name, models[0].parent.name, str(Path.home())]
    for secret in [SERIAL[:-1], OWNER[:-1], *(folder.encode() for folder in folders if len(folder) > 1)]:
        assert secret not in content
        assert secret not in strip
    written = b"".join(base64.b64decode(found) for found in re.findall(rb"base64,([^\"]+)", content))
    assert written.count(b"\xff\xd8\xff") == 7  # the whole, and two crops of three versions: pictures alone
    assert b"Exif" not in written
    assert b"eXIf" in strip  # who made it, and nothing else
    assert len(strip[strip.index(b"eXIf") :].partition(b"IDAT")[0]) < 250


def test_the_photo_does_hold_the_secrets(photo: Path) -> None:
    """The twin: they are there to be leaked."""
    assert SERIAL[:-1] in photo.read_bytes()
    assert OWNER[:-1] in photo.read_bytes()


def test_names_are_escaped(page: Path, photo: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<b>it" not in text
    if photo.name == NAME:
        assert "&lt;b&gt;it&#x27;s &amp; &quot;x&quot;.dng" in text
    assert safe("a\u202e<\udce9\n") == "a\ufffd&lt;\ufffd\ufffd"


def test_nothing_is_fetched(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", text)
    assert "url(" not in text
    assert "@import" not in text


def test_the_crops_are_the_pixels_of_the_rendering(photo: Path, models: tuple[Path, Path]) -> None:
    from rawkd.files.read.raw import read_raw

    rect = Rect(20, 10, 100, 120)
    found = compare(photo, CompareOptions(models=models, crops=(rect,)))
    raw = read_raw(photo)
    shown = render(raw, rect=sensor_rect(rect, raw), dtype=np.uint8)
    assert shown.shape == (100, 120, 3)
    original, smooth, same = (version.crops[0] for version in found.versions)
    np.testing.assert_array_equal(original, shown)
    np.testing.assert_allclose(same.astype(int), shown, atol=1)  # an identity network: rounding alone
    assert np.diff(smooth.astype(float), axis=1).std() < 0.7 * np.diff(shown.astype(float), axis=1).std()


def test_oblong_pixels_are_stretched(models: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "oblong.dng"
    write_dng(path, replace(noisy_photo(), pixel_aspect=1.5), preview=None, software="test")
    rect = Rect(20, 10, 100, 150)
    found = compare(path, CompareOptions(models=models[:1], crops=(rect,)))
    assert (found.width, found.height) == (444, 200)
    assert found.overview.shape[1] / found.overview.shape[0] == pytest.approx(444 / 200, rel=0.02)
    whole = process_file(path, tmp_path / "a.png", ProcessOptions(DenoiseOptions(strength=0)))
    assert (whole.width, whole.height) == (found.width, found.height)
    expected = iio.imread(tmp_path / "a.png")[rect.slices].astype(int)  # in 8 bits
    np.testing.assert_allclose(found.versions[0].crops[0], expected, atol=1)
    assert found.versions[1].crops[0].shape == (100, 150, 3)


def test_the_strip(page: Path) -> None:
    strip = iio.imread(page.with_name("s.png"))
    assert strip.shape == (100 + 8 + 80, 3 * 120 + 2 * 8, 3)
    crops = pictures_of(page.read_text(encoding="utf-8"))[1:4]
    for column, crop in enumerate(crops):  # JPEG of quality 95 against PNG
        left = column * 128
        assert np.abs(strip[:100, left : left + 120].astype(float) - crop).mean() < 3
    assert (strip[100:108] == 255).all()
    assert (strip[108:, 60:128] == 255).all()


def test_a_crop_outside_is_a_usage_error(photo: Path, models: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    arguments = ["compare", str(photo), "--models", str(models[0]), "-o", str(out)]
    assert main([*arguments, "--crop", "150,0,60,60"]) == 2
    assert main([*arguments[:-1], str(tmp_path / "r.png")]) == 2
    assert main([*arguments, "--strip", str(tmp_path / "s.jpg")]) == 2
    assert list(tmp_path.iterdir()) == []
    out.write_text("kept")
    assert main(arguments) == 6
    assert out.read_text() == "kept"


@pytest.mark.parametrize("link", ["page.html", "strip.png"])
def test_the_photo_is_never_overwritten(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], link: str
) -> None:
    copy = tmp_path / "p.dng"
    copy.write_bytes(photo.read_bytes())
    (tmp_path / link).symlink_to("p.dng")
    names = ["-o", str(tmp_path / "page.html"), "--strip", str(tmp_path / "strip.png")]
    assert main(["compare", str(copy), *names, "--overwrite"]) == 6
    assert f"{link}: this is one of the photos." in capsys.readouterr().err
    assert copy.read_bytes() == photo.read_bytes()


@pytest.mark.parametrize("folder", [".", "/", "..", "sub"])
def test_a_folder_is_no_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    (tmp_path / "at" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "at")
    assert main(["compare", folder]) == 3
    assert ": this is a folder. Give the raw files in it." in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["at", "sub"]


def test_the_size_is_bounded(
    photo: Path, models: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = compare(photo, CompareOptions(models=models[:1], crops=(Rect(0, 0, 256, 200),)))
    best, worst = len(page_of(found, 95).encode()), len(page_of(found, 50).encode())
    assert worst < best
    monkeypatch.setattr(page_module, "PAGE_BYTES_MAX", (best + worst) // 2)
    write_page(found, tmp_path / "a.html")
    assert (tmp_path / "a.html").stat().st_size <= (best + worst) // 2
    monkeypatch.setattr(page_module, "PAGE_BYTES_MAX", worst - 1)
    with pytest.raises(UsageError, match="fewer or smaller"):
        write_page(found, tmp_path / "b.html")


def test_folders_are_taken_out_of_warnings(tmp_path: Path) -> None:
    photo = tmp_path / "sub" / "a.dng"
    assert without_folders(f"{photo}: bad, see {tmp_path / 'sub'}", photo) == "a.dng: bad, see sub"
    assert without_folders("plain, 1/60 s", Path("a.dng")) == "plain, 1/60 s"
    assert without_folders("'/data/x/y.json' and C:\\Users\\Jane\\z.json", photo) == "'y.json' and z.json"


@pytest.mark.parametrize("folder", ["a", "raw", "the", "."])
def test_a_relative_folder_is_no_part_of_words(folder: str) -> None:
    """The word rawkd stays, even for a photo in a folder named raw."""
    text = "rawkd: the noise of a picture is unknown; give it with --noise"
    photo = Path(folder, "x.dng")
    assert without_folders(f"{photo}: {text}", photo) == f"x.dng: {text}"


def test_the_home_of_jan_is_no_part_of_that_of_jane(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/jan van x")
    monkeypatch.setenv("USERPROFILE", "/home/jan van x")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/cloud/jane owner")
    found = without_folders("/home/jan van x/cal.json, /cloud/jane owner/rawkd/cameras/x.json", tmp_path / "a.dng")
    assert found == "cal.json, x.json"
    monkeypatch.setenv("HOME", "/home/jan")
    assert without_folders("/home/jane/cal.json: bad", tmp_path / "a.dng") == "cal.json: bad"


def scene() -> np.ndarray:
    """Grey, with a fine pattern, a dark corner, a bright one and a patch of skin, (340, 512, 3)."""
    rng = np.random.default_rng(0)
    picture = np.full((340, 512, 3), 110.0)
    picture[:100, :128] = 14 + rng.normal(0, 2, (100, 128, 1))
    picture[:100, 384:] = 235 + rng.normal(0, 4, (100, 128, 1))
    picture[240:, :128] = 110 + rng.normal(0, 40, (100, 128, 1))
    picture[240:, 384:] = (205, 150, 125)
    return np.clip(picture, 0, 255).astype(np.uint8)


def test_crops_show_what_is_there() -> None:
    crops = {crop.why: crop.rect for crop in choose_crops(scene(), 3400, 5120)}
    assert set(crops) == {"texture", "dark", "skin-like", "highlights"}
    corners = {"texture": (2400, 0), "dark": (0, 0), "skin-like": (2400, 3840), "highlights": (0, 3840)}
    for why, (top, left) in corners.items():
        rect = crops[why]
        assert (rect.width, rect.height) == (640, 480)
        assert top - 200 <= rect.top <= top + 1000 - 280
        assert left - 250 <= rect.left <= left + 1280 - 390


def test_without_skin_a_smooth_area_is_shown() -> None:
    picture = scene()
    picture[240:, 384:] = 110
    crops = {crop.why: crop.rect for crop in choose_crops(picture, 3400, 5120)}
    assert set(crops) == {"texture", "dark", "smooth", "highlights"}


@pytest.mark.parametrize("size", [(1, 1), (7, 900), (480, 640), (500, 700)])
def test_crops_of_small_or_plain_pictures(size: tuple[int, int]) -> None:
    for value in (0, 128, 255):
        preview = np.full((max(1, size[0] // 2), max(1, size[1] // 2), 3), value, np.uint8)
        crops = choose_crops(preview, *size)
        assert crops
        assert all(crop.rect.inside(*size) for crop in crops)


@pytest.fixture(scope="module")
def window(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    if programs() is None:
        pytest.skip("needs chromium and chromedriver")
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.open(page)
        yield opened


def columns_as(picture: np.ndarray, crop: np.ndarray) -> np.ndarray:
    """Which columns of the upper half of a picture are those of a crop, labels and handle aside."""
    rows = slice(5, 30)
    return np.abs(picture[rows].astype(float) - crop[rows]).mean(axis=(0, 2)) < 2


def assert_cut(window: Browser, view: str, crops: list[np.ndarray], cut: float) -> None:
    """Left of the cut stands the original, right of it the first model's version; four pixels of the bar aside."""
    picture = window.picture(view)
    bar = round(120 * cut)
    before, after = columns_as(picture, crops[0]), columns_as(picture, crops[1])
    assert before[: max(bar - 4, 0)].all()
    assert after[bar + 4 :].all()
    assert not before[bar + 4 :].any()
    assert not after[: max(bar - 4, 0)].any()


def test_the_slider_moves_the_picture(window: Browser, page: Path) -> None:
    crops = pictures_of(page.read_text(encoding="utf-8"))[1:4]
    view = window.find("#crop-1 .view")
    assert_cut(window, view, crops, 0.5)
    window.drag("mouse", view, 0, 42)  # of 120 pixels, from the middle
    assert_cut(window, view, crops, 0.85)
    window.drag("touch", view, 40, -36)
    assert_cut(window, view, crops, 0.2)
    for _ in range(10):
        window.press(view, "ArrowRight")
    assert_cut(window, view, crops, 0.4)
    window.press(view, "End")
    assert_cut(window, view, crops, 1.0)
    window.press(view, "Home")
    assert_cut(window, view, crops, 0.0)
    assert window.run("return document.querySelector('#crop-2 .view').getAttribute('aria-valuenow')") == "50"


def test_the_versions_can_be_chosen(window: Browser, page: Path) -> None:
    crops = pictures_of(page.read_text(encoding="utf-8"))[1:4]
    view = window.find("#crop-1 .view")
    window.run(
        "const s = document.getElementById('right'); s.value = '2'; s.dispatchEvent(new Event('change'));"
        "document.querySelector('#crop-1 .view').dispatchEvent(new KeyboardEvent('keydown', {key: 'Home'}))"
    )
    assert columns_as(window.picture(view), crops[2])[4:].all()
    assert window.run("return document.querySelector('#crop-1 .tag.right').textContent") == "tiny-same"
    window.run("const s = document.getElementById('right'); s.value = '1'; s.dispatchEvent(new Event('change'))")


def test_a_crop_at_100_per_cent_has_its_own_pixels(window: Browser) -> None:
    size = "const b = document.querySelector('#crop-1 .view').getBoundingClientRect(); return [b.width, b.height]"
    assert window.run(size) == [120, 100]
    window.run("document.querySelector('[data-zoom=\"2\"]').click()")
    assert window.run(size) == [240, 200]
    window.run("document.querySelector('[data-zoom=\"1\"]').click()")
    assert (
        window.run("return performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length")
        == 0
    )
