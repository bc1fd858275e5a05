"""Charts and drawings: axes, clipping, and the same marks in SVG and PNG."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_photos import GAIN, READ_VARIANCE, noisy_photo
from tiny_models import blur, make_model

from rawkd.cli import main
from rawkd.compare.noise_plot import noise_chart
from rawkd.files.write.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, Series, chart, span
from rawkd.files.write.dng import write_dng
from rawkd.files.write.drawing import Dots, Drawing, Line, Text, below
from rawkd.sensor.noise import NoiseModel


def pixels(drawing: Drawing) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(drawing.png()))).astype(int)


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis("", 0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (Axis("", -3, 3), [-3, -2, -1, 0, 1, 2, 3]),
        (Axis("", 1e-6, 1e-2, log=True), [1e-6, 1e-5, 1e-4, 1e-3, 1e-2]),
        (Axis("", 90, 700, log=True), [100, 200, 500]),
        (Axis("", 1.36e-4, 1.64e-4, log=True), [1.4e-4, 1.45e-4, 1.5e-4, 1.55e-4, 1.6e-4]),  # one gain alone
    ],
)
def test_ticks(axis: Axis, ticks: list[float]) -> None:
    np.testing.assert_allclose(axis.ticks(), ticks, rtol=1e-9, atol=1e-12)
    places = axis.place(np.array([axis.low, axis.high]))
    np.testing.assert_allclose(places, [0, 1], atol=1e-12)


@pytest.mark.parametrize("values", [[], [np.nan], [3.0], [-1.0, 0.0], [0.0, 0.0]])
@pytest.mark.parametrize("log", [False, True])
def test_spans_have_an_extent(values: list[float], log: bool) -> None:
    low, high = span(np.array(values), log=log)
    assert low < high
    assert low > 0 or not log
    assert len(Axis("", low, high, log).ticks()) <= 12


def test_dots_stand_where_their_values_are() -> None:
    drawn = chart(
        "t", Axis("x", 0, 10), Axis("y", 0, 4), [Series("", np.array([2.5]), np.array([3.0]), "#ff0000", size=6)]
    )
    x, y = LEFT + 0.25 * (WIDTH - LEFT - RIGHT), TOP + 0.25 * (HEIGHT - TOP - BOTTOM)
    assert f"M{x:.1f} {y:.1f}h0" in drawn.svg()
    rows, columns = np.nonzero((pixels(drawn) == [255, 0, 0]).all(axis=2))
    assert rows.mean() / 2 == pytest.approx(y, abs=0.75)
    assert columns.mean() / 2 == pytest.approx(x, abs=0.75)


def test_what_leaves_the_axes_is_not_shown() -> None:
    x = np.array([-1.0, 1, 2, 30, 3, 4])
    series = [Series("", x, x, "#ff0000", "line"), Series("", x, x, "#0000ff")]
    drawn = chart("t", Axis("x", 0, 10), Axis("y", 0, 10), series)
    lines = [item for item in drawn.items if isinstance(item, Line) and item.colour == "#ff0000"]
    assert [len(line.points) for line in lines] == [2, 2]
    (dots,) = (item for item in drawn.items if isinstance(item, Dots))
    assert len(dots.points) == 4


def test_drawings_below_each_other() -> None:
    one = Drawing(50, 20, (Dots(np.array([[5.0, 6.0]]), "#ff0000", 6), Text(20, 14, "a<b")))
    both = below((one, one))
    assert (both.width, both.height) == (50, 40)
    assert both.svg().count("a&lt;b") == 2
    shown = pixels(both)
    np.testing.assert_array_equal(shown[:40], shown[40:])
    assert (shown[12, 10] == [255, 0, 0]).all()


def test_dashes_cover_their_share() -> None:
    line = np.array([[0.0, 5.0], [100.0, 5.0]])
    dark = [(pixels(Drawing(100, 10, (Line(line, "#000000", 2, dashed),))) < 128).mean() for dashed in (False, True)]
    assert dark[1] / dark[0] == pytest.approx(0.6, abs=0.05)


def test_turned_text_reads_upwards() -> None:
    upright = pixels(Drawing(60, 60, (Text(30, 30, "lo", 20, "middle"),)))
    turned = pixels(Drawing(60, 60, (Text(30, 30, "lo", 20, "middle", turned=True),)))
    boxes = []
    for shown in (upright, turned):
        rows, columns = np.nonzero(shown.min(axis=2) < 128)
        boxes.append((np.ptp(rows), np.ptp(columns)))
    assert boxes[1] == pytest.approx(boxes[0][::-1], abs=2)


def test_the_noise_of_a_photo_lies_on_its_line() -> None:
    """The waves of the picture are slow, so blocks show the noise alone: the cloud's centre is the line."""
    photo = noisy_photo(400, 600)
    drawn = noise_chart(photo, NoiseModel(np.array(GAIN), np.array(READ_VARIANCE), "given"))
    assert "in use: gain 0.001" in drawn.svg()
    assert "NoiseProfile of the file: gain 0.001" in drawn.svg()
    cloud = next(item for item in drawn.items if isinstance(item, Dots) and len(item.points) > 100)
    line = next(item for item in drawn.items if isinstance(item, Line) and item.colour == "#c0392b")
    fit = np.interp(cloud.points[:, 0], line.points[:, 0], line.points[:, 1])
    decade = np.ptp(
        [float(item.y) for item in drawn.items if isinstance(item, Text) and item.text in ("0.001", "0.0001")]
    )
    off = np.median(fit - cloud.points[:, 1]) / decade
    # The median of a variance of 25 coefficients lies 2.7 % below its mean; its spread is 28 % over sqrt(n).
    assert off == pytest.approx(np.log10(1 - 0.027), abs=4 * 1.25 * np.log10(1.28) / np.sqrt(len(fit)))


def test_inspect_plots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_model(tmp_path / "m" / "tiny", blur, subrange=[1e-6, 1e-1])
    raw = noisy_photo()
    write_dng(tmp_path / "p.dng", raw, preview=None, software="test", noise_profile=raw.noise_profile)
    arguments = ["inspect", str(tmp_path / "p.dng"), "--model", str(tmp_path / "m"), "--plot"]
    assert main([*arguments, str(tmp_path / "n.svg")]) == 0
    text = (tmp_path / "n.svg").read_text()
    assert text.startswith("<svg")
    assert len(re.findall("<path", text)) >= 2
    assert str(tmp_path) not in text
    assert main([*arguments, str(tmp_path / "n.png")]) == 0
    assert Image.open(tmp_path / "n.png").size == (2 * WIDTH, 2 * HEIGHT)
    assert main([*arguments, str(tmp_path / "n.png")]) == 6
    assert main([*arguments, str(tmp_path / "n.png"), "--overwrite"]) == 0
    assert main([*arguments, str(tmp_path / "n.jpg")]) == 2
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_inspect_never_plots_over_the_photo(tmp_path: Path, capsys: pytest.CaptureFixture[str], link: str) -> None:
    raw = noisy_photo()
    photo, plot = tmp_path / "p.dng", tmp_path / "l.svg"
    write_dng(photo, raw, preview=None, software="test", noise_profile=raw.noise_profile)
    kept = photo.read_bytes()
    getattr(plot, link)(photo)
    assert main(["inspect", str(photo), "--plot", str(plot), "--overwrite"]) == 6
    assert "l.svg: this is one of the photos." in capsys.readouterr().err
    assert photo.read_bytes() == kept
